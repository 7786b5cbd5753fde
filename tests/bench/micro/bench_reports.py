"""Summing up scores and drawing a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reports.report import write_report
from reports.sheets import contact_sheet
from reports.views import FilmView, RunLabel, ShotView, needed_indices
from stbench.scores import Score, aggregate
from stbench.story import Shot, Story

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

    from stbench.store import RunFolder


def test_sum_up_3000_scores(benchmark: BenchmarkFixture) -> None:
    rng = np.random.default_rng(0)
    common = {"version": 1, "unit": "cosine", "higher_is_better": True, "protocol": "p", "reason": None, "encoder": None, "key": "k"}
    rows = [
        Score(**common, encoder_digest=None, metric=f"m{metric}", story=f"s{story}", shot=f"01_{shot:02d}", value=float(rng.random()))
        for metric in range(10)
        for story in range(30)
        for shot in range(10)
    ]
    assert len(benchmark(lambda: aggregate(rows))) == 10


def test_draw_a_contact_sheet_of_10_shots(benchmark: BenchmarkFixture) -> None:
    frame = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)
    shots = tuple(Shot(index=k, scene=1, number=k + 1, prompt="Wide shot of a cat in the snow.", cut=k == 0) for k in range(10))
    views = tuple(ShotView(shot=shot, n_frames=17, frames=dict.fromkeys(needed_indices(17, (0,)), frame), keyframes=(0,)) for shot in shots)
    story = Story(id="s", name="s", overview="A cat walks home.", shots=shots)
    film = FilmView(story=story, run=RunLabel(name="r", method="m", model="world", suite="w", seed=0), shots=views)
    assert benchmark(lambda: contact_sheet(film)).width > 1000


def test_report_of_a_run_of_6_shots(benchmark: BenchmarkFixture, run: RunFolder, tmp_path: Path) -> None:
    assert benchmark.pedantic(lambda: write_report([run], tmp_path / "report"), rounds=3, warmup_rounds=1)["html"].is_file()
