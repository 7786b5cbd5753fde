"""Where a series of numbers changes its level: one documented rule, with a bound that pure noise stays under.

1. The noise is read from neighbours: 1.4826 × the median of |difference from one number to the next| / √2. A step changes one difference
   only, so it does not hide itself.
2. Every place where the series could be cut in two is tried. The score of a cut is the difference of the two means, in noises of such
   a difference. A side has at least two numbers, but the very last one may stand alone: a regression should be seen the day after.
3. The best cut is a step if its score is above what 99 of 100 series of nothing but noise, as long as this one, stay under (`bound`),
   and if it changes the level by at least `floor` (1%). Then both sides are searched in the same way.

With fewer than `MIN_POINTS` numbers nothing can be said. Numbers without any noise at all (a deterministic score) are cut wherever they
change by the floor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

MIN_POINTS = 6
FLOOR = 0.01
LEVEL = 0.99
SERIES, SEED = 4000, 0
MAD = 1.4826 / math.sqrt(2)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A change of level.

    Attributes:
        at: Index of the first number after it.
        before: Mean of the numbers since the step before.
        after: Mean up to the next step.
        score: In noises; infinite without noise.
    """

    at: int
    before: float
    after: float
    score: float

    @property
    def change(self) -> float | None:
        """Relative to before; None from zero."""
        return (self.after - self.before) / abs(self.before) if self.before else None


def noise(values: Sequence[float]) -> float:
    """Standard deviation of the noise, robust against steps.

    Example:
        >>> round(noise([1.0, 1.1, 1.0, 1.1, 5.0, 5.1, 5.0]), 3)
        0.105
    """
    import numpy as np

    return float(MAD * np.median(np.abs(np.diff(np.asarray(values, dtype=float))))) if len(values) > 1 else 0.0


def find_steps(values: Sequence[float], *, floor: float = FLOOR) -> list[Step]:
    """The steps of a series, in order; none where it has fewer than `MIN_POINTS` numbers.

    Example:
        >>> [(step.at, step.before, step.after) for step in find_steps([1.0, 1.1, 0.9, 1.0, 2.0, 2.1, 1.9, 2.0])]
        [(4, 1.0, 2.0)]
    """
    if len(values) < MIN_POINTS:
        return []
    sigma = noise(values)
    cuts = sorted(_cuts(list(values), 0, sigma, floor))
    edges = [0, *cuts, len(values)]
    levels = [math.fsum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    steps = []
    for number, at in enumerate(cuts):
        before, after = levels[number], levels[number + 1]
        width = sigma * math.sqrt(1 / (at - edges[number]) + 1 / (edges[number + 2] - at))
        steps.append(Step(at=at, before=before, after=after, score=abs(after - before) / width if width else math.inf))
    return steps


def _cuts(values: list[float], start: int, sigma: float, floor: float) -> Iterator[int]:
    import numpy as np

    n = len(values)
    places = _places(n)
    if not places:
        return
    row = np.asarray([values], dtype=float)
    means = _means(row, places)[0]
    jumps = np.abs(means[:, 1] - means[:, 0])
    counts = np.asarray(places, dtype=float)
    widths = np.sqrt(1 / counts + 1 / (n - counts))
    best = int(np.argmax(jumps / widths))
    level = abs(float(means[best, 0]))
    enough = float(jumps[best]) >= floor * level and float(jumps[best]) > 0
    if enough and float(jumps[best]) > bound(n) * sigma * float(widths[best]):
        at = places[best]
        yield from _cuts(values[:at], start, sigma, floor)
        yield start + at
        yield from _cuts(values[at:], start + at, sigma, floor)


def _places(n: int) -> list[int]:
    """Lengths of the first part that are tried."""
    return [*range(2, n - 1), n - 1] if n >= 3 else []


def _means(rows: np.ndarray, places: Sequence[int]) -> Any:
    """(R, n) → (R, places, 2): the mean of both sides of each cut."""
    import numpy as np

    n = rows.shape[1]
    sums = np.cumsum(rows, axis=1)
    counts = np.asarray(places)
    first = sums[:, counts - 1]
    return np.stack([first / counts, (sums[:, -1:] - first) / (n - counts)], axis=2)


@lru_cache(maxsize=256)
def bound(n: int) -> float:
    """The score that 99 of 100 series of n normal numbers, their noise read in the same way, stay under. Simulated, seeded."""
    import numpy as np

    length = max(n, MIN_POINTS)  # a side is judged by the noise of the whole series
    rows = np.random.default_rng(SEED).standard_normal((SERIES, length))
    sigma = MAD * np.median(np.abs(np.diff(rows, axis=1)), axis=1)
    places = _places(length)
    means = _means(rows, places)
    counts = np.asarray(places, dtype=float)
    scores = np.abs(means[..., 1] - means[..., 0]) / np.sqrt(1 / counts + 1 / (length - counts))
    return float(np.quantile(scores.max(axis=1) / sigma, LEVEL))
