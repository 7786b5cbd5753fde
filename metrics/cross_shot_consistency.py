"""Cross-shot consistency, overall: do the shots of a film look as if they belonged together?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Expects, Features, Found, NoValueError, OfVideos, StoryClips, Unit, clip_features, whole_story
from metrics.directions import directions


def similarity_matrix(feats_SD: np.ndarray) -> np.ndarray:
    """Cosine similarity of all pairs of rows.

    Args:
        feats_SD: (S, D) features of S shots; rows need not have length 1.

    Returns:
        (S, S) float64, symmetric, ones on the diagonal.

    Raises:
        NoValueError: A row is zero: it has no direction.

    Example:
        >>> similarity_matrix(np.array([[1.0, 0.0], [3.0, 4.0]])).round(3).tolist()
        [[1.0, 0.6], [0.6, 1.0]]
    """
    x = directions(feats_SD)
    return np.asarray(x @ x.T)


def upper_pairs(matrix_SS: np.ndarray) -> np.ndarray:
    """The S(S-1)/2 entries above the diagonal, row by row.

    Example:
        >>> upper_pairs(np.arange(9).reshape(3, 3)).tolist()
        [1, 2, 5]
    """
    return np.asarray(matrix_SS[np.triu_indices(len(matrix_SS), k=1)])


def mean_pair_similarity(feats_SD: np.ndarray) -> float:
    """Mean cosine over all pairs of shots. Source: arXiv 2512.19539, section 4.3.

    Args:
        feats_SD: (S, D), S ≥ 2; one shot has no pair (`NoValueError`).

    Example:
        >>> round(mean_pair_similarity(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])), 4)
        0.3333
    """
    if len(feats_SD) < 2:
        raise NoValueError("the film has one shot: no pairs to compare")
    return float(upper_pairs(similarity_matrix(feats_SD)).mean())


@dataclass(frozen=True)
class CrossShotConsistency(OfVideos):
    """Mean similarity of the video features of all pairs of shots of a story; the matrix is kept in the detail."""

    name: ClassVar[str] = "cross_shot_consistency"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    source: ClassVar[str] = "arXiv 2512.19539, section 4.3 (overall)"
    expects: ClassVar[Expects] = Expects(keeps=("prompt_swap", "shot_shuffle"))
    encoder: str = "world-clip"

    def units(self, film: StoryClips) -> list[Unit]:
        """The film."""
        return whole_story(film)

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Mean over pairs."""
        feats = clip_features(film, unit, self.need, features)
        value, matrix = mean_pair_similarity(feats), similarity_matrix(feats)
        return Found(value=value, detail={"pairs": len(upper_pairs(matrix)), "matrix": matrix.round(4).tolist()})
