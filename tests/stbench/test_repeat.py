"""`--repeat`: the same frames again, or the measured spread."""

from __future__ import annotations

import json

import numpy as np

import stbench.finished
from stbench.store import RunFolder


def test_a_method_that_repeats_itself_is_found_bit_for_bit_equal(film, run_words, tmp_path):
    done = film(*run_words, "--repeat", "2", "--verify")
    assert done.code == 0
    found = RunFolder.open(tmp_path / "run").manifest.repeat
    assert (found.times, found.shots, found.equal, found.largest, found.mean) == (1, 7, 7, 0, 0.0)
    assert not list((tmp_path / "run").glob(".repeat*"))
    check = film("check", tmp_path / "run")
    assert check.code == 0
    assert "all 7 shots are the same, bit for bit" in check.err


def test_a_method_that_does_not_repeat_itself_has_its_spread_stored_and_fails_verification(film, run_words, tmp_path, monkeypatch, fake):
    plain, calls = fake.FakeShots.shot, []

    def noisy(self, request):
        result = plain(self, request)
        calls.append(1)
        if request.story.id == "bee":
            result.frames[...] = np.clip(result.frames.astype(int) + len(calls), 0, 255)
        return result

    monkeypatch.setattr(fake.FakeShots, "shot", noisy)
    done = film(*run_words, "--repeat", "2", "--json")
    assert done.code == 0
    assert "4 of 7 shots are the same; values differ by at most" in done.err
    assert json.loads(done.out)["repeat"]["equal"] == 4
    found = RunFolder.open(tmp_path / "run").manifest.repeat
    assert (found.shots, found.equal) == (7, 4)
    assert 0 < found.mean <= found.largest
    assert film(*run_words, "--verify").code == 4


def test_a_finished_run_is_filmed_again_when_verification_is_asked_for_later(film, run_words, tmp_path, monkeypatch, fake):
    monkeypatch.setattr(stbench.finished, "PACKAGES", (*stbench.finished.PACKAGES, "fake_methods"))
    assert film(*run_words).code == 0
    assert "nothing to do" in film(*run_words).err
    fake.MADE.clear()
    done = film(*run_words, "--repeat", "2", "--verify")
    assert done.code == 0
    assert len(fake.MADE) == 7
    assert RunFolder.open(tmp_path / "run").manifest.repeat.equal == 7
    assert "all 7 shots are the same" in film(*run_words).err
