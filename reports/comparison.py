"""Comparison of runs with a base: paired changes, corrected for their number, with marks that stay honest about what is missing.

All rows of one comparison are one family for Holm's correction, whatever the number of methods and metrics: the chance that
any `+` or `-` appears where nothing differs is at most 5%.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from reports.arms import Arm, arms_of, flags, shared_seeds, shared_stories
from reports.tables import RunScores
from stbench.errors import UserError
from stbench.scores import Score
from stbench.significance import ALPHA, DRAWS, Ranking, holm, rank_methods
from stbench.stats import NOTHING_SHARED, PairedChange, Unit, not_compared, paired_values, why_not_comparable

if TYPE_CHECKING:
    import pandas as pd

LEGEND = (
    ("+", "better: Holm-corrected p below 0.05"),
    ("-", "worse: Holm-corrected p below 0.05"),
    ("~", "changed, but no more than luck may do"),
    ("x", "not comparable, or nothing to compare"),
    ("!", "the base has values that are missing here"),
    ("*", "has values that the base lacks"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric of one arm against the base.

    Attributes:
        arm: Title of the arm.
        metric: Name.
        protocol: Name.
        unit: "cosine", "share", …
        higher_is_better: None where neither direction is better.
        change: The paired change; with a reason, there is none.
        p_holm: Corrected p-value, or None.
        lost: Units with a value in the base and none here.
        gained: Units with a value here and none in the base.
    """

    arm: str
    metric: str
    protocol: str
    unit: str
    higher_is_better: bool | None
    change: PairedChange
    p_holm: float | None = None
    lost: int = 0
    gained: int = 0

    @property
    def mark(self) -> str:
        """The signs of the legend that hold; blank where neither direction is better."""
        extra = ("!" if self.lost else "") + ("*" if self.gained else "")
        if self.change.mean is None:
            return extra or "x"
        if self.p_holm is None or self.p_holm > ALPHA or self.change.mean == 0:
            return "~" + extra
        if self.higher_is_better is None:
            return extra
        return ("+" if (self.change.mean > 0) == self.higher_is_better else "-") + extra

    @property
    def win_tie_loss(self) -> tuple[int, int, int]:
        """Stories won, tied and lost by the arm; by the sign of the change where neither direction is better."""
        c = self.change
        return (c.lower, c.equal, c.higher) if self.higher_is_better is False else (c.higher, c.equal, c.lower)

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict, the mark included."""
        return {"mark": self.mark, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A base, the arms compared with it, and every row.

    Attributes:
        base: The first arm.
        arms: The others.
        rows: Arm by arm, metric by metric.
        flags: What a reader must know first; empty where all is alike but the method.
        rankings: (protocol, metric) → mean ranks of base and arms, in this order; for three arms and more.
    """

    base: Arm
    arms: tuple[Arm, ...]
    rows: tuple[Row, ...]
    flags: tuple[str, ...]
    rankings: dict[tuple[str, str], Ranking]

    @property
    def verdict(self) -> str:
        """`not comparable` if any row is, `flagged` if a reader must know something first, else `comparable`."""
        if any(row.mark == "x" for row in self.rows):
            return "not comparable"
        return "flagged" if self.flags or any(row.lost for row in self.rows) else "comparable"

    @property
    def smallest_p(self) -> float | None:
        """No p-value before correction can be below this, with so few stories; None where no row was tested."""
        counts = [row.change.n_stories for row in self.rows if row.change.p is not None]
        return max(2.0 ** (1 - max(counts)), 1 / (1 + DRAWS)) if counts else None

    @property
    def too_few_stories(self) -> bool:
        """No mark can be `+` or `-`, whatever the numbers are."""
        tested = sum(row.change.p is not None for row in self.rows)
        return self.smallest_p is not None and self.smallest_p * tested > ALPHA

    def rows_of(self, arm: str) -> list[Row]:
        """The rows of one arm."""
        return [row for row in self.rows if row.arm == arm]

    def to_json(self) -> dict[str, Any]:
        """One JSON-able object."""
        names = [self.base.title, *(arm.title for arm in self.arms)]
        return {
            "verdict": self.verdict,
            "base": _arm_json(self.base),
            "new": [_arm_json(arm) for arm in self.arms],
            "flags": list(self.flags),
            "rows": [row.to_json() for row in self.rows],
            "ranks": [
                {"protocol": key[0], "metric": key[1], **asdict(ranking), "mean_ranks": dict(zip(names, ranking.mean_ranks, strict=True))}
                for key, ranking in self.rankings.items()
            ],
            "legend": dict(LEGEND),
        }


def compare(runs: Sequence[RunScores]) -> Comparison:
    """Compare every arm with that of the first run.

    Raises:
        UserError: Fewer than two runs, no scores, or no story in common.
    """
    arms = arms_of(runs)
    if len(arms) < 2:
        raise UserError("one run is given", where="compare", expected="a base and at least one other run")
    for run in runs:
        if not run.scores:
            raise UserError("holds no scores", where=str(run.run.path), hint=f"stbench score {run.run.path}")
    base, others = arms[0], arms[1:]
    if not any(shared_stories(base, arm) for arm in others):
        raise UserError(
            "films no story that the base films, word for word",
            where=str(others[0].runs[0].run.path),
            expected=f"stories of {base.manifest.suite.name} {base.manifest.suite.version}",
        )
    rows = [row for arm in others for row in _rows(base, arm)]
    adjusted = holm([row.change.p if row.change.reason is None else None for row in rows])
    return Comparison(
        base=base,
        arms=tuple(others),
        rows=tuple(replace(row, p_holm=p) for row, p in zip(rows, adjusted, strict=True)),
        flags=tuple(dict.fromkeys(line for arm in others for line in flags(base, arm))),
        rankings=_rankings(arms) if len(arms) > 2 else {},
    )


def compare_if_possible(runs: Sequence[RunScores]) -> Comparison | None:
    """The comparison of the runs that hold scores, for a report that is made of what there is; None where there is nothing to compare."""
    try:
        return compare([run for run in runs if run.scores])
    except UserError:
        return None


def _rows(base: Arm, new: Arm) -> list[Row]:
    """One row per metric and protocol; a metric that has no protocol in common is one row that says so."""
    before, after = _protocols(base), _protocols(new)
    rows = []
    for metric in dict.fromkeys([*before, *after]):
        shared = [name for name in before.get(metric, {}) if name in after.get(metric, {})]
        if metric in before and metric in after and not shared:
            like = next(iter(after[metric].values()))
            reason = f"not comparable: protocol is {', '.join(before[metric])} in the base and {', '.join(after[metric])} in {new.title}"
            rows.append(_row(new, like, not_compared(reason)))
            continue
        for protocol in shared or [*before.get(metric, {}), *after.get(metric, {})]:
            rows.append(_paired_row(base, new, before.get(metric, {}).get(protocol) or after[metric][protocol]))
    return rows


def _paired_row(base: Arm, new: Arm, like: Score) -> Row:
    change, lost, gained = change_between(base, new, like.metric, like.protocol)
    return _row(new, like, change, lost=lost, gained=gained)


def change_between(base: Arm, new: Arm, metric: str, protocol: str) -> tuple[PairedChange, int, int]:
    """The paired change of one metric; values of the base that are missing in `new`, and the other way round (0, 0 if not comparable)."""
    stories, seeds = shared_stories(base, new), shared_seeds(base, new)
    before, after = (_scored(arm.rows(metric, protocol, stories, seeds)) for arm in (base, new))
    lost, gained = len(before.keys() - after.keys()), len(after.keys() - before.keys())
    if reason := why_not_comparable(before, after):
        return not_compared(reason, n_unpaired=lost + gained), 0, 0
    if not before.keys() & after.keys():
        return not_compared(NOTHING_SHARED, n_unpaired=lost + gained), lost, gained
    values = [{unit: row.value for unit, row in rows.items() if row.value is not None} for rows in (before, after)]
    return paired_values(*values), lost, gained


def _scored(rows: dict[Unit, Score]) -> dict[Unit, Score]:
    return {unit: row for unit, row in rows.items() if row.value is not None}


def _row(arm: Arm, like: Score, change: PairedChange, *, lost: int = 0, gained: int = 0) -> Row:
    return Row(
        arm=arm.title,
        metric=like.metric,
        protocol=like.protocol,
        unit=like.unit,
        higher_is_better=like.higher_is_better,
        change=change,
        lost=lost,
        gained=gained,
    )


def _protocols(arm: Arm) -> dict[str, dict[str, Score]]:
    """Metric → protocol → a row of it."""
    found: dict[str, dict[str, Score]] = {}
    for run in arm.runs:
        for row in run.scores:
            found.setdefault(row.metric, {}).setdefault(row.protocol, row)
    return found


def _rankings(arms: Sequence[Arm]) -> dict[tuple[str, str], Ranking]:
    """Mean ranks over the stories that all arms have, for metrics that are comparable throughout and have a direction."""
    found = {}
    stories = shared_stories(arms[0], arms[0])
    for arm in arms[1:]:
        stories = {id: story for id, story in stories.items() if id in shared_stories(arms[0], arm)}
    for key, like in {(row.protocol, row.metric): row for run in arms[0].runs for row in run.scores}.items():
        means = [_story_means(arm.rows(like.metric, like.protocol, stories, arm.seeds)) for arm in arms]
        first = [_scored(arm.rows(like.metric, like.protocol, stories, None)) for arm in arms]
        if like.higher_is_better is None or any(why_not_comparable(first[0], other) for other in first[1:]):
            continue
        shared = sorted(set.intersection(*(set(part) for part in means)))
        if len(shared) >= 2:
            table = [[part[story] for part in means] for story in shared]
            found[key] = rank_methods(table, higher_is_better=like.higher_is_better)
    return found


def _story_means(rows: dict[Unit, Score]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for unit, row in rows.items():
        if row.value is not None:
            values.setdefault(unit[1], []).append(row.value)
    return {story: sum(part) / len(part) for story, part in values.items()}


def comparison_frame(comparison: Comparison | None) -> pd.DataFrame:
    """One row per arm and metric, for CSV and notebooks; no rows without a comparison."""
    import pandas as pd

    rows = []
    for row in comparison.rows if comparison else ():
        data = row.to_json()
        change = data.pop("change")
        wins, ties, losses = row.win_tie_loss
        rows.append({"base": comparison.base.title if comparison else "", **data, **change, "wins": wins, "ties": ties, "losses": losses})
    return pd.DataFrame(rows)


def _arm_json(arm: Arm) -> dict[str, Any]:
    m = arm.manifest
    return {
        "title": arm.title,
        "method": m.method,
        "runs": [str(run.run.path) for run in arm.runs],
        "seeds": sorted(arm.seeds),
        "suite": m.suite.model_dump(),
        "device": m.device,
        "identity_digest": m.identity_digest,
    }
