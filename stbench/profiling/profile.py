"""The profile of a run: everything that its spans say, in one object. `stbench profile` prints, stores and draws it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stbench.errors import UserError
from stbench.profiling.reading import ShotTiming, Timings, read_timings
from stbench.profiling.roofline import UseRow, best_ceiling, count_shots, use_rows
from stbench.profiling.summary import (
    MemoryRow,
    StageRow,
    StepRow,
    Throughput,
    memory_rows,
    scoring_rows,
    stage_rows,
    step_rows,
    throughput,
)
from stbench.profiling.validity import Validity, validity

if TYPE_CHECKING:
    from stbench.store import RunFolder


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a run's spans say.

    Attributes:
        run: Its name.
        about: Method, model and options.
        device: What it was made on.
        timings: The shots.
        counted: The shots that the tables are of: the warm ones, or all where none was warm.
        validity: May the times be believed?
        stages: By stage.
        memory: Against memory frames.
        steps: Of the sampling loop.
        throughput: What it comes to; told only where the times are valid.
        uses: How stages used the device, or why that is not known.
        ceiling: What the device reached, or None.
        scoring: (encoder, clips, seconds per clip).
    """

    run: str
    about: str
    device: str
    timings: Timings
    counted: tuple[ShotTiming, ...]
    validity: Validity
    stages: tuple[StageRow, ...]
    memory: tuple[MemoryRow, ...]
    steps: tuple[StepRow, ...]
    throughput: Throughput | None
    uses: tuple[UseRow, ...] | str
    ceiling: Mapping[str, Any] | None
    scoring: tuple[tuple[str, int, float], ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict. Without a headline where the times are not valid."""
        return {
            "run": self.run,
            "about": self.about,
            "device": self.device,
            "validity": self.validity.word,
            "reasons": list(self.validity.reasons),
            "remarks": list(self.validity.remarks),
            "shots": {"timed": len(self.timings.shots), "warm": len(self.timings.warm)},
            "headline": asdict(self.throughput) if self.throughput and self.validity.valid else None,
            "stages": [asdict(row) for row in self.stages],
            "memory": [asdict(row) for row in self.memory],
            "steps": [asdict(row) for row in self.steps],
            "use": None if isinstance(self.uses, str) else [asdict(row) for row in self.uses],
            "use_reason": self.uses if isinstance(self.uses, str) else None,
            "ceiling": None if self.ceiling is None else {k: v for k, v in self.ceiling.items() if k not in ("event", "time", "writer")},
            "peak_bytes": self.timings.peak_bytes,
            "peak_reserved_bytes": self.timings.peak_reserved_bytes,
            "host_bytes": self.timings.host_bytes,
            "loads_s": list(self.timings.loads_s),
            "scoring": [{"encoder": name, "clips": clips, "seconds_per_clip": seconds} for name, clips, seconds in self.scoring],
        }


def profile_run(run: RunFolder) -> Profile:
    """The profile of a run folder.

    Raises:
        UserError: None of its shots was timed.
    """
    timings = read_timings(run)
    if not timings.shots:
        raise UserError("no shot of it was timed", where=str(run.path), hint="a run folder made by `stbench run` has times in timing.jsonl")
    shots = timings.warm or timings.shots
    counted = count_shots(run.manifest, shots)
    ceiling = best_ceiling(timings)
    uses = counted if isinstance(counted, str) else tuple(use_rows(shots, counted, ceiling))
    manifest = run.manifest
    options = "".join(f", {key}={value}" for key, value in manifest.options.items())
    return Profile(
        run=run.name,
        about=f"{manifest.method} on {manifest.model}{options}",
        device=device_words(shots[-1]),
        timings=timings,
        counted=shots,
        validity=validity(timings),
        stages=tuple(stage_rows(shots)),
        memory=tuple(memory_rows(shots)),
        steps=tuple(step_rows(shots)),
        throughput=throughput(shots, manifest.counts.expected / manifest.counts.stories),
        uses=uses or "no stage of it was counted",
        ceiling=ceiling,
        scoring=tuple(scoring_rows(timings)),
    )


def device_words(shot: ShotTiming) -> str:
    """What a shot was made on.

    Example:
        >>> facts = {"processor": "Xeon", "cores": 2}
        >>> device_words(ShotTiming(story="a", shot="1", place=1, seconds=1.0, video_s=1.0, device="cpu", warm=True, facts=facts))
        'cpu (Xeon, 2 cores)'
    """
    gpu = shot.facts.get("gpu")
    if isinstance(gpu, Mapping) and gpu.get("name"):
        return f"{shot.device} ({gpu['name']})"
    if "processor" not in shot.facts:
        return shot.device
    cores = shot.facts.get("cores", 1)
    return f"{shot.device} ({shot.facts['processor']}, {cores} core{'s' * (cores != 1)})"
