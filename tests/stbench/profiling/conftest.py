"""Timings made by hand: shots whose every second is known."""

from __future__ import annotations

from typing import Any

import pytest

from stbench.profiling.reading import ShotTiming, Stage, Timings

QUIET: dict[str, Any] = {
    "clock_drift_s": 0.0,
    "cpu_wait_s": 0.0,
    "load_1m": 1.0,
    "cores": 2,
    "processor": "Test CPU",
    "host_bytes": 2**30,
}


def make_shot(place: int = 1, **changes: Any) -> ShotTiming:
    """A warm shot of 2 s of video in 10 s: 1 s memory, 6 s in the loop (3 steps, 2 by the high expert), 2 s decoding, 1 s of nothing."""
    memory = changes.pop("memory", place - 1)
    denoise = {"memory": memory, "steps_s": [3.0, 2.0, 1.0], "experts": ["high", "high", "low"]}
    stages = (
        Stage(name="memory_encode", seconds=0.75, start_s=0.0, detail={"memory": memory}),
        Stage(name="memory_encode", seconds=0.25, start_s=0.75, detail={"memory": memory}),
        Stage(name="denoise", seconds=6.0, start_s=1.0, detail=denoise),
        Stage(name="vae_decode", seconds=2.0, start_s=7.0, detail={"host_bytes": 3 * 2**30, "peak_bytes": 5 * 2**30}),
        Stage(name="video_encode", seconds=0.5, start_s=10.0, detail={}),
    )
    facts = QUIET | changes.pop("facts", {})
    plain: dict[str, Any] = {"story": "a", "shot": f"01_{place:02d}", "place": place, "seconds": 10.0, "video_s": 2.0, "device": "cpu"}
    plain |= {"warm": True, "stages": stages}
    return ShotTiming(**(plain | {"facts": facts} | changes))


def make_timings(count: int = 6, **changes: Any) -> Timings:
    return Timings(shots=tuple(make_shot(place, **changes) for place in range(1, count + 1)))


@pytest.fixture
def shot():
    return make_shot


@pytest.fixture
def timings():
    return make_timings
