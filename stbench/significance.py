"""Is a difference more than luck? Tests for scores paired by story, and ranks of many methods.

Nothing here assumes a distribution of scores. A story is one observation: the test flips the sign of whole stories, since under
"both methods are alike" the two could have been swapped in any story. Pure functions on numbers, seeded; SciPy's numbers
are the reference in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ALPHA = 0.05
TIE = 0.0005  # half of the last digit that tables show: smaller differences of a story are ties
EXACT_STORIES = 14  # 2**14 sign patterns are all tried; with more stories, patterns are drawn
DRAWS = 9999
_ROUNDING = 1e-9  # relative: sums of the same numbers in another order differ by less


def sign_flip_p(sums: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> float | None:
    """Two-sided p-value of "the sum is zero" when every entry could as well have the other sign.

    Args:
        sums: One number per story: the sum of its differences, so that the test is of the mean over all pairs.
        draws: Random sign patterns where there are too many stories to try all.
        seed: Of the generator.

    Returns:
        The exact p-value for up to 14 stories, else (1 + as extreme) / (1 + draws); None with fewer than two stories.

    Example:
        >>> sign_flip_p([1.0, 2.0, 3.0]), sign_flip_p([1.0, -1.0]), sign_flip_p([1.0])
        (0.25, 1.0, None)
    """
    if len(sums) < 2:
        return None
    import numpy as np

    x = np.sort(np.asarray(sums, dtype=np.float64))  # the order of stories must not matter
    seen = abs(math.fsum(x)) - _ROUNDING * float(np.abs(x).sum())
    if len(x) <= EXACT_STORIES:
        patterns = (np.arange(2 ** (len(x) - 1))[:, None] >> np.arange(len(x))) & 1  # the other half mirrors this one
        return float(np.mean(np.abs((1 - 2 * patterns) @ x) >= seen))
    signs = 1 - 2 * np.random.default_rng(seed).integers(0, 2, size=(draws, len(x)), dtype=np.int8)
    return float((1 + np.count_nonzero(np.abs(signs @ x) >= seen)) / (1 + draws))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's corrected p-values (1979): the chance of any false alarm among all of them stays below the level.

    Example:
        >>> holm([0.01, None, 0.04, 0.03])
        [0.03, None, 0.06, 0.06]
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        adjusted[place] = largest
    return adjusted


def hedges_g(differences: Sequence[float]) -> float | None:
    """Mean of paired differences in standard deviations of them, corrected for few pairs (Hedges 1981).

    Returns:
        The effect size; None with fewer than three stories or where all differences are alike.

    Example:
        >>> round(hedges_g([1.0, 2.0, 3.0]), 3)
        1.143
    """
    n = len(differences)
    if n < 3:
        return None
    mean = math.fsum(differences) / n
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in differences) / (n - 1))
    if deviation <= _ROUNDING * max(abs(value) for value in differences):
        return None
    return mean / deviation * (1 - 3 / (4 * (n - 1) - 1))


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Mean ranks of methods over stories; 1 is best.

    Attributes:
        mean_ranks: One per method.
        n_stories: Stories that all methods have.
        critical_difference: Mean ranks further apart than this differ (Nemenyi, level 0.05).
        friedman_p: Of "all methods are alike"; None with two methods.
    """

    mean_ranks: tuple[float, ...]
    n_stories: int
    critical_difference: float
    friedman_p: float | None


def rank_methods(scores: Sequence[Sequence[float]], *, higher_is_better: bool) -> Ranking:
    """Rank methods in every story and average (Demšar 2006, section 3.2).

    Args:
        scores: N stories × K methods, N and K at least 2.
        higher_is_better: Direction.

    Example:
        >>> ranking = rank_methods([[0.9, 0.5, 0.1], [0.8, 0.6, 0.6]], higher_is_better=True)
        >>> ranking.mean_ranks, round(ranking.critical_difference, 2)
        ((1.0, 2.25, 2.75), 2.34)
    """
    import numpy as np
    from scipy import stats

    table = np.asarray(scores, dtype=np.float64)
    n, k = table.shape
    ranks = stats.rankdata(-table if higher_is_better else table, axis=1)
    alike = bool((ranks == ranks[:, :1]).all())
    friedman = None if k < 3 else 1.0 if alike else float(stats.friedmanchisquare(*table.T).pvalue)
    return Ranking(
        mean_ranks=tuple(float(rank) for rank in ranks.mean(axis=0)),
        n_stories=n,
        critical_difference=critical_difference(k, n),
        friedman_p=friedman,
    )


def critical_difference(n_methods: int, n_stories: int) -> float:
    """Nemenyi's critical difference of mean ranks at level 0.05: q sqrt(k (k + 1) / (6 n)), q the studentised range / sqrt 2.

    Example:
        >>> round(critical_difference(4, 14), 2)  # Demšar 2006, the worked example
        1.25
    """
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - ALPHA, n_methods, 1e6) / math.sqrt(2)  # as good as endless degrees of freedom, and faster
    return float(q * math.sqrt(n_methods * (n_methods + 1) / (6 * n_stories)))
