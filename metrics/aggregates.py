"""From values of videos to one number: VBench's ways, which are not one.

VBench averages background consistency over all frames of all videos, and everything else over videos; except subject consistency,
which is averaged over frames on one GPU and over videos on several, so that the same videos get two numbers. Here the way is stated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metrics.base import NoValueError
from stbench.scores import Score

OVER_FRAMES = {  # on one GPU, on several; whatever is not here: over videos on both
    "subject_consistency": (True, False),
    "background_consistency": (True, True),
}


def over_videos(values: Sequence[float]) -> float:
    """Every video counts the same.

    Raises:
        NoValueError: There is no video.

    Example:
        >>> over_videos([0.5, 1.0])
        0.75
    """
    if len(values) == 0:
        raise NoValueError("no video was scored: there is nothing to average")
    return float(np.mean(np.asarray(values, np.float64)))


def over_frames(values: Sequence[float], comparisons: Sequence[int]) -> float:
    """Every comparison of frames counts the same: a video of n frames counts n - 1 times.

    Raises:
        NoValueError: There is no comparison.

    Example:
        >>> over_frames([0.5, 1.0], [1, 3])
        0.875
    """
    if sum(comparisons) == 0:
        raise NoValueError("no frame was compared: there is nothing to average")
    return float(np.average(np.asarray(values, np.float64), weights=np.asarray(comparisons, np.float64)))


def published_remarks(rows: Sequence[Score]) -> list[str]:
    """What VBench would print where it does not average over videos; one line per metric, on the rows that have a value.

    Example:
        >>> published_remarks([])
        []
    """
    remarks = []
    for metric, (_, on_several) in OVER_FRAMES.items():
        scored = [(row.value, row.detail["frames"] - 1) for row in rows if row.metric == metric and row.value is not None]
        if scored:
            where = "" if on_several else " on one GPU"
            remarks.append(f"VBench's own average{where}, over frames: {metric} {over_frames(*zip(*scored, strict=True)):.6f}")
    return remarks
