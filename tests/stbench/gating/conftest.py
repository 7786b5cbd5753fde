"""Measurements of a run, drawn from a seed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stbench.gating.evidence import ByShot, Evidence

sys.path.insert(0, str(Path(__file__).parent))

from made_evidence import evidence, fact

STORIES, SHOTS = 12, 6


@pytest.fixture
def draw() -> Callable[..., Evidence]:
    """`draw(seed, better=0.95, slower=1.2, luck=0.02)`: a run whose shots have the same truth in every draw, and their own luck."""

    def make(seed: int, *, better: float = 1.0, slower: float = 1.0, fatter: float = 1.0, luck: float = 0.02, **changes: Any) -> Evidence:
        truth, rng = np.random.default_rng(7), np.random.default_rng(1000 + seed)
        values: ByShot = {}
        seconds: ByShot = {}
        peaks: ByShot = {}
        for number in range(STORIES):
            story, level = f"world_{number:03d}", truth.normal(0.6, 0.1)
            for k in range(SHOTS):
                shot = f"01_{k + 1:02d}"
                kept, took = truth.normal(level, 0.05), 18 + 0.5 * k
                values.setdefault(story, {})[shot] = better * kept + rng.normal(0, luck)
                seconds.setdefault(story, {})[shot] = slower * took * rng.lognormal(0, 0.03)
                peaks.setdefault(story, {})[shot] = fatter * (60 + 0.1 * k) * 2**30 * rng.lognormal(0, 0.002)
        return evidence((fact(values),), seconds={"shot": seconds}, peaks=peaks, **changes)

    return make
