"""Features of some frames of a clip standing for all of them: which frames are taken, and what each one counts.

Frames are taken as pairs of neighbours (t, t + 1), evenly spread from the first to the last frame: neighbours tell how much a clip changes
from frame to frame, which frames far apart cannot. What lies between is filled in linearly. `auto` doubles the pairs until twice
what the last doubling moved is no more than `AUTO_TOLERANCE`, and reports that as the error it risks.

Shapes: F frames of the clip, K frames taken, D feature width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.base import NoValueError
from metrics.directions import directions
from stbench.errors import UserError

ALL, AUTO = "all", "auto"
AUTO_TOLERANCE = 0.005
RISK_FACTOR = 2  # what a doubling moved is an estimate of the error, not a bound; on real films once 0.0021 for an error of 0.0023
FIRST_PAIRS = 5


@dataclass(frozen=True, kw_only=True)
class FrameSet:
    """Features of K of a clip's F frames.

    Attributes:
        features: (K, D).
        index: (K,) their places in the clip, ascending.
        total: F.
        risk: What `auto` reports; None for other policies.
    """

    features: np.ndarray
    index: np.ndarray
    total: int
    risk: float | None = None

    @property
    def whole(self) -> bool:
        """Every frame is there."""
        return len(self.index) == self.total

    def weights(self) -> np.ndarray:
        """(K,) what each frame counts in a mean over all F frames, if features between are filled in linearly; they sum to 1.

        Example:
            >>> FrameSet(features=np.zeros((3, 1)), index=np.array([0, 2, 3]), total=4).weights().tolist()
            [0.375, 0.375, 0.25]
        """
        if self.whole:
            return np.full(self.total, 1 / self.total)
        return interpolation(self.index, np.arange(self.total)).mean(axis=0)


def interpolation(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(wanted, known) matrix that fills in linearly; beyond the ends the nearest known value holds."""
    return np.stack([np.interp(wanted, known, row) for row in np.eye(len(known))], axis=1)


def check_policy(policy: str) -> str:
    """`all`, `auto` or a number of frames of at least 4: a pair of neighbours at either end.

    Raises:
        UserError: It is none of these.
    """
    if policy in (ALL, AUTO) or (policy.isdigit() and int(policy) >= 4):
        return policy
    raise UserError(f"found {policy!r}", where="--frames", expected="all, auto, or a number of at least 4")


def picks(total: int, pairs: int) -> np.ndarray:
    """Indices of `pairs` pairs of neighbours, evenly spread over `total` frames; all frames where that is no fewer.

    Example:
        >>> picks(10, 3).tolist()
        [0, 1, 4, 5, 8, 9]
        >>> picks(5, 3).tolist()
        [0, 1, 2, 3, 4]
    """
    if 2 * pairs >= total or total < 2:
        return np.arange(total)
    starts = np.rint(np.linspace(0, total - 2, pairs)).astype(int)
    return np.unique(np.concatenate([starts, starts + 1]))


def consistency(frames: FrameSet) -> float:
    """Mean over frames 1.. of the mean of max(0, cosine to the previous) and max(0, cosine to the first). VBench's for all frames.

    Raises:
        NoValueError: There are fewer than two frames, or a feature is zero.
    """
    if frames.total < 2:
        raise NoValueError("the shot has one frame: nothing to compare it with")
    x = directions(frames.features)
    neighbours = np.flatnonzero(np.diff(frames.index) == 1)
    to_previous = np.maximum(0, (x[neighbours + 1] * x[neighbours]).sum(axis=1))
    to_first = np.maximum(0, x @ x[0])
    if frames.whole:
        return float(((to_previous + to_first[1:]) / 2).mean())
    later = np.arange(1, frames.total)
    previous_F = np.interp(later, frames.index[neighbours + 1], to_previous)
    first_F = np.interp(later, frames.index, to_first)
    return float(((previous_F + first_F) / 2).mean())


def mean_feature(frames: FrameSet, *, unit: bool = False) -> np.ndarray:
    """(D,) mean over all F frames; with `unit`, of features brought to length 1 first."""
    x = np.asarray(frames.features, np.float64)
    if unit:
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return np.asarray(frames.weights() @ x)


def movement(coarse: FrameSet, fine: FrameSet) -> float:
    """How far the answers move from one set of frames to a finer one: of consistency, and of the mean feature."""
    if fine.features.shape[1] == 1:  # ratings, no directions
        return float(abs(mean_feature(fine)[0] - mean_feature(coarse)[0]))
    a, b = mean_feature(coarse, unit=True), mean_feature(fine, unit=True)
    turned = 1 - float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12)
    return max(abs(consistency(fine) - consistency(coarse)), turned)


def taken(sets: Sequence[FrameSet]) -> dict[str, Any]:
    """For a score's detail: frames, and where not all were taken, how many were and what that risks (the worst clip's)."""
    facts: dict[str, Any] = {"frames": sum(one.total for one in sets)}
    if not all(one.whole for one in sets):
        facts["frames_encoded"] = sum(len(one.index) for one in sets)
    risks = [one.risk for one in sets if one.risk is not None]
    return facts | ({"risk": round(max(risks), 6)} if risks else {})


def subset(frames: FrameSet, index: np.ndarray) -> FrameSet:
    """The frames of a set whose places are in `index`."""
    keep = np.isin(frames.index, index)
    return FrameSet(features=frames.features[keep], index=frames.index[keep], total=frames.total)
