"""Aesthetic quality: LAION's linear head on CLIP ViT-L/14 features, as VBench and the paper use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Features, Found, NoValueError, OfFrames, StoryClips, Unit, each_shot
from metrics.directions import directions
from metrics.frames import mean_feature, taken

SCALE = 10.0  # the head was trained on ratings from 1 to 10


def frame_ratings(feats_FD: np.ndarray, weight_D: np.ndarray, bias: float) -> np.ndarray:
    """Ratings of frames as shares of ten: a linear head on features brought to length 1.

    Args:
        feats_FD: (F, D) image features.
        weight_D: (D,) or (1, D) weights of the head.
        bias: Its bias.

    Returns:
        (F,) float64; usually within 0..1, but a linear head has no limits.

    Raises:
        NoValueError: A feature is zero.

    Example:
        >>> frame_ratings(np.array([[3.0, 4.0]]), np.array([5.0, 0.0]), 2.0).tolist()
        [0.5]
    """
    return np.asarray((directions(feats_FD) @ np.asarray(weight_D, np.float64).reshape(-1) + float(bias)) / SCALE)


def aesthetic_quality(ratings_F: np.ndarray) -> float:
    """Mean over the frames of one video; a video without frames has none (`NoValueError`).

    Example:
        >>> aesthetic_quality(np.array([0.25, 0.75]))
        0.5
    """
    if len(ratings_F) == 0:
        raise NoValueError("the shot has no frame")
    return float(np.mean(np.asarray(ratings_F, np.float64)))


@dataclass(frozen=True)
class AestheticQuality(OfFrames):
    """Mean rating of a shot's frames by LAION's predictor, divided by ten."""

    name: ClassVar[str] = "aesthetic_quality"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "rating / 10"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    source: ClassVar[str] = "VBench, aesthetic_quality; LAION-AI/aesthetic-predictor"
    encoder: str = "laion-aesthetic"  # an encoder whose frame features are (F, 1) ratings

    def units(self, film: StoryClips) -> list[Unit]:
        """Every shot."""
        return each_shot(film)

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """VBench's formula."""
        frames = features.frames(self.need, film.clips[unit.clips[0]])
        value = aesthetic_quality(frames.features[:, 0]) if frames.whole else float(mean_feature(frames)[0])
        return Found(value=value, detail=taken([frames]))
