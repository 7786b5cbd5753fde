"""What people's pairwise answers say: strengths of methods, and how far raters agree. Pure functions on counts and codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PRIOR_WINS = 0.5  # added to both sides of every pair that was asked, so that a method that always wins has a finite strength
ROUNDS, TOLERANCE = 10_000, 1e-10


def bradley_terry(wins_KK: np.ndarray, *, prior: float = PRIOR_WINS) -> np.ndarray:
    """Log strengths of K methods (Bradley & Terry 1952), by the MM algorithm of Hunter (2004); a tie is half a win for both.

    Args:
        wins_KK: How often row beat column; the diagonal counts for nothing.
        prior: Wins added to both sides of every pair that was asked.

    Returns:
        (K,) with mean 0; `exp(a - b)` are the odds that one is preferred to the other.

    Example:
        >>> import numpy as np
        >>> bradley_terry(np.array([[0, 30], [10, 0]]), prior=0).round(3).tolist()  # half of log 3
        [0.549, -0.549]
    """
    import numpy as np

    wins = np.array(wins_KK, dtype=np.float64)
    np.fill_diagonal(wins, 0)
    asked = (wins + wins.T) > 0
    wins = wins + prior * asked
    games, total = wins + wins.T, wins.sum(axis=1)
    strength = np.ones(len(wins))
    for _ in range(ROUNDS):
        rate = np.divide(games, strength[:, None] + strength[None, :], out=np.zeros_like(games), where=games > 0).sum(axis=1)
        new = np.divide(total, rate, out=np.ones_like(total), where=rate > 0)
        new = np.maximum(new, 1e-12)
        new /= np.exp(np.log(new).mean())
        done = np.abs(np.log(new) - np.log(strength)).max() < TOLERANCE
        strength = new
        if done:
            break
    return np.asarray(np.log(strength))


def nominal(a: float, b: float) -> float:
    """Codes are alike or not."""
    return float(a != b)


def squared(a: float, b: float) -> float:
    """Codes on a scale: worse -1, tie 0, better 1."""
    return (a - b) ** 2


def krippendorff_alpha(codes: Sequence[Mapping[str, float]], *, distance: Callable[[float, float], float] = squared) -> float | None:
    """Agreement of raters beyond chance (Krippendorff 2011): 1 is perfect, 0 is chance.

    Args:
        codes: For each question, rater → code; questions with fewer than two answers count for nothing.
        distance: Between two codes.

    Returns:
        Alpha, or None where nothing can be said: no question has two answers, or all answers are the same code.

    Example:
        >>> krippendorff_alpha([{"a": 1, "b": 1}, {"a": -1, "b": -1}])
        1.0
    """
    units = [list(unit.values()) for unit in codes if len(unit) > 1]
    values = [value for unit in units for value in unit]
    n = len(values)
    if n < 2:
        return None
    observed = sum(sum(distance(a, b) for a in unit for b in unit) / (len(unit) - 1) for unit in units) / n
    counts: dict[float, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    expected = sum(x * y * distance(a, b) for a, x in counts.items() for b, y in counts.items()) / (n * (n - 1))
    return None if expected == 0 else 1 - observed / expected
