"""Prompt following, single shot: does a shot show what its prompt says?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Expects, Features, Found, NoValueError, OfVideos, StoryClips, Unit


def cosine(a_D: np.ndarray, b_D: np.ndarray) -> float:
    """Cosine of two vectors; a zero vector has none (`NoValueError`).

    Example:
        >>> cosine(np.array([1.0, 0.0]), np.array([3.0, 4.0]))
        0.6
    """
    a, b = np.asarray(a_D, np.float64), np.asarray(b_D, np.float64)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    if not length > 0:
        raise NoValueError("a feature is zero: it has no direction")
    return float(a @ b) / length


@dataclass(frozen=True)
class PromptFollowingSingleShot(OfVideos):
    """Similarity of each shot's video feature to the feature of its own prompt."""

    name: ClassVar[str] = "prompt_following_single_shot"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    source: ClassVar[str] = "arXiv 2512.19539, section 4.3 (single-shot)"
    expects: ClassVar[Expects] = Expects(
        falls=("prompt_swap", "shot_shuffle", "background_swap"), keeps=("identity_swap", "dropped_accessory")
    )
    encoder: str = "world-clip"

    def units(self, film: StoryClips) -> list[Unit]:
        """Every shot with its prompt."""
        return [Unit(shot=clip.shot.id, clips=(i,), texts=(clip.shot.prompt,)) for i, clip in enumerate(film.clips)]

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Video against text."""
        video = features.clip(self.need, film.clips[unit.clips[0]])
        return Found(value=cosine(video, features.texts(self.encoder, unit.texts)[0]))
