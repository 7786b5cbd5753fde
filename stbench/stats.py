"""Statistics of scores: intervals clustered by story, and paired changes between two runs.

Shots of one story share characters, places and a memory, so they are not independent. Every interval here resamples
whole stories (a cluster bootstrap; Efron & Tibshirani 1993, ch. 6; Field & Welsh 2007) with a seeded generator: the same
rows give the same numbers, on any machine. Few stories make a percentile interval too short, so its ends are taken further
out (the expanded percentile interval of Hesterberg 2015, section 5.3). Pure functions on numbers; no files, no device.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stbench.scores import Score

RESAMPLES = 2000
LEVEL = 0.95
NOTHING_SHARED = "no story or shot has a value in both runs"


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval; both ends None where there are fewer than two clusters."""

    low: float | None
    high: float | None


Unit = tuple[int | None, str, str | None]  # seed (None where pairs are not of one seed), story, shot (None: the whole story)


@dataclass(frozen=True, kw_only=True)
class PairedChange:
    """Mean of new - base over the units that both runs scored.

    Attributes:
        mean: The mean difference, or None with a `reason`.
        low: Lower end of the 95% interval by story, or None with fewer than two stories.
        high: Upper end.
        n: Pairs of values.
        n_stories: Stories that they come from.
        n_unpaired: Units scored in only one of the two runs.
        reason: Why there is no comparison, or None.
        base: Mean of the base run over the pairs.
        new: Mean of the new run over the pairs.
        p: Of the sign-flip test by story, two-sided, not corrected; None with fewer than two stories.
        effect: Hedges' g of the stories' mean differences, or None where it has no meaning.
        higher: Stories whose mean rose.
        equal: Stories whose mean is the same as far as tables show it.
        lower: Stories whose mean fell.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    n_stories: int
    n_unpaired: int
    reason: str | None = None
    base: float | None = None
    new: float | None = None
    p: float | None = None
    effect: float | None = None
    higher: int = 0
    equal: int = 0
    lower: int = 0

    @property
    def significant(self) -> bool:
        """The interval exists and excludes zero; says nothing about other metrics (see `stbench.significance.holm`)."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def cluster_interval(
    values_by_cluster: Mapping[str, Sequence[float]], *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Expanded percentile bootstrap interval of the mean over all values, resampling clusters with replacement.

    Args:
        values_by_cluster: Cluster name → its values; empty clusters are left out. The order of clusters does not matter.
        level: How often the interval should hold the true mean.
        resamples: Number of bootstrap samples.
        seed: Of the generator.

    Returns:
        The interval; both ends None with fewer than two clusters.

    Example:
        >>> cluster_interval({"a": [1.0, 1.0], "b": [1.0]})
        Interval(low=1.0, high=1.0)
        >>> cluster_interval({"a": [1.0, 2.0]})
        Interval(low=None, high=None)
    """
    names = sorted(name for name, values in values_by_cluster.items() if len(values) > 0)
    if len(names) < 2:
        return Interval(low=None, high=None)
    import numpy as np

    sums = np.array([math.fsum(values_by_cluster[name]) for name in names])
    counts = np.array([len(values_by_cluster[name]) for name in names], dtype=np.float64)
    picks = np.random.default_rng(seed).integers(0, len(names), size=(resamples, len(names)))
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    tail = _expanded_tail((1 - level) / 2, len(names))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high))


def _expanded_tail(tail: float, n_clusters: int) -> float:
    """The tail to cut off so that a percentile interval is as wide as a t interval: it lacks sqrt(n / (n - 1)) and the t quantile."""
    from scipy.special import ndtr, stdtrit

    return float(ndtr(math.sqrt(n_clusters / (n_clusters - 1)) * stdtrit(n_clusters - 1, tail)))


def paired(base: Iterable[Score], new: Iterable[Score], metric: str) -> PairedChange:
    """Change of one metric from run `base` to run `new`, paired by story and shot.

    Only comparable numbers are compared: another metric version, protocol, unit or encoder gives a reason instead.

    Args:
        base: Rows of the base run; rows of other metrics are ignored.
        new: Rows of the new run.
        metric: Name of the metric.
    """
    base_rows: dict[Unit, Score] = {(None, row.story, row.shot): row for row in base if row.metric == metric and row.value is not None}
    new_rows: dict[Unit, Score] = {(None, row.story, row.shot): row for row in new if row.metric == metric and row.value is not None}
    reason = why_not_comparable(base_rows, new_rows) or ("" if base_rows.keys() & new_rows.keys() else NOTHING_SHARED)
    if reason:
        return not_compared(reason, n_unpaired=len(base_rows.keys() ^ new_rows.keys()))
    return paired_values({u: row.value or 0.0 for u, row in base_rows.items()}, {u: row.value or 0.0 for u, row in new_rows.items()})


def not_compared(reason: str, *, n_unpaired: int = 0) -> PairedChange:
    """A change that there is not, and why."""
    return PairedChange(mean=None, low=None, high=None, n=0, n_stories=0, n_unpaired=n_unpaired, reason=reason)


def paired_values(base: Mapping[Unit, float], new: Mapping[Unit, float]) -> PairedChange:
    """Change from `base` to `new` over the units that both have; at least one.

    The mean is over pairs; interval and test take stories as wholes, whatever number of shots and seeds a story has.

    Example:
        >>> change = paired_values({(0, "a", None): 0.25, (0, "b", None): 0.5}, {(0, "a", None): 0.5, (0, "b", None): 0.75})
        >>> change.mean, change.p, change.higher
        (0.25, 0.5, 2)
    """
    from stbench.significance import TIE, hedges_g, sign_flip_p

    units = [unit for unit in base if unit in new]
    if not units:
        raise ValueError("nothing is paired")
    changes: dict[str, list[float]] = {}
    for unit in units:
        changes.setdefault(unit[1], []).append(new[unit] - base[unit])
    interval = cluster_interval(changes)
    means = [math.fsum(part) / len(part) for part in changes.values()]
    return PairedChange(
        mean=math.fsum(change for part in changes.values() for change in part) / len(units),
        low=interval.low,
        high=interval.high,
        n=len(units),
        n_stories=len(changes),
        n_unpaired=len(base.keys() ^ new.keys()),
        base=math.fsum(base[unit] for unit in units) / len(units),
        new=math.fsum(new[unit] for unit in units) / len(units),
        p=sign_flip_p([math.fsum(part) for part in changes.values()]),
        effect=hedges_g(means),
        higher=sum(mean > TIE for mean in means),
        equal=sum(abs(mean) <= TIE for mean in means),
        lower=sum(mean < -TIE for mean in means),
    )


def why_not_comparable(base: Mapping[Unit, Score], new: Mapping[Unit, Score]) -> str:
    """Why rows of one metric must not be compared; "" if nothing speaks against it."""
    for unit, before in base.items():
        after = new.get(unit)
        for name in ("version", "protocol", "unit", "encoder", "encoder_digest") if after else ():
            if getattr(before, name) != getattr(after, name):
                return f"not comparable: {name} is {getattr(before, name)} in the base run and {getattr(after, name)} in the new one"
    return ""
