"""Counted operations against measured time and a measured ceiling: how much of the device a stage used, and what holds it back.

Operations are counted by the method (`Counted`), never guessed from a time. Bytes are what the stage's operations read and write, had each
to go to memory, so the intensity of a stage is a lower bound and its roof, where memory holds it back, too.
Source: Williams, Waterman, Patterson, "Roofline" (2009).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stbench.profiling.reading import ShotTiming, Timings

if TYPE_CHECKING:
    from stbench.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Work of one stage of one shot.

    Attributes:
        flops: Operations, two per multiply-add.
        moved_bytes: Bytes that the operations read and write; None where nobody counted them.
    """

    flops: float
    moved_bytes: float | None = None


@dataclass(frozen=True, kw_only=True)
class UseRow:
    """How a stage used the device.

    Attributes:
        stage: Its name; "whole shot" is all counted operations over the time of the whole shot.
        n: Shots.
        flops: Median of a shot.
        flops_per_s: Median over the shots of operations by seconds.
        utilisation: Of the ceiling; None without one.
        intensity: Operations per byte; None without bytes.
        roof: What the ceiling allows at this intensity, operations per second.
        held_by: "compute" or "memory": the lower of the two roofs.
    """

    stage: str
    n: int
    flops: float
    flops_per_s: float
    utilisation: float | None = None
    intensity: float | None = None
    roof: float | None = None
    held_by: str | None = None


def count_shots(manifest: Manifest, shots: Sequence[ShotTiming]) -> list[dict[str, Counted]] | str:
    """The work of each shot by stage, as its method counts it; or why it cannot be counted here.

    A method that can has `work_counter()`, whose `count(detail)` gives {stage: `Counted`} for what a sampling loop noted in its span.
    """
    from stbench.errors import UserError
    from stbench.methods import METHODS

    try:
        method: Any = METHODS.get(manifest.method).from_options(model=manifest.model, options=manifest.options)
        if not hasattr(method, "work_counter"):
            return f"method {manifest.method} does not count its operations"
        counter = method.work_counter()
        return [counter.count(shot.denoise) if shot.denoise else {} for shot in shots]
    except UserError as error:
        return f"operations cannot be counted here: {error}"


def best_ceiling(timings: Timings) -> Mapping[str, Any] | None:
    """The fastest of the run's ceilings, or None."""
    return max(timings.ceilings, key=lambda found: float(found["flops_per_s"]), default=None)


def use_rows(shots: Sequence[ShotTiming], counted: Sequence[Mapping[str, Counted]], ceiling: Mapping[str, Any] | None) -> list[UseRow]:
    """One row per counted stage, then the whole shot."""
    found: dict[str, list[tuple[Counted, float]]] = {}
    for shot, work in zip(shots, counted, strict=True):
        seconds = shot.by_stage
        for stage, amount in work.items():
            if seconds.get(stage):
                found.setdefault(stage, []).append((amount, seconds[stage]))
        if work and shot.seconds:
            found.setdefault("whole shot", []).append((Counted(flops=sum(amount.flops for amount in work.values())), shot.seconds))
    if "whole shot" in found:
        found["whole shot"] = found.pop("whole shot")
    return [_row(stage, pairs, ceiling) for stage, pairs in found.items()]


def _row(stage: str, pairs: Sequence[tuple[Counted, float]], ceiling: Mapping[str, Any] | None) -> UseRow:
    speed = statistics.median(work.flops / seconds for work, seconds in pairs)
    moved = [work.flops / work.moved_bytes for work, _ in pairs if work.moved_bytes]
    intensity = statistics.median(moved) if moved else None
    row: dict[str, Any] = {"flops": statistics.median(work.flops for work, _ in pairs), "flops_per_s": speed, "intensity": intensity}
    if ceiling:
        top, wide = float(ceiling["flops_per_s"]), float(ceiling["bytes_per_s"])
        row["utilisation"] = speed / top
        if intensity is not None:
            row |= {"roof": min(top, intensity * wide), "held_by": "compute" if intensity * wide >= top else "memory"}
    return UseRow(stage=stage, n=len(pairs), **row)
