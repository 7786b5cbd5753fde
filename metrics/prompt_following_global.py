"""Prompt following, global: does the film tell what the story's overview says?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Expects, Features, Found, NoValueError, OfVideos, StoryClips, Unit, clip_features, whole_story
from metrics.directions import directions
from metrics.prompt_following_single_shot import cosine


def film_feature(feats_SD: np.ndarray) -> np.ndarray:
    """The direction that the shots have in common: the mean of their unit vectors.

    Example:
        >>> film_feature(np.array([[2.0, 0.0], [0.0, 1.0]])).tolist()
        [0.5, 0.5]
    """
    return np.asarray(directions(feats_SD).mean(axis=0))


@dataclass(frozen=True)
class PromptFollowingGlobal(OfVideos):
    """Similarity of the film to the story overview.

    The paper encodes "the whole multi-shot film" and does not say how. Here (`film="mean_of_shots"`) the film's feature
    is the mean of its shots' features: each shot counts alike, none falls between sampled frames, nothing is encoded twice.
    """

    name: ClassVar[str] = "prompt_following_global"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    source: ClassVar[str] = "arXiv 2512.19539, section 4.3 (global)"
    expects: ClassVar[Expects] = Expects(falls=("background_swap",), keeps=("prompt_swap", "shot_shuffle"))
    encoder: str = "world-clip"
    film: str = "mean_of_shots"

    def units(self, film: StoryClips) -> list[Unit]:
        """The film with its overview."""
        return whole_story(film, [film.story.overview])

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Film against overview."""
        if not film.story.overview.strip():
            raise NoValueError("the script has no overview")
        video = film_feature(clip_features(film, unit, self.need, features))
        return Found(value=cosine(video, features.texts(self.encoder, unit.texts)[0]))
