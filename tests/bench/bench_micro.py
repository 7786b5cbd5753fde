"""Micro-benchmarks of what runs often: `pytest tests/bench/bench_micro.py --benchmark-only` (part of `tox -e bench`)."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reports.sheets import contact_sheet
from reports.views import FilmView, RunLabel, ShotView, needed_indices
from stbench.journal import Journal
from stbench.scores import Score, aggregate
from stbench.story import Shot, Story, parse_story
from storymem.keyframes import search

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

SCRIPT = {
    "story_name": "A long way home",
    "story_overview": "A cat walks home.",
    "scenes": [
        {
            "scene_num": scene,
            "video_prompts": [f"Wide shot of a cat, {k}." for k in range(4)],
            "cut": [True, False, True, False],
        }
        for scene in (1, 2, 3)
    ],
}


def test_parse_a_script_of_12_shots(benchmark: BenchmarkFixture) -> None:
    text = json.dumps(SCRIPT)
    assert len(benchmark(lambda: parse_story(json.loads(text), source="bench", id="bench")).shots) == 12


def test_keyframe_search_in_81_frames(benchmark: BenchmarkFixture) -> None:
    steps = np.random.default_rng(0).normal(size=(81, 512)).cumsum(axis=0)
    found = benchmark(lambda: search(steps, lambda frame: frame % 7 != 0))
    assert 1 <= len(found.indices) <= 3


def test_append_to_the_journal(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """One line, on disk before the next step: the time of an fsync."""
    journal = Journal(tmp_path / "events.jsonl", itertools.count().__next__)
    benchmark(lambda: journal.add("shot_done", story="alpha", shot="01_01"))
    journal.close()


def test_sum_up_3000_scores(benchmark: BenchmarkFixture) -> None:
    rng = np.random.default_rng(0)
    rows = [
        Score(
            metric=f"m{metric}", version=1, unit="cosine", higher_is_better=True, protocol="p", story=f"s{story}", shot=f"01_{shot:02d}",
            value=float(rng.random()), reason=None, encoder=None, encoder_digest=None, key="k",
        )
        for metric in range(10) for story in range(30) for shot in range(10)
    ]  # fmt: skip
    assert len(benchmark(lambda: aggregate(rows))) == 10


def test_draw_a_contact_sheet_of_10_shots(benchmark: BenchmarkFixture) -> None:
    frame = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)
    shots = tuple(Shot(index=k, scene=1, number=k + 1, prompt="Wide shot of a cat in the snow.", cut=k == 0) for k in range(10))
    views = tuple(ShotView(shot=shot, n_frames=17, frames=dict.fromkeys(needed_indices(17, (0,)), frame), keyframes=(0,)) for shot in shots)
    story = Story(id="s", name="s", overview="A cat walks home.", shots=shots)
    film = FilmView(story=story, run=RunLabel(name="r", method="m", model="world", suite="w", seed=0), shots=views)
    assert benchmark(lambda: contact_sheet(film)).width > 1000
