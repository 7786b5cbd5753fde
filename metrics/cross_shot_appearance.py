"""Cross-shot appearance: does what is seen look the same, whatever it does?

The paper's consistency compares video features that were trained against captions; on Story World those see action and place far
better than the look that no prompt tells. This one compares self-supervised frame features, averaged over each shot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Expects, Features, Found, Need, OfFrames, StoryClips, Unit, whole_story
from metrics.cross_shot_consistency import mean_pair_similarity, similarity_matrix
from metrics.frames import FrameSet, mean_feature, taken


def shot_appearance(feats_FD: np.ndarray) -> np.ndarray:
    """(F, D) frame features → (D,): their mean, each brought to length 1 first.

    Example:
        >>> shot_appearance(np.array([[2.0, 0.0], [0.0, 1.0]])).tolist()
        [0.5, 0.5]
    """
    return mean_feature(FrameSet(features=feats_FD, index=np.arange(len(feats_FD)), total=len(feats_FD)), unit=True)


def appearances(film: StoryClips, unit: Unit, need: Need, features: Features) -> tuple[np.ndarray, list[FrameSet]]:
    """(S, D) appearance of each of the unit's shots, and the frames that it comes from."""
    frames = [features.frames(need, film.clips[index]) for index in unit.clips]
    return np.stack([mean_feature(one, unit=True) for one in frames]), frames


@dataclass(frozen=True)
class CrossShotAppearance(OfFrames):
    """Mean similarity of the averaged frame features of all pairs of shots of a story; the matrix is kept in the detail."""

    name: ClassVar[str] = "cross_shot_appearance"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    source: ClassVar[str] = "of this project: arXiv 2512.19539, section 4.3 (overall), on self-supervised frame features"
    expects: ClassVar[Expects] = Expects(
        falls=("identity_swap", "colour_drift", "style_drift"),
        keeps=("background_swap", "prompt_swap", "shot_shuffle", "frame_shuffle", "freeze"),
    )
    encoder: str = "world-dino"

    def units(self, film: StoryClips) -> list[Unit]:
        """The film."""
        return whole_story(film)

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Mean over pairs."""
        shots, frames = appearances(film, unit, self.need, features)
        matrix = similarity_matrix(shots)
        return Found(value=mean_pair_similarity(shots), detail={"shots": len(shots), **taken(frames), "matrix": matrix.round(4).tolist()})
