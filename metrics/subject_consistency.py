"""Subject consistency within a shot: VBench's formula on frame features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Features, Found, Metric, Need, NoValueError, StoryClips, Unit, each_shot


def frame_consistency(feats_FD: np.ndarray) -> float:
    """Mean over frames 1.. of the mean of max(0, cosine to the previous frame) and max(0, cosine to the first).

    Equal to VBench's subject (and background) consistency of one video.

    Args:
        feats_FD: (F, D) frame features, F ≥ 2; one frame has nothing to be compared with (`NoValueError`).

    Example:
        >>> frame_consistency(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        0.5
    """
    if len(feats_FD) < 2:
        raise NoValueError("the shot has one frame: nothing to compare it with")
    x = np.asarray(feats_FD, np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    if not (length > 0).all():
        raise NoValueError("a feature is zero: it has no direction")
    x = x / length
    to_previous = np.maximum(0, (x[1:] * x[:-1]).sum(axis=1))
    to_first = np.maximum(0, x[1:] @ x[0])
    return float(((to_previous + to_first) / 2).mean())


@dataclass(frozen=True)
class SubjectConsistency(Metric):
    """Similarity of a shot's frames to the frame before and to the first one. A frozen shot has 1."""

    name: ClassVar[str] = "subject_consistency"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    source: ClassVar[str] = "VBench, subject_consistency"
    encoder: str = "world-dino"

    @property
    def need(self) -> Need:
        """Features of all frames."""
        return Need(kind="frames", encoder=self.encoder)

    def units(self, film: StoryClips) -> list[Unit]:
        """Every shot."""
        return each_shot(film)

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """VBench's formula."""
        feats = features.clip(self.need, film.clips[unit.clips[0]])
        return Found(value=frame_consistency(feats), detail={"frames": len(feats)})
