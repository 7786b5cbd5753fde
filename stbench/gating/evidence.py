"""What a run measured, as small as it can be kept: scores, seconds of warm shots by stage, peak memory, and what they were measured on.

The same for a fresh run and for a stored baseline, so that the judge knows one kind of thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from stbench.errors import InvalidRunError, UserError
from stbench.journal import JournalReading, read_journal
from stbench.keys import digest
from stbench.manifest import Frozen, SuiteFact
from stbench.scores import Score
from stbench.timing import LOAD, PEAK, WHOLE_SHOT

if TYPE_CHECKING:
    from stbench.store import RunFolder
    from stbench.story import Story

DIGITS = 7  # significant ones of a stored number

ByShot = dict[str, dict[str, float]]  # story → shot ("" for the story as a whole) → number
At = tuple[str, str]  # story, shot


class MetricFact(Frozen):
    """The values of one metric that may be compared with each other."""

    metric: str
    version: int
    unit: str
    higher_is_better: bool | None
    protocol: str
    encoder: str | None = None
    encoder_digest: str | None = None
    values: ByShot

    def rows(self) -> list[Score]:
        """The values as rows of scores, for `stbench.stats`."""
        facts = self.model_dump(exclude={"values"})
        shots = [(story, shot or None, value) for story, part in self.values.items() for shot, value in part.items()]
        return [Score(**facts, story=story, shot=shot, value=value, reason=None, key="evidence") for story, shot, value in shots]


class Evidence(Frozen):
    """What a run measured.

    Attributes:
        run: Its name.
        stories: Story id → digest of its words.
        metrics: Scores.
        missing: Metric → story → why there is no value, for the judge's reasons.
        seconds: Stage → seconds of each shot that was made with warm models.
        peaks: Most bytes of each shot, where the method measured them.
        device: Kind of device, such as "NVIDIA H100 80GB HBM3" or "cpu".
        problems: What cannot be read or trusted: any of it fails every rule of that kind.
    """

    run: str
    method: str
    model: str
    identity_digest: str
    seed: int
    suite: SuiteFact
    protocol: str
    device: str
    versions: dict[str, str]
    stories: dict[str, str]
    metrics: tuple[MetricFact, ...] = ()
    missing: dict[str, dict[str, str]] = Field(default_factory=dict, exclude=True)
    seconds: dict[str, ByShot] = Field(default_factory=dict)
    peaks: ByShot = Field(default_factory=dict)
    problems: dict[str, str] = Field(default_factory=dict, exclude=True)  # "scores" or "timing" → what

    @model_validator(mode="after")
    def _sane(self) -> Evidence:
        for part in (*self.seconds.values(), self.peaks):
            if any(value < 0 for shots in part.values() for value in shots.values()):
                raise ValueError("a time or a size is below zero")
        return self

    def metrics_named(self, name: str) -> list[MetricFact]:
        """The metrics that a rule's name means: `metric`, or `protocol/metric`."""
        protocol, _, metric = name.rpartition("/")
        return [fact for fact in self.metrics if fact.metric == metric and (not protocol or fact.protocol == protocol)]


def evidence_of(run: RunFolder) -> Evidence:
    """Read what a run measured. Damaged scores or spans are named in `problems`, not raised: the gate must still report."""
    m = run.manifest
    metrics, missing, problems = _scores(run)
    reading = read_journal(run.timing_path)
    seconds, peaks, trouble = _spans(reading)
    return Evidence(
        run=m.name,
        method=m.method,
        model=m.model,
        identity_digest=m.identity_digest,
        seed=m.seed,
        suite=m.suite,
        protocol=m.protocol,
        device=device_kind(run, reading.events),
        versions=m.versions,
        stories={story.id: words_digest(story) for story in run.stories},
        metrics=metrics,
        missing=missing,
        seconds=seconds,
        peaks=peaks,
        problems=problems | trouble,
    )


def words_digest(story: Story) -> str:
    """A short digest of a story's words: two stories of one name may be compared only where it is equal."""
    return digest(story.to_json())[:16]


def device_kind(run: RunFolder, spans: Iterable[Mapping[str, Any]] = ()) -> str:
    """What a run was made on: the name of the GPU, or of the processor with its cores; else the word in the manifest.

    Example:
        >>> span = {"stage": "shot", "device": "cpu", "detail": {"processor": "AMD EPYC 9654", "cores": 2}}
        >>> kind_of(span)
        'AMD EPYC 9654, 2 cores'
    """
    kinds = sorted({kind for span in spans if (kind := kind_of(span))})
    return " and ".join(kinds) or run.manifest.device.partition(":")[0]


def kind_of(span: Mapping[str, Any]) -> str:
    """What one shot was made on, as the span of the whole shot says; "" where it does not."""
    detail = span.get("detail")
    if span.get("stage") != WHOLE_SHOT or not isinstance(detail, Mapping):
        return ""
    if str(span.get("device", "")).startswith("cuda"):
        gpu = detail.get("gpu")
        return str(gpu.get("name", "")) if isinstance(gpu, Mapping) else ""
    return f"{detail['processor']}, {detail.get('cores')} cores" if "processor" in detail else ""


def _scores(run: RunFolder) -> tuple[tuple[MetricFact, ...], dict[str, dict[str, str]], dict[str, str]]:
    try:
        rows = run.scores()
    except InvalidRunError as error:
        return (), {}, {"scores": error.what}
    missing: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.reason is not None:
            missing.setdefault(row.metric, {})[row.story] = row.reason
    return _facts(row for row in rows if row.value is not None), missing, {}


def _facts(rows: Iterable[Score]) -> tuple[MetricFact, ...]:
    groups: dict[tuple[Any, ...], ByShot] = {}
    for row in rows:
        key = (row.metric, row.version, row.unit, row.higher_is_better, row.protocol, row.encoder, row.encoder_digest)
        groups.setdefault(key, {}).setdefault(row.story, {})[row.shot or ""] = short(row.value or 0.0)
    names = ("metric", "version", "unit", "higher_is_better", "protocol", "encoder", "encoder_digest")
    return tuple(MetricFact(**dict(zip(names, key, strict=True)), values=values) for key, values in groups.items())


def _spans(reading: JournalReading) -> tuple[dict[str, ByShot], ByShot, dict[str, str]]:
    """Seconds by stage of warm shots, peak bytes of all, and what is wrong. A shot that was made again counts as it was made last."""
    if reading.broken:
        return {}, {}, {"timing": f"line {reading.broken[0]} of its spans is damaged"}
    shots: dict[At, dict[str, float]] = {}
    cold: set[At] = set()
    peaks: ByShot = {}
    for span in reading.events:
        if span.get("event") != "span" or span.get("stage") == LOAD or not span.get("shot"):
            continue
        at, took = (str(span.get("story")), str(span["shot"])), span.get("seconds")
        if not isinstance(took, int | float) or took < 0:
            return {}, {}, {"timing": f"{at[0]} {at[1]}: {span.get('stage')} took {took!r} seconds"}
        if span.get("stage") == WHOLE_SHOT:  # the first span of a shot
            shots[at] = {}
            (cold.discard if span.get("warm") else cold.add)(at)
            peaks.get(at[0], {}).pop(at[1], None)
        stages = shots.setdefault(at, {})
        stages[str(span.get("stage"))] = stages.get(str(span.get("stage")), 0.0) + float(took)
        _note_peak(peaks, at, span.get("detail") or {})
    seconds: dict[str, ByShot] = {}
    for (story, shot), stages in shots.items():
        for stage, took in stages.items() if (story, shot) not in cold else ():
            seconds.setdefault(stage, {}).setdefault(story, {})[shot] = short(took)
    return seconds, peaks, {}


def _note_peak(peaks: ByShot, at: At, detail: Any) -> None:
    value = detail.get(PEAK) if isinstance(detail, Mapping) else None
    if isinstance(value, int | float):
        part = peaks.setdefault(at[0], {})
        part[at[1]] = max(part.get(at[1], 0.0), float(value))


def short(value: float) -> float:
    """The number with as many digits as a baseline keeps."""
    return float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The same shots in two runs: their numbers, in the same order."""

    base: tuple[float, ...]
    new: tuple[float, ...]
    vanished: tuple[str, ...]  # stories of the base without any shot here


def pair_up(base: ByShot, new: ByShot) -> Pairs:
    """Numbers of the shots that both have.

    Example:
        >>> pair_up({"a": {"1": 2.0, "2": 3.0}, "b": {"1": 1.0}}, {"a": {"2": 4.0}})
        Pairs(base=(3.0,), new=(4.0,), vanished=('b',))
    """
    shared = [(story, shot) for story, shots in base.items() for shot in shots if shot in new.get(story, {})]
    there = {story for story, _ in shared}
    return Pairs(
        base=tuple(base[story][shot] for story, shot in shared),
        new=tuple(new[story][shot] for story, shot in shared),
        vanished=tuple(story for story in base if story not in there),
    )


def statistic(values: Iterable[float], name: str) -> float:
    """The p50, p90 or mean of some numbers; a `UserError` for a p90 of fewer than ten.

    Example:
        >>> statistic([1.0, 2.0, 4.0], "p50")
        2.0
    """
    import numpy as np

    numbers = list(values)
    if name == "p90" and len(numbers) < 10:
        raise UserError(f"{len(numbers)} shots are too few for a p90", expected="at least 10")
    return float(np.mean(numbers) if name == "mean" else np.quantile(numbers, {"p50": 0.5, "p90": 0.9}[name]))
