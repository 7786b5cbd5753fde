"""How often intervals cover the truth, and how often a comparison of a method with itself raises an alarm.

    python tests/bench/bench_comparisons.py [--draws N]

Simulated scores with a known truth; no film, no model.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from reports.comparison import compare
from reports.tables import RunScores
from stbench.manifest import Counts, Manifest, SuiteFact
from stbench.scores import Score
from stbench.stats import cluster_interval
from stbench.store import RunFolder
from stbench.story import Shot, Story


def coverage(n_stories: int, *, skewed: bool, draws: int, seed: int) -> float:
    """Share of 95% intervals that hold the true mean; stories have 7 to 12 shots, as in ST-Bench."""
    rng, hits = np.random.default_rng(seed), 0
    for _ in range(draws):
        effects = rng.exponential(1, n_stories) ** 0.5 - math.gamma(1.5) if skewed else rng.normal(0, 1, n_stories)
        sample = {str(k): rng.normal(effect, 0.5, size=rng.integers(7, 13)).tolist() for k, effect in enumerate(effects)}
        interval = cluster_interval(sample)
        hits += interval.low is not None and interval.high is not None and interval.low <= 0 <= interval.high
    return hits / draws


def alarms(*, n_stories: int, n_metrics: int, n_methods: int, draws: int, seed: int) -> float:
    """Share of whole comparisons of a method with itself in which any row is `+` or `-`; metrics hang together within a run."""
    rng, found = np.random.default_rng(seed), 0
    stories = tuple(
        Story(id=f"s{k}", name="", overview="", shots=(Shot(index=0, scene=1, number=1, prompt="", cut=True),)) for k in range(n_stories)
    )
    for _ in range(draws):
        runs = [_run(f"m{k}", stories, rng, n_metrics) for k in range(n_methods)]
        found += any(row.mark[:1] in ("+", "-") for row in compare(runs).rows)
    return found / draws


def _run(name: str, stories: tuple[Story, ...], rng: np.random.Generator, n_metrics: int) -> RunScores:
    facts = {
        "version": 1,
        "unit": "cosine",
        "higher_is_better": True,
        "protocol": "p",
        "reason": None,
        "encoder": None,
        "encoder_digest": None,
    }
    common = rng.normal(0, 0.05, len(stories))
    values = 0.5 + common[:, None] + rng.normal(0, 0.05, (len(stories), n_metrics))
    rows = tuple(
        Score(metric=f"m{k}", story=story.id, shot=None, value=float(values[i, k]), key="", **facts)
        for i, story in enumerate(stories)
        for k in range(n_metrics)
    )
    manifest = Manifest(
        status="complete",
        name=name,
        method=name,
        description="",
        identity={"method": name},
        model="",
        options={},
        protocol="p",
        suite=SuiteFact(name="simulated", version="1", digest="0" * 64, stories=len(stories)),
        stories=stories,
        seed=0,
        device="cpu",
        versions={},
        started=0.0,
        counts=Counts(stories=len(stories), expected=len(stories), done=len(stories)),
    )
    return RunScores(title=name, run=RunFolder(Path(name), manifest), scores=rows, lines=())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    for n, skewed in ((10, False), (10, True), (30, False), (30, True)):
        share = coverage(n, skewed=skewed, draws=draws, seed=3)
        print(f"coverage of the 95% interval: {n} stories, {'skewed' if skewed else 'normal'}: {100 * share:.1f}% of {draws}", flush=True)
    for methods in (2, 4):
        share = alarms(n_stories=30, n_metrics=8, n_methods=methods, draws=draws // 2, seed=5)
        print(f"false alarms: {methods} alike methods, 8 metrics, 30 stories: {100 * share:.1f}% of {draws // 2} comparisons", flush=True)
