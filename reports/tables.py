"""Tables of scores: data frames for notebooks and CSV, and a Markdown page for people.

Every number comes from `stbench.scores.aggregate`, the only aggregation; this file lays out and never sums up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from stbench.scores import Aggregate, Score, aggregate

if TYPE_CHECKING:
    import pandas as pd

    from stbench.store import RunFolder, StoryRecords

SCORE_COLUMNS = tuple(field.name for field in fields(Score) if field.name != "detail")
# Rows to read others against: the truth cannot be beaten, and a frozen picture is not a film. They never win a column.
REFERENCES = ("world-truth", "frozen")


@dataclass(frozen=True, kw_only=True)
class RunScores:
    """A run as a line of a table."""

    title: str
    run: RunFolder
    scores: tuple[Score, ...]
    lines: tuple[Aggregate, ...]

    @cached_property
    def parts(self) -> list[StoryRecords]:
        """The records of the finished shots, story by story; read once."""
        return self.run.story_records()

    @cached_property
    def timings(self) -> list[dict[str, Any]]:
        """The raw spans of time; read once."""
        return self.run.timings()

    @property
    def reference(self) -> bool:
        """It is a reference row: shown, never marked as best."""
        return self.run.manifest.method in REFERENCES

    @property
    def status(self) -> str:
        """`complete`, or what is missing."""
        counts = self.run.manifest.counts
        short = [line for line in self.lines if not line.complete]
        if counts.done < counts.expected:
            return f"partial: {counts.done} of {counts.expected} shots"
        return f"partial: {len(short)} metrics not scored everywhere" if short else "complete"

    def line(self, metric: tuple[str, ...]) -> Aggregate | None:
        """The aggregate that `metric_key` names, if this run has it."""
        return next((line for line in self.lines if metric_key(line) == metric), None)


def read_scores(runs: Sequence[RunFolder], titles: Sequence[str]) -> list[RunScores]:
    """Read the stored rows of each run and sum them up."""
    result = []
    for run, title in zip(runs, titles, strict=True):
        scores = tuple(run.scores())
        result.append(RunScores(title=title, run=run, scores=scores, lines=tuple(aggregate(scores))))
    return result


def metric_key(line: Aggregate) -> tuple[str, ...]:
    """What must be equal for two numbers to stand in one column."""
    return (line.protocol, line.metric, str(line.version), line.encoder_digest or "")


def metric_keys(runs: Sequence[RunScores]) -> list[tuple[str, ...]]:
    """All columns, in the order in which the runs have their metrics; versions of one metric stand together."""
    keys = list(dict.fromkeys(metric_key(line) for run in runs for line in run.lines))
    order = list(dict.fromkeys(key[:2] for key in keys))
    return sorted(keys, key=lambda key: order.index(key[:2]))


def scores_frame(runs: Sequence[RunScores]) -> pd.DataFrame:
    """Every row of every run: what was measured where, value or reason."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for run in runs:
        facts = _run_facts(run)
        for score in run.scores:
            row = {name: getattr(score, name) for name in SCORE_COLUMNS}
            rows.append({**facts, **row, "detail": _compact_json(score.detail)})
    return pd.DataFrame(rows)


def summary_frame(runs: Sequence[RunScores]) -> pd.DataFrame:
    """One row per run and metric: mean, interval, n."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for run in runs:
        for line in run.lines:
            row = line.to_json()
            row.pop("by_story")
            rows.append({**_run_facts(run), **row, "reasons": _compact_json(row["reasons"])})
    return pd.DataFrame(rows)


def _run_facts(run: RunScores) -> dict[str, Any]:
    m = run.run.manifest
    return {"title": run.title, "run": m.name, "method": m.method, "model": m.model, "suite": m.suite.name, "seed": m.seed}


def _compact_json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""


def short_digests(text: str) -> str:
    """`text` with sha256 digests cut to twelve characters."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", text)


def value_text(value: float | None, unit: str, *, signed: bool = False) -> str:
    """A number as tables show it: shares in percent, their changes in percentage points, the rest with three decimals.

    Example:
        >>> value_text(0.5, "share"), value_text(0.12345, "cosine"), value_text(-0.02, "share", signed=True), value_text(None, "share")
        ('50.0%', '0.123', '-2.0 pp', '–')
    """
    if value is None:
        return "–"
    sign = "+" if signed else ""
    if unit == "share":
        return f"{100 * value:{sign}.1f}{' pp' if signed else '%'}"
    return f"{value:{sign}.3f}"


def interval_text(low: float | None, high: float | None, unit: str, *, signed: bool = False) -> str:
    """A 95% interval, or a dash where there are fewer than two stories."""
    if low is None or high is None:
        return "–"
    return f"{value_text(low, unit, signed=signed)} .. {value_text(high, unit, signed=signed)}"


def p_text(p: float | None) -> str:
    """A p-value as tables print it.

    Example:
        >>> p_text(0.0123), p_text(0.0001), p_text(1.0), p_text(None)
        ('0.012', '<0.001', '1.000', '–')
    """
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"
