"""Motion within a shot, from optical flow: how much moves, and how smoothly. Neither is good by itself: read them with the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Expects, Features, Found, Metric, Need, NoValueError, StoryClips, Unit, each_shot

TOP = 0.05  # share of the picture that moves most: a small figure in a still place counts
STILL = 1e-3  # of the frame height, per frame


def motion_magnitude(flow_FGHW2: np.ndarray) -> float:
    """Mean over frames of the speed of the fastest twentieth of the picture, in frame heights per frame.

    Args:
        flow_FGHW2: (F - 1, h, w, 2) flow on a grid, in frame heights per frame.

    Example:
        >>> motion_magnitude(np.full((2, 1, 1, 2), [0.03, 0.04]))
        0.05
    """
    if len(flow_FGHW2) == 0:
        raise NoValueError("the shot has one frame: no motion")
    speed = np.sort(np.linalg.norm(flow_FGHW2, axis=-1).reshape(len(flow_FGHW2), -1), axis=1)
    count = max(1, round(TOP * speed.shape[1]))
    return float(speed[:, -count:].mean())


def motion_smoothness(flow_FGHW2: np.ndarray) -> float:
    """1 - change of flow from step to step as a share of the flow itself: 1 glides, 0 jerks. What stands still is smooth.

    Example:
        >>> there, back = np.full((1, 1, 1, 2), 0.1), np.full((1, 1, 1, 2), -0.1)
        >>> motion_smoothness(np.concatenate([there, there])), round(motion_smoothness(np.concatenate([there, back])), 2)
        (1.0, 0.0)
    """
    if len(flow_FGHW2) < 2:
        raise NoValueError("the shot has fewer than three frames: motion cannot change")
    change = np.linalg.norm(flow_FGHW2[1:] - flow_FGHW2[:-1], axis=-1).mean()
    size = (np.linalg.norm(flow_FGHW2[1:], axis=-1) + np.linalg.norm(flow_FGHW2[:-1], axis=-1)).mean()
    return float(1 - change / (size + STILL / 10))


@dataclass(frozen=True)
class _Motion(Metric):
    """Optical flow of a shot."""

    version: ClassVar[int] = 1
    encoder: str = "block-flow"

    @property
    def need(self) -> Need:
        """Flow on a coarse grid."""
        return Need(kind="flow", encoder=self.encoder)

    def units(self, film: StoryClips) -> list[Unit]:
        """Every shot."""
        return each_shot(film)


@dataclass(frozen=True)
class MotionMagnitude(_Motion):
    """Speed of what moves most, in frame heights per frame. A frozen shot has 0."""

    name: ClassVar[str] = "motion_magnitude"
    unit: ClassVar[str] = "heights / frame"
    higher_is_better: ClassVar[bool | None] = None
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    source: ClassVar[str] = "of this project; VBench's dynamic degree asks only whether it passes a threshold"
    expects: ClassVar[Expects] = Expects(falls=("freeze",), keeps=("prompt_swap", "shot_shuffle", "identity_swap", "colour_drift"))

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Mean speed of the fastest twentieth."""
        return Found(value=motion_magnitude(features.clip(self.need, film.clips[unit.clips[0]])))


@dataclass(frozen=True)
class MotionSmoothness(_Motion):
    """How little flow changes from frame to frame, as a share of the flow. Flicker and jerks lower it."""

    name: ClassVar[str] = "motion_smoothness"
    unit: ClassVar[str] = "share"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    source: ClassVar[str] = "of this project"
    expects: ClassVar[Expects] = Expects(
        falls=("frame_shuffle", "noise"), keeps=("prompt_swap", "shot_shuffle", "identity_swap", "background_swap")
    )

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Change of flow."""
        return Found(value=motion_smoothness(features.clip(self.need, film.clips[unit.clips[0]])))
