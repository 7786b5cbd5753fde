"""A shot that keeps failing: retries are bounded and recorded, the policy decides about the rest, and no shot hides what it lacks."""

from __future__ import annotations

import json

import pytest

from stbench.journal import read_journal
from stbench.seal import sealed
from stbench.store import RunFolder


def events(folder, kind):
    return [event for event in read_journal(folder / "events.jsonl").events if event["event"] == kind]


def shots(folder):
    return [f"{record.story} {record.shot}" for part in RunFolder.open(folder).story_records() for record in part.records]


@pytest.mark.parametrize(("policy", "made", "failed", "skipped"), [("skip-story", 4, 1, 2), ("continue-story", 6, 1, 0), ("stop", 1, 1, 5)])
def test_the_policy_decides_what_a_failed_shot_does_to_the_rest(film, run_words, tmp_path, monkeypatch, policy, made, failed, skipped):
    monkeypatch.setenv("FAKE_FAIL", "ant 01_02")
    done = film(*run_words, "--on-error", policy, "--json")
    assert done.code == 3
    n = json.loads(done.out)["n"]
    assert (n["made"], n["failed"], n["skipped"]) == (made, failed, skipped)
    assert film("check", tmp_path / "run").code == 3


def test_shots_after_a_missing_one_say_so_and_are_made_again_when_it_is_there(film, run_words, tmp_path, monkeypatch, fake):
    monkeypatch.setenv("FAKE_FAIL", "ant 01_02")
    film(*run_words, "--on-error", "continue-story")
    run = RunFolder.open(tmp_path / "run")
    assert [run.record("ant", shot).lacks for shot in ("01_01", "02_01", "02_02")] == [(), ("01_02",), ("01_02",)]
    assert [part.missing[0].id for part in run.story_records() if part.missing] == ["01_02"]
    fake.MADE.clear()
    film(*run_words, "--on-error", "continue-story")  # it fails again: nothing else is made again
    assert set(fake.MADE) == {"ant 01_02"}
    monkeypatch.delenv("FAKE_FAIL")
    fake.MADE.clear()
    assert film(*run_words).code == 0
    assert fake.MADE == ["ant 01_02", "ant 02_01", "ant 02_02"]
    assert run.record("ant", "02_02").lacks == ()
    assert film("check", tmp_path / "run").code == 0
    whole = tmp_path / "whole"
    film(*run_words[:-4], "--out", whole, "--device", "cpu")
    assert [r.video.sha256 for p in run.story_records() for r in p.records] == [
        r.video.sha256 for p in RunFolder.open(whole).story_records() for r in p.records
    ]


def test_a_record_that_hides_what_it_lacks_is_found(film, run_words, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAIL", "ant 01_02")
    film(*run_words, "--on-error", "continue-story")
    path = tmp_path / "run" / "shots" / "ant" / "02_01.json"
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | {"lacks": []})))
    done = film("check", tmp_path / "run", "--json")
    assert done.code == 4
    assert {p["rule"] for p in json.loads(done.out)["problems"]} == {"key-chain"}


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_are_bounded_and_every_one_is_in_the_journal(film, run_words, tmp_path, monkeypatch, retries):
    monkeypatch.setenv("FAKE_FAIL", "bee 01_01")
    film(*run_words, "--retries", retries)
    failed = events(tmp_path / "run", "shot_failed")
    assert [(e["attempt"], e["of"]) for e in failed] == [(k, retries + 1) for k in range(1, retries + 2)]
    assert all("CUDA out of memory" in e["reason"] for e in failed)
    assert len(events(tmp_path / "run", "shot_given_up")) == 1


def test_a_retry_that_succeeds_is_recorded_with_the_shot(film, run_words, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAIL_ONCE", "ant 02_01")
    assert film(*run_words).code == 0
    assert RunFolder.open(tmp_path / "run").record("ant", "02_01").attempt == 2


def test_an_unknown_policy_is_refused_before_anything_is_made(film, run_words, tmp_path):
    done = film(*run_words, "--on-error", "ignore")
    assert done.code == 2
    assert "--on-error: found 'ignore'; expected skip-story or continue-story or stop" in done.err
    assert not (tmp_path / "run").exists()
