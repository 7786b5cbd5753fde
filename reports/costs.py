"""What films cost: seconds by stage from timing.jsonl, seconds and memory per shot from the records.

Nothing is guessed: a run whose method did not measure memory has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.tables import RunScores
from stbench.store import RunFolder

PEAK_KEYS = ("peak_bytes", "peak_memory_bytes", "peak_allocated_bytes")
WHOLE = ("shot", "load")  # spans that hold others, or belong to no shot


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of work over a whole run. `p90_s` is None with fewer than ten spans."""

    name: str
    n: int
    total_s: float
    median_s: float
    p90_s: float | None


def seconds_per_shot(runs: Sequence[RunScores]) -> float | None:
    """Mean over the finished shots of these runs, or None."""
    seconds = [record.seconds for run in runs for part in run.run.story_records() for record in part.records]
    return math.fsum(seconds) / len(seconds) if seconds else None


def stages(timings: Sequence[Mapping[str, Any]]) -> list[Stage]:
    """One line per stage, in the order in which they first appear; spans of warm-up (`warm: false`) count too and are few."""
    import numpy as np

    found: dict[str, list[float]] = {}
    for span in timings:
        if isinstance(span.get("seconds"), int | float) and span.get("stage"):
            found.setdefault(str(span["stage"]), []).append(float(span["seconds"]))
    return [
        Stage(
            name=name,
            n=len(seconds),
            total_s=math.fsum(seconds),
            median_s=float(np.median(seconds)),
            p90_s=float(np.quantile(seconds, 0.9)) if len(seconds) >= 10 else None,
        )
        for name, seconds in found.items()
    ]


def peak_bytes(timings: Sequence[Mapping[str, Any]]) -> list[int]:
    """Peak memory per shot in the order of filming, as the spans tell; empty where none was measured."""
    peaks: dict[tuple[str, str], int] = {}
    for span in timings:
        detail: Mapping[str, Any] = span.get("detail") or {}
        for key in PEAK_KEYS:
            value = detail.get(key, span.get(key))
            if isinstance(value, int | float) and span.get("shot"):
                unit = (str(span.get("story")), str(span["shot"]))
                peaks[unit] = max(peaks.get(unit, 0), int(value))
    return list(peaks.values())


def memory_frames(run: RunFolder) -> dict[str, list[int]]:
    """Story → number of memory frames that each finished shot was given; empty for methods that keep none."""
    found: dict[str, list[int]] = {}
    for part in run.story_records():
        counts = [len(memory_of(record.notes)) for record in part.records]
        if any(counts):
            found[part.story.id] = counts
    return found


def memory_of(notes: Mapping[str, Any]) -> list[str]:
    """Ids of the shots whose keyframes a shot saw, as its method noted them, one per keyframe."""
    memory = notes.get("memory")
    if not isinstance(memory, Sequence) or isinstance(memory, str):
        return []
    return [str(item.get("shot")) if isinstance(item, Mapping) else str(item) for item in memory]
