"""What a run does beside generating: the journal, the feature cache, files of a shot, a run that is asked for again."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from metrics.cache import FeatureCache
from stbench.display import Display
from stbench.journal import Journal
from stbench.runner import run as film
from stbench.timing import Stopwatch
from stbench.video import read_mp4, write_mp4

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

    from stbench.config import RunConfig
    from stbench.store import RunFolder


def test_append_to_the_journal(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """One line, on disk before the next step: the time of an fsync."""
    journal = Journal(tmp_path / "events.jsonl", itertools.count().__next__)
    benchmark(lambda: journal.add("shot_done", story="alpha", shot="01_01"))
    journal.close()


def test_time_a_stage(benchmark: BenchmarkFixture) -> None:
    """What a span costs where nothing is measured in it."""

    def span() -> Stopwatch:
        watch = Stopwatch()
        with watch.time("denoise"):
            watch.lap("only")
        return watch

    assert len(benchmark(span).spans) == 1


def test_hit_the_feature_cache(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    key = FeatureCache.key(kind="frames", maker="m", content="c")
    cache.put(key, np.zeros((81, 768), np.float32))

    def hit() -> np.ndarray | None:
        cache.forget()  # from the disk, as after a start
        return cache.get(key)

    assert benchmark(hit) is not None


def test_write_a_video_of_17_frames(benchmark: BenchmarkFixture, tmp_path: Path, frames: np.ndarray) -> None:
    """Written and decoded back, as every shot is."""

    def write() -> int:
        write_mp4(tmp_path / "a.mp4", frames, 8.0)
        return len(read_mp4(tmp_path / "a.mp4")[0])

    assert benchmark.pedantic(write, rounds=5, warmup_rounds=1) == 17


def test_resume_a_finished_run_of_6_shots(benchmark: BenchmarkFixture, run: RunFolder, config: RunConfig) -> None:
    """Every shot is verified and none is made."""
    outcome = benchmark.pedantic(lambda: film(config, Display()), rounds=3, warmup_rounds=1)
    assert (outcome.made, outcome.reused) == (0, run.manifest.counts.expected)
