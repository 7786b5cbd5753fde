"""Gap decay: how fast does a film forget what it looked like? Similarity of shots against how many shots they are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Expects, Features, Found, NoValueError, OfFrames, StoryClips, Unit, whole_story
from metrics.cross_shot_appearance import appearances
from metrics.cross_shot_consistency import similarity_matrix
from metrics.frames import taken


def gap_curve(matrix_SS: np.ndarray) -> np.ndarray:
    """(S - 1,) mean similarity of shots that are 1, 2, … S - 1 apart.

    Example:
        >>> gap_curve(np.array([[1.0, 0.5, 0.1], [0.5, 1.0, 0.7], [0.1, 0.7, 1.0]])).round(3).tolist()
        [0.6, 0.1]
    """
    return np.array([np.diagonal(matrix_SS, gap).mean() for gap in range(1, len(matrix_SS))])


def gap_slope(matrix_SS: np.ndarray) -> float:
    """Least-squares slope of the similarity of all pairs over their gap, per shot apart; two shots have one gap (`NoValueError`).

    Example:
        >>> round(gap_slope(np.array([[1.0, 0.5, 0.1], [0.5, 1.0, 0.7], [0.1, 0.7, 1.0]])), 3)
        -0.5
    """
    if len(matrix_SS) < 3:
        raise NoValueError("the film has fewer than three shots: similarity cannot fall with distance")
    rows, columns = np.triu_indices(len(matrix_SS), k=1)
    gaps = (columns - rows).astype(np.float64)
    gaps -= gaps.mean()
    return float(gaps @ matrix_SS[rows, columns] / (gaps @ gaps))


@dataclass(frozen=True)
class GapDecay(OfFrames):
    """Slope of appearance similarity over the distance between shots: 0 remembers, below 0 forgets. The curve is in the detail."""

    name: ClassVar[str] = "gap_decay"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine / shot"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-2.0, 2.0)
    source: ClassVar[str] = "of this project; gap-decay curves as in EntityBench (arXiv 2605.15199)"
    expects: ClassVar[Expects] = Expects(detects=("colour_drift", "style_drift"), keeps=("prompt_swap",))
    encoder: str = "world-dino"

    def units(self, film: StoryClips) -> list[Unit]:
        """The film."""
        return whole_story(film)

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Slope over all pairs."""
        shots, frames = appearances(film, unit, self.need, features)
        matrix = similarity_matrix(shots)
        return Found(value=gap_slope(matrix), detail={"curve": gap_curve(matrix).round(4).tolist(), **taken(frames)})
