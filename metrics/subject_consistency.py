"""Subject consistency within a shot: VBench's formula on frame features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Expects, Features, Found, OfFrames, StoryClips, Unit, each_shot
from metrics.frames import FrameSet, consistency, taken


def frame_consistency(feats_FD: np.ndarray) -> float:
    """Mean over frames 1.. of the mean of max(0, cosine to the previous frame) and max(0, cosine to the first).

    Equal to VBench's subject (and background) consistency of one video.

    Args:
        feats_FD: (F, D) frame features, F ≥ 2; one frame has nothing to be compared with (`NoValueError`).

    Example:
        >>> frame_consistency(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        0.5
    """
    return consistency(FrameSet(features=feats_FD, index=np.arange(len(feats_FD)), total=len(feats_FD)))


@dataclass(frozen=True)
class SubjectConsistency(OfFrames):
    """Similarity of a shot's frames to the frame before and to the first one. A frozen shot has 1."""

    name: ClassVar[str] = "subject_consistency"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    source: ClassVar[str] = "VBench, subject_consistency"
    expects: ClassVar[Expects] = Expects(
        falls=("flicker", "noise"), keeps=("prompt_swap", "shot_shuffle", "identity_swap", "background_swap")
    )
    encoder: str = "world-dino"

    def units(self, film: StoryClips) -> list[Unit]:
        """Every shot."""
        return each_shot(film)

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """VBench's formula."""
        frames = features.frames(self.need, film.clips[unit.clips[0]])
        return Found(value=consistency(frames), detail=taken([frames]))
