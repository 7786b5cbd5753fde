"""Temporal flickering: VBench's mean absolute difference of neighbouring frames. A frozen shot has 1: read it with motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Expects, Features, Found, Metric, Need, NoValueError, StoryClips, Unit, each_shot


def frame_differences(frames: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each frame to the next.

    Args:
        frames: (F, H, W, 3) uint8.

    Returns:
        (F - 1,) float64, 0..255.

    Example:
        >>> frame_differences(np.stack([np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 51, np.uint8)])).tolist()
        [51.0]
    """
    pairs = zip(frames[:-1].astype(np.int16), frames[1:].astype(np.int16), strict=True)
    return np.array([np.abs(b - a).mean() for a, b in pairs], dtype=np.float64)


def steadiness(differences: np.ndarray) -> float:
    """(255 - mean difference) / 255, VBench's temporal flickering of one video; one frame has none (`NoValueError`).

    Example:
        >>> steadiness(np.array([51.0]))
        0.8
    """
    if len(differences) == 0:
        raise NoValueError("the shot has one frame: nothing to compare it with")
    return float((255.0 - np.mean(differences)) / 255.0)


@dataclass(frozen=True)
class TemporalFlickering(Metric):
    """One minus the mean change of a pixel between neighbouring frames, as a share of the full range."""

    name: ClassVar[str] = "temporal_flickering"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "share"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    source: ClassVar[str] = "VBench, temporal_flickering"
    expects: ClassVar[Expects] = Expects(
        falls=("flicker", "noise", "frame_shuffle"),
        rises=("freeze",),
        keeps=("prompt_swap", "shot_shuffle", "identity_swap", "colour_drift"),
    )

    @property
    def need(self) -> Need:
        """Pixel differences."""
        return Need(kind="differences")

    def units(self, film: StoryClips) -> list[Unit]:
        """Every shot."""
        return each_shot(film)

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """VBench's formula."""
        return Found(value=steadiness(features.clip(self.need, film.clips[unit.clips[0]])))
