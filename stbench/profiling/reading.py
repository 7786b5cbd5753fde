"""timing.jsonl → the shots that were timed. A shot that was made again counts as it was made last; reused shots were never timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stbench.timing import CEILING, LOAD, ON_HOST, OUTSIDE, PEAK, PEAK_RESERVED, SCORING, WHOLE_SHOT

if TYPE_CHECKING:
    from stbench.store import RunFolder

LOADS_LATE = "load_experts"  # weights that a shot waited for: it was not warm


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One span of a shot."""

    name: str
    seconds: float
    start_s: float | None  # after the shot began; None in older runs
    detail: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ShotTiming:
    """One timed shot.

    Attributes:
        story: Id of its story.
        shot: Its id.
        place: In its story, from 1.
        seconds: Of the whole shot, as the runner measured it.
        video_s: Length of what was made.
        device: "cpu", "cuda", …
        warm: The process had made such a shot before, and no weights were loaded during this one.
        stages: Its spans, in the order in which they were written.
        facts: What `stbench.machine` saw: cpu_wait_s, clock_drift_s, load_1m, cores, processor, gpu, mode, host_bytes. Empty in older runs.
    """

    story: str
    shot: str
    place: int
    seconds: float
    video_s: float
    device: str
    warm: bool
    stages: tuple[Stage, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_stage(self) -> dict[str, float]:
        """Stage → its seconds, summed over its spans."""
        found: dict[str, float] = {}
        for stage in self.stages:
            found[stage.name] = found.get(stage.name, 0.0) + stage.seconds
        return found

    @property
    def denoise(self) -> Mapping[str, Any]:
        """Detail of the sampling loop: steps, memory, steps_s, experts, …; empty where the method has none."""
        return next((stage.detail for stage in self.stages if stage.name == "denoise"), {})

    @property
    def memory(self) -> int | None:
        """How many memory frames it was given; None where its spans do not say."""
        counts = [stage.detail["memory"] for stage in self.stages if isinstance(stage.detail.get("memory"), int)]
        return max(counts) if counts else None

    def most(self, name: str) -> int | None:
        """Most bytes of a kind over its stages."""
        found = [stage.detail[name] for stage in self.stages if isinstance(stage.detail.get(name), int)]
        return max(found) if found else None


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Everything that a run's timing.jsonl says.

    Attributes:
        shots: In the order in which they were made.
        loads_s: Seconds of each loading of the models.
        ceilings: What the device reached, in order; see `stbench.profiling.ceiling`.
        scorings: Seconds by encoder of each scoring.
        damaged: Lines that cannot be read.
    """

    shots: tuple[ShotTiming, ...]
    loads_s: tuple[float, ...] = ()
    ceilings: tuple[Mapping[str, Any], ...] = ()
    scorings: tuple[Mapping[str, Any], ...] = ()
    damaged: int = 0

    @property
    def warm(self) -> tuple[ShotTiming, ...]:
        """Those that count."""
        return tuple(shot for shot in self.shots if shot.warm)

    @property
    def peak_bytes(self) -> int | None:
        """Most memory allocated on the device."""
        return _most(shot.most(PEAK) for shot in self.shots)

    @property
    def peak_reserved_bytes(self) -> int | None:
        """Most memory that the allocator took from the device."""
        return _most(shot.most(PEAK_RESERVED) for shot in self.shots)

    @property
    def host_bytes(self) -> int | None:
        """Most main memory that the process held."""
        told = [shot.facts.get(ON_HOST) for shot in self.shots]
        return _most([*(value for value in told if isinstance(value, int)), *(shot.most(ON_HOST) for shot in self.shots)])


def _most(values: Any) -> int | None:
    return max((value for value in values if value is not None), default=None)


def read_timings(run: RunFolder) -> Timings:
    """The timings of a run's finished shots."""
    from stbench.journal import read_journal

    reading = read_journal(run.timing_path)
    records = {(part.story.id, record.shot): record for part in run.story_records() for record in part.records}
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    loads: list[float] = []
    for span in reading.events:
        unit = (str(span.get("story")), str(span.get("shot")))
        if span.get("event") != "span" or not _is_seconds(span.get("seconds")):
            continue
        if span.get("stage") == LOAD:
            loads.append(float(span["seconds"]))
        elif span.get("stage") == WHOLE_SHOT:
            groups.pop(unit, None)  # made again: counted where it was made last
            groups[unit] = [span]
        elif unit in groups:
            groups[unit].append(span)
    shots = []
    for unit, spans in groups.items():
        if record := records.get(unit):
            shots.append(_shot(spans, record.index + 1, record.n_frames / record.fps))
    return Timings(
        shots=tuple(shots),
        loads_s=tuple(loads),
        ceilings=tuple(event for event in reading.events if event.get("event") == CEILING),
        scorings=tuple(event for event in reading.events if event.get("event") == SCORING),
        damaged=len(reading.broken),
    )


def _shot(spans: Sequence[Mapping[str, Any]], place: int, video_s: float) -> ShotTiming:
    whole, *parts = spans
    stages = tuple(
        Stage(name=str(span.get("stage")), seconds=float(span["seconds"]), start_s=_number(span.get("start_s")), detail=_detail(span))
        for span in parts
    )
    return ShotTiming(
        story=str(whole["story"]),
        shot=str(whole["shot"]),
        place=place,
        seconds=float(whole["seconds"]),
        video_s=video_s,
        device=str(whole.get("device")),
        warm=bool(whole.get("warm")) and all(stage.name != LOADS_LATE for stage in stages),
        stages=stages,
        facts=_facts(_detail(whole)),
    )


def _detail(span: Mapping[str, Any]) -> Mapping[str, Any]:
    detail = span.get("detail")
    return detail if isinstance(detail, Mapping) else {}


NUMBERS = ("clock_drift_s", "cpu_wait_s", "load_1m", "cores", "other_processes", "energy_j")  # facts that are computed with
KINDS: Mapping[str, type] = {"processor": str, "name": str, "slowed": list, "gpu": dict}


def _facts(detail: Mapping[str, Any]) -> dict[str, Any]:
    """What the machine did, without facts of another kind than they have: anybody may have written the file."""
    kept: dict[str, Any] = {name: value for name, value in detail.items() if isinstance(value, KINDS.get(name, object))}
    kept = {name: value for name, value in kept.items() if name not in NUMBERS or _number(value) is not None}
    return {name: _facts(value) if name == "gpu" else value for name, value in kept.items()}


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def inside(shot: ShotTiming) -> dict[str, float]:
    """Stage → seconds of the stages that are part of the shot's own time; what no stage covers is "other"."""
    found = {name: seconds for name, seconds in shot.by_stage.items() if name not in OUTSIDE}
    return found | {"other": max(0.0, shot.seconds - sum(found.values()))} if found else {"whole shot": shot.seconds}
