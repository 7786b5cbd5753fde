"""Tables from timed shots: by stage, by memory frames, by step, and what a day of the device makes. Pure functions on `Timings`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from stbench.profiling.reading import ShotTiming, Timings, inside
from stbench.timing import VIDEO_ENCODE

P90_FROM = 10  # shots; with fewer, the ninth tenth is the slowest one by another name
DAY_S = 86_400
WH_J = 3600


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """A stage over the shots that count.

    Attributes:
        name: Of the stage; "other" is what no stage covers.
        n: Shots that had it.
        median_s: Per shot.
        p90_s: None with fewer than `P90_FROM` shots.
        share: Of the shots' own time; None for what is not part of it.
    """

    name: str
    n: int
    median_s: float
    p90_s: float | None
    share: float | None


@dataclass(frozen=True, kw_only=True)
class MemoryRow:
    """Shots with so many memory frames: median seconds of the whole shot, of the sampling loop, and of a step."""

    memory: int
    n: int
    shot_s: float
    denoise_s: float | None
    step_s: float | None


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """A step of the sampling loop: median seconds over the shots."""

    step: int  # from 1
    expert: str
    n: int
    median_s: float


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """What the times come to. Loading is not in it; writing and checking the file is.

    Attributes:
        shot_s: Median seconds of a shot.
        shot_p90_s: None with fewer than `P90_FROM` shots.
        per_video_s: Seconds per second of video, over all shots.
        films_per_day: Of the run's mean length, on one device.
        energy_j: Mean of a shot, where the GPU says.
        film_wh: Of a film, where the GPU says.
    """

    shot_s: float
    shot_p90_s: float | None
    per_video_s: float
    films_per_day: float
    energy_j: float | None = None
    film_wh: float | None = None


def quantile(values: Sequence[float], share: float) -> float:
    """Linear between the two nearest values.

    Example:
        >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5), quantile([1.0, 2.0], 0.9)
        (2.5, 1.9)
    """
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def p90(values: Sequence[float]) -> float | None:
    """None with fewer than `P90_FROM` values."""
    return quantile(values, 0.9) if len(values) >= P90_FROM else None


def stage_rows(shots: Sequence[ShotTiming]) -> list[StageRow]:
    """One row per stage, in the order of a shot; what is outside of the shot's own time comes last."""
    whole = math.fsum(shot.seconds for shot in shots)
    own: dict[str, list[float]] = {}
    outside: dict[str, list[float]] = {}
    for shot in sorted(shots, key=lambda shot: -len(shot.stages)):
        parts = inside(shot)
        for name, seconds in parts.items():
            own.setdefault(name, []).append(seconds)
        for name, seconds in shot.by_stage.items():
            if name not in parts:
                outside.setdefault(name, []).append(seconds)
    if "other" in own:
        own["other"] = own.pop("other")
    rows = [_stage(name, values, math.fsum(values) / whole if whole else None) for name, values in own.items()]
    return rows + [_stage(name, values, None) for name, values in outside.items()]


def _stage(name: str, values: Sequence[float], share: float | None) -> StageRow:
    return StageRow(name=name, n=len(values), median_s=statistics.median(values), p90_s=p90(values), share=share)


def memory_rows(shots: Sequence[ShotTiming]) -> list[MemoryRow]:
    """Time against memory frames; empty where no span says how many there were."""
    groups: dict[int, list[ShotTiming]] = {}
    for shot in shots:
        if shot.memory is not None:
            groups.setdefault(shot.memory, []).append(shot)
    rows = []
    for memory, group in sorted(groups.items()):
        loops = [shot.by_stage["denoise"] for shot in group if "denoise" in shot.by_stage]
        steps = [seconds for shot in group for seconds in shot.denoise.get("steps_s", ())]
        rows.append(
            MemoryRow(
                memory=memory,
                n=len(group),
                shot_s=statistics.median(shot.seconds for shot in group),
                denoise_s=statistics.median(loops) if loops else None,
                step_s=statistics.median(steps) if steps else None,
            )
        )
    return rows


def step_rows(shots: Sequence[ShotTiming]) -> list[StepRow]:
    """The per-step curve: one row per step and expert."""
    found: dict[tuple[int, str], list[float]] = {}
    for shot in shots:
        for step, (seconds, expert) in enumerate(zip(shot.denoise.get("steps_s", ()), shot.denoise.get("experts", ()), strict=False), 1):
            found.setdefault((step, str(expert)), []).append(float(seconds))
    return [StepRow(step=step, expert=expert, n=len(v), median_s=statistics.median(v)) for (step, expert), v in sorted(found.items())]


def throughput(shots: Sequence[ShotTiming], shots_per_film: float) -> Throughput | None:
    """What the shots come to; None without shots."""
    if not shots:
        return None
    seconds = [shot.seconds for shot in shots]
    mean = math.fsum(shot.seconds + shot.by_stage.get(VIDEO_ENCODE, 0.0) for shot in shots) / len(shots)
    joules = [float(shot.facts["gpu"]["energy_j"]) for shot in shots if "energy_j" in (shot.facts.get("gpu") or {})]
    energy = math.fsum(joules) / len(joules) if joules else None
    return Throughput(
        shot_s=statistics.median(seconds),
        shot_p90_s=p90(seconds),
        per_video_s=math.fsum(seconds) / math.fsum(shot.video_s for shot in shots),
        films_per_day=DAY_S / (mean * shots_per_film),
        energy_j=energy,
        film_wh=None if energy is None else energy * shots_per_film / WH_J,
    )


def scoring_rows(timings: Timings) -> list[tuple[str, int, float]]:
    """(encoder, clips that it encoded, seconds per clip) over all scorings; what came from the cache took no time and is not in it."""
    clips: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for scoring in timings.scorings:
        encoders = scoring.get("encoders")
        for name, found in encoders.items() if isinstance(encoders, dict) else ():
            clips[name] = clips.get(name, 0) + int(found.get("clips", 0))
            seconds[name] = seconds.get(name, 0.0) + float(found.get("seconds", 0.0))
    return [(name, clips[name], seconds[name] / clips[name]) for name in clips if clips[name]]
