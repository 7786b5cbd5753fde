"""Scores: what a metric found out about one shot or one story, and the only place where they are summed up.

A `Score` is one row: a value, or a reason why there is none. It is never NaN and never 0 for "nothing". `aggregate` is
the only aggregation in the project: every table, report and verdict shows its output, so two of them cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from types import NoneType
from typing import Any

from stbench.errors import printable


@dataclass(frozen=True, kw_only=True)
class Score:
    """One row of `scores.jsonl`. Exactly one of `value` and `reason` is given.

    Attributes:
        metric: Name of the metric.
        version: Its version; numbers of two versions are never compared.
        unit: "cosine", "share", …
        higher_is_better: None where neither direction is better.
        protocol: The named set of metrics and settings it belongs to.
        story: Story id.
        shot: `Shot.id`, or None for a score of the whole story.
        value: The finite number, or None.
        reason: Why there is no number, or None.
        encoder: Registry name of the encoder, or None if it uses none.
        encoder_digest: sha256 of its weights and settings.
        key: Hash of everything that the value depends on: equal keys, equal values.
        detail: Facts for people who look closer; never aggregated.
    """

    metric: str
    version: int
    unit: str
    higher_is_better: bool | None
    protocol: str
    story: str
    shot: str | None
    value: float | None
    reason: str | None
    encoder: str | None
    encoder_digest: str | None
    key: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Hold the promise of exactly one of value and reason."""
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"score {self.metric} of {self.story} {self.shot or ''}: give either a value or a reason")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"score {self.metric} of {self.story} {self.shot or ''}: {self.value} is not finite; give a reason instead")
        if self.reason is not None and not self.reason.strip():
            raise ValueError(f"score {self.metric} of {self.story} {self.shot or ''}: the reason is empty")

    @property
    def unit_id(self) -> tuple[str, str, str, str | None]:
        """What was scored, by what: (protocol, metric, story, shot). Unique within a run."""
        return (self.protocol, self.metric, self.story, self.shot)

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict, the inverse of `from_json`."""
        return asdict(self) | {"detail": dict(self.detail)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Score:
        """Read one row; fields of newer versions are ignored. Raises ValueError, KeyError or TypeError on a bad row.

        Example:
            >>> row = Score(metric="m", version=1, unit="share", higher_is_better=True, protocol="p", story="s", shot=None,
            ...             value=0.5, reason=None, encoder=None, encoder_digest=None, key="k")
            >>> Score.from_json(row.to_json()) == row
            True
        """
        row: dict[str, Any] = {name: printable(value) if isinstance(value, str) else value for name, value in data.items() if name in KINDS}
        for name, value in row.items():
            if not isinstance(value, KINDS[name]) or (isinstance(value, bool) and name != "higher_is_better"):
                raise ValueError(f"its {name} is {value!r:.40}")
        if row.get("value") is not None:
            row["value"] = float(row["value"])
        return cls(**row)


_MAYBE_TEXT = (str, NoneType)
KINDS: Mapping[str, type | tuple[type, ...]] = {  # field of a row → what it may be
    **dict.fromkeys(("metric", "unit", "protocol", "story", "key"), str),
    **dict.fromkeys(("shot", "reason", "encoder", "encoder_digest"), _MAYBE_TEXT),
    **{"version": int, "higher_is_better": (bool, NoneType), "value": (int, float, NoneType), "detail": dict},
}


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """One metric over a run: the mean over scored units, with a 95% interval clustered by story.

    `mean` is None where nothing was scored; `low` and `high` are None where fewer than two stories were.
    """

    metric: str
    version: int
    unit: str
    higher_is_better: bool | None
    protocol: str
    encoder: str | None
    encoder_digest: str | None
    n_scored: int
    n_expected: int
    mean: float | None
    low: float | None
    high: float | None
    by_story: Mapping[str, float]  # mean within each story that has at least one value
    reasons: Mapping[str, int]  # why values are missing, and how often

    @property
    def complete(self) -> bool:
        """Every expected unit has a value."""
        return self.n_scored == self.n_expected

    @property
    def arrow(self) -> str:
        """↑ higher is better, ↓ lower is better, blank: neither."""
        return {True: "↑", False: "↓", None: " "}[self.higher_is_better]

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict."""
        return asdict(self) | {"by_story": dict(self.by_story), "reasons": dict(self.reasons)}


def aggregate(scores: Iterable[Score]) -> list[Aggregate]:
    """Sum up rows into one line per metric, in the order in which metrics first appear.

    Rows of one metric that are not comparable (another version, protocol or encoder digest) become separate lines.
    The mean is over scored units, so each shot counts once; the interval resamples stories, because shots of one story
    are not independent (see `stbench.stats.cluster_interval`; seeded, so the same rows give the same interval).

    Example:
        >>> base = dict(metric="m", version=1, unit="share", higher_is_better=True, protocol="p", encoder=None,
        ...             encoder_digest=None, key="k")
        >>> rows = [Score(**base, story="a", shot="01_01", value=1.0, reason=None),
        ...         Score(**base, story="a", shot="01_02", value=0.0, reason=None),
        ...         Score(**base, story="b", shot="01_01", value=None, reason="no face found")]
        >>> line = aggregate(rows)[0]
        >>> line.mean, line.n_scored, line.n_expected, line.low
        (0.5, 2, 3, None)
    """
    rows = list(scores)
    homes: dict[tuple[str, str, int], str | None] = {}  # rows without a value have no features: they join the first line of their metric
    for row in rows:
        if row.value is not None:
            homes.setdefault((row.protocol, row.metric, row.version), row.encoder_digest)
    groups: dict[tuple[str, str, int, str | None], list[Score]] = {}
    for row in rows:
        kind = (row.protocol, row.metric, row.version)
        digest = homes.get(kind) if row.value is None else row.encoder_digest
        groups.setdefault((*kind, digest), []).append(row)
    return [_aggregate_one(group) for group in groups.values()]


def _aggregate_one(rows: list[Score]) -> Aggregate:
    from stbench.stats import cluster_interval

    values_by_story: dict[str, list[float]] = {}
    reasons: dict[str, int] = {}
    for row in rows:
        if row.value is None:
            reasons[str(row.reason)] = reasons.get(str(row.reason), 0) + 1
        else:
            values_by_story.setdefault(row.story, []).append(row.value)
    values = [value for story in values_by_story.values() for value in story]
    interval = cluster_interval(values_by_story)
    like = next((row for row in rows if row.value is not None), rows[0])
    return Aggregate(
        metric=like.metric,
        version=like.version,
        unit=like.unit,
        higher_is_better=like.higher_is_better,
        protocol=like.protocol,
        encoder=like.encoder,
        encoder_digest=like.encoder_digest,
        n_scored=len(values),
        n_expected=len(rows),
        mean=math.fsum(values) / len(values) if values else None,
        low=interval.low,
        high=interval.high,
        by_story={story: math.fsum(part) / len(part) for story, part in values_by_story.items()},
        reasons=reasons,
    )
