"""Joins: where a shot continues the one before without a cut, does the picture go on, and does the motion keep its speed?

The authors of StoryMem name this limit themselves: one frame carried over tells how things look, not how fast they move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Expects, Features, Found, Metric, Need, NoValueError, OfFrames, StoryClips, Unit
from metrics.prompt_following_single_shot import cosine

STEPS = 3  # between frames, on each side of a join
STILL = 0.1  # grey levels a frame: below it nothing moves


def joins(film: StoryClips) -> list[Unit]:
    """One unit per shot that continues its predecessor: both shots."""
    return [Unit(shot=clip.shot.id, clips=(i - 1, i)) for i, clip in enumerate(film.clips) if i and not clip.shot.cut]


def speed_kept(before: np.ndarray, after: np.ndarray) -> float:
    """The smaller of two speeds as a share of the larger; where nothing moves on either side, 1.

    Args:
        before: Mean change from frame to frame at the end of the first shot, in grey levels.
        after: The same at the start of the second.

    Example:
        >>> round(speed_kept(np.array([9.0, 4.0, 4.0, 4.0]), np.array([2.0, 2.0, 2.0])), 2), speed_kept(np.zeros(3), np.zeros(3))
        (0.51, 1.0)
    """
    if len(before) == 0 or len(after) == 0:
        raise NoValueError("a shot at the join has one frame: no motion")
    first, second = float(np.mean(before[-STEPS:])), float(np.mean(after[:STEPS]))
    return (min(first, second) + STILL) / (max(first, second) + STILL)


@dataclass(frozen=True)
class JoinAppearance(OfFrames):
    """Similarity of the last frame of a shot and the first frame of the one that continues it."""

    name: ClassVar[str] = "join_appearance"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    source: ClassVar[str] = "of this project; the limit is named in arXiv 2512.19539"
    expects: ClassVar[Expects] = Expects(falls=("identity_swap",), detects=("colour_drift", "style_drift"), keeps=("prompt_swap", "freeze"))
    encoder: str = "world-dino"

    def units(self, film: StoryClips) -> list[Unit]:
        """Every join that is no cut."""
        return joins(film)

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Last against first."""
        before, after = (features.frames(self.need, film.clips[index]) for index in unit.clips)
        return Found(value=cosine(before.features[-1], after.features[0]), detail={"joins": film.clips[unit.clips[0]].shot.id})


@dataclass(frozen=True)
class JoinMotion(Metric):
    """Speed after a join as a share of the speed before it, or the reverse: 1 keeps its speed, near 0 stops or starts."""

    name: ClassVar[str] = "join_motion"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "share"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    source: ClassVar[str] = "of this project; the limit is named in arXiv 2512.19539"
    expects: ClassVar[Expects] = Expects(falls=("join_stall",), keeps=("prompt_swap", "colour_drift", "style_drift", "background_swap"))

    @property
    def need(self) -> Need:
        """Pixel differences."""
        return Need(kind="differences")

    def units(self, film: StoryClips) -> list[Unit]:
        """Every join that is no cut."""
        return joins(film)

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """End of the first against start of the second."""
        before, after = (features.clip(self.need, film.clips[index]) for index in unit.clips)
        value = speed_kept(before, after)
        return Found(
            value=value, detail={"before": round(float(before[-STEPS:].mean()), 3), "after": round(float(after[:STEPS].mean()), 3)}
        )
