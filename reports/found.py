"""What a table of a paper shows, in sentences: paired changes between methods, story by story, and whether an expected order holds.

A step of an order holds where the 95% interval of its paired change lies on the better side of zero; p-values are corrected (Holm) over
all changes of the table, and stand beside. Nothing is expected of the numbers: a step that does not hold is said in the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from reports.arms import Arm
from reports.comparison import change_between
from reports.paper import Column
from reports.tables import interval_text, p_text, value_text
from stbench.significance import holm
from stbench.stats import PairedChange

LEVEL = 0.05  # of corrected p-values
Verdict = Literal["better", "worse", "not told apart", "too few stories", "not compared"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """How one method changes a metric against another."""

    new: str
    base: str
    column: Column
    change: PairedChange
    p_holm: float | None = None

    @property
    def verdict(self) -> Verdict:
        """By the interval alone."""
        c = self.change
        if c.mean is None:
            return "not compared"
        if c.low is None or c.high is None:
            return "too few stories"
        if not c.significant or self.column.higher_is_better is None:
            return "not told apart"
        return "better" if (c.low > 0) == self.column.higher_is_better else "worse"

    def text(self) -> str:
        """`storymem - wan-t2v +0.452 (+0.380 .. +0.517), p <0.001`."""
        return f"{self.new} - {self.base} {self.size()}"

    def size(self) -> str:
        """The change without the names."""
        c, unit = self.change, self.column.unit
        if c.mean is None:
            return str(c.reason)
        span = interval_text(c.low, c.high, unit, signed=True)
        alone = ", by the interval alone" if self.verdict in ("better", "worse") and not _small(self.p_holm) else ""
        return f"{value_text(c.mean, unit, signed=True)} ({span}), p {p_text(self.p_holm)}{alone}"

    def cells(self) -> list[str]:
        """The step as cells of a table."""
        c, unit = self.change, self.column.unit
        if c.mean is None:
            return [f"{self.new} - {self.base}", self.column.metric, "–", str(c.reason), "–", "–", self.verdict]
        size, span = value_text(c.mean, unit, signed=True), interval_text(c.low, c.high, unit, signed=True)
        return [f"{self.new} - {self.base}", self.column.metric, size, span, p_text(self.p_holm), f"{c.n} ({c.n_stories})", self.verdict]


def _small(p: float | None) -> bool:
    return p is not None and p < LEVEL


HEADS = ["change", "metric", "mean", "95% interval", "p (Holm)", "pairs (stories)", "found"]


def steps(pairs: Sequence[tuple[Arm, Arm]], columns: Sequence[Column]) -> list[Step]:
    """The change of every pair (new, base) in every column, p-values corrected over all of them."""
    found = [
        Step(new=new.title, base=base.title, column=column, change=change_between(base, new, column.metric, column.protocol)[0])
        for new, base in pairs
        for column in columns
    ]
    adjusted = holm([step.change.p for step in found])
    return [replace(step, p_holm=p) for step, p in zip(found, adjusted, strict=True)]


def order_lines(order: Sequence[Arm], found: Sequence[Step], metrics: Sequence[str]) -> list[str]:
    """Whether `order[0] > order[1] > …` holds on each of these metrics, in sentences; the first sums up."""
    links = [(better.title, worse.title) for better, worse in pairwise(order)]
    name = " > ".join(arm.title for arm in order)
    holds, lines = [], []
    for metric in metrics:
        mine = {(step.new, step.base): step for step in found if step.column.metric == metric}
        chain = [mine[link] for link in links if link in mine]
        if len(chain) < len(links):
            continue
        verdicts = [step.verdict for step in chain]
        if set(verdicts) == {"better"}:
            holds.append(metric)
        said = "holds" if set(verdicts) == {"better"} else "is broken" if "worse" in verdicts else "is not shown"
        lines.append(f"`{metric}`: the order {said}: " + "; ".join(f"{step.text()}: {step.verdict}" for step in chain) + ".")
    if not lines:
        return ["The order of methods on consistency cannot be told: no metric of it was scored for all of them."]
    if not holds:
        return [f"The order {name} is shown on none of {len(lines)} metrics of consistency.", *lines]
    named = f": {', '.join(f'`{metric}`' for metric in holds)}"
    where = f"on {len(holds)} of {len(lines)} metrics of consistency{named}"
    return [f"The order {name} holds, with the 95% interval of every step on the better side of zero, {where}.", *lines]


def ablation_lines(full: Arm, others: Sequence[Arm], found: Sequence[Step], metrics: Sequence[str]) -> list[str]:
    """What each ablation changes against the whole method, and in how many shots the two films are the very same."""
    lines = []
    for arm in others:
        same, total = same_films(full, arm)
        if same == total > 0:
            lines.append(f"{arm.title} changes nothing here: all {total} shots are those of {full.title}, byte for byte.")
            continue
        by_verdict: dict[str, list[str]] = {}
        for step in found:
            if (step.new, step.base) == (arm.title, full.title) and step.column.metric in metrics:
                size = f" {step.size()}" if step.verdict in ("better", "worse") else ""
                by_verdict.setdefault(step.verdict, []).append(f"`{step.column.metric}`{size}")
        said = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in by_verdict.items()) or "nothing was scored in both"
        alike = f" {same} of {total} shots are the same film, byte for byte." if same else ""
        lines.append(f"{arm.title} against {full.title}: {said}.{alike}")
    return lines


def same_films(one: Arm, other: Arm) -> tuple[int, int]:
    """Shots of the same seed whose files are equal, and shots that both have."""
    before, after = _digests(one), _digests(other)
    shared = before.keys() & after.keys()
    return sum(before[unit] == after[unit] for unit in shared), len(shared)


def _digests(arm: Arm) -> dict[tuple[int, str, str], str]:
    return {
        (run.run.manifest.seed, record.story, record.shot): record.video.sha256
        for run in arm.runs
        for part in run.parts
        for record in part.records
    }
