"""Overall consistency: does a shot show what its prompt says, by ViCLIP? VBench's formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Features, Found, Metric, Need, StoryClips, Unit
from metrics.prompt_following_single_shot import cosine


def overall_consistency(video_D: np.ndarray, text_D: np.ndarray) -> float:
    """Cosine of a video's and a prompt's feature; a zero vector has none (`NoValueError`).

    Example:
        >>> overall_consistency(np.array([1.0, 0.0]), np.array([-3.0, 4.0]))
        -0.6
    """
    return cosine(video_D, text_D)


@dataclass(frozen=True)
class OverallConsistency(Metric):
    """Cosine of ViCLIP's features of a shot (8 frames) and of its prompt (the first 32 tokens)."""

    name: ClassVar[str] = "overall_consistency"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    source: ClassVar[str] = "VBench, overall_consistency"
    encoder: str = "viclip-l-14"

    @property
    def need(self) -> Need:
        """One feature per clip."""
        return Need(kind="video", encoder=self.encoder)

    def units(self, film: StoryClips) -> list[Unit]:
        """Every shot, with its prompt."""
        return [Unit(shot=clip.shot.id, clips=(i,), texts=(clip.shot.prompt,)) for i, clip in enumerate(film.clips)]

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """VBench's formula."""
        video = features.clip(self.need, film.clips[unit.clips[0]])
        return Found(value=overall_consistency(video, features.texts(self.encoder, unit.texts)[0]))
