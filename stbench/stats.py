"""Statistics of scores: intervals clustered by story, and paired changes between two runs.

Shots of one story share characters, places and a memory, so they are not independent. Every interval here resamples
whole stories (a cluster bootstrap; Efron & Tibshirani 1993, ch. 6; Field & Welsh 2007) with a seeded generator: the same
rows give the same numbers, on any machine. Pure functions on numbers; no files, no device.
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


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval; both ends None where there are fewer than two clusters."""

    low: float | None
    high: float | None


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
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    n_stories: int
    n_unpaired: int
    reason: str | None = None

    @property
    def significant(self) -> bool:
        """The interval exists and excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def cluster_interval(
    values_by_cluster: Mapping[str, Sequence[float]], *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the mean over all values, resampling clusters with replacement.

    Args:
        values_by_cluster: Cluster name → its values; empty clusters are left out. The order of clusters does not matter.
        level: Share of the bootstrap distribution inside the interval.
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
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high))


def paired(base: Iterable[Score], new: Iterable[Score], metric: str) -> PairedChange:
    """Change of one metric from run `base` to run `new`, paired by story and shot.

    Only comparable numbers are compared: another metric version, protocol, unit or encoder gives a reason instead.

    Args:
        base: Rows of the base run; rows of other metrics are ignored.
        new: Rows of the new run.
        metric: Name of the metric.
    """
    base_values = {(row.story, row.shot): row for row in base if row.metric == metric and row.value is not None}
    new_values = {(row.story, row.shot): row for row in new if row.metric == metric and row.value is not None}
    units = [unit for unit in base_values if unit in new_values]
    n_unpaired = len(base_values) + len(new_values) - 2 * len(units)
    reason = None if units else f"no story or shot has a value of {metric} in both runs"
    for unit in units:
        reason = reason or _not_comparable(base_values[unit], new_values[unit])
    if reason:
        return PairedChange(mean=None, low=None, high=None, n=0, n_stories=0, n_unpaired=n_unpaired, reason=reason)
    changes: dict[str, list[float]] = {}
    for unit in units:
        before, after = base_values[unit].value, new_values[unit].value
        if before is not None and after is not None:
            changes.setdefault(unit[0], []).append(after - before)
    interval = cluster_interval(changes)
    return PairedChange(
        mean=math.fsum(change for part in changes.values() for change in part) / len(units),
        low=interval.low,
        high=interval.high,
        n=len(units),
        n_stories=len(changes),
        n_unpaired=n_unpaired,
    )


def _not_comparable(base: Score, new: Score) -> str | None:
    """Why two rows of one metric must not be compared, or None."""
    for name in ("version", "protocol", "unit", "encoder", "encoder_digest"):
        before, after = getattr(base, name), getattr(new, name)
        if before != after:
            return f"not comparable: {name} is {before} in the base run and {after} in the new one"
    return None
