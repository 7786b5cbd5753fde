"""Scoring beside filming: the rows are those of scoring at the end, and what goes wrong beside is done at the end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stbench.check import check_run
from stbench.store import RunFolder


@pytest.mark.parametrize("words", [[], ["--workers", "2"]], ids=["alone", "workers"])
def test_scores_are_the_same_and_nothing_is_scored_again(film, run_words: list[str], fake, tmp_path: Path, words: list[str]):
    film(*run_words)
    scores, asked = (tmp_path / "run" / "scores.jsonl").read_bytes(), list(fake.SCORED)
    shutil.rmtree(tmp_path / "run")
    fake.SCORED.clear()
    assert film(*run_words, *words, "--score-workers", "2").code == 0
    assert (tmp_path / "run" / "scores.jsonl").read_bytes() == scores
    assert (len(asked), fake.SCORED) == (7, [])  # the driver found every row known
    assert check_run(tmp_path / "run").verdict == "valid"


def test_a_story_that_cannot_be_scored_beside_is_scored_at_the_end(film, run_words: list[str], fake, tmp_path: Path, monkeypatch):
    import stbench.scoring

    monkeypatch.setattr("stbench.executors.beside.NAME", "broken")
    stbench.scoring.SCORERS.add("broken", "fake_methods:no_such_scorer")
    done = film(*run_words, "--score-workers", "1")
    assert done.code == 0
    assert "ant is scored at the end: AttributeError" in done.err
    assert len(RunFolder.open(tmp_path / "run").scores()) == 7


def test_a_failed_story_is_left_to_the_end(film, run_words: list[str], fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAKE_FAIL", "ant 01_02")
    assert film(*run_words, "--score-workers", "1").code == 3
    beside = [row for row in RunFolder.open(tmp_path / "run").scores() if row.value is None]
    assert {row.story for row in beside} == {"ant"}
    assert {name.split()[0] for name in fake.SCORED} == {"ant"}
