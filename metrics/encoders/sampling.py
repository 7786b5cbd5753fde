"""Which frames of a clip a video encoder looks at."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def midpoints(n_frames: int, wanted: int) -> list[int]:
    """Middles of `wanted` equal intervals of a clip, as ViCLIP samples; a shorter clip repeats its last frame.

    Args:
        n_frames: Length of the clip, at least 1.
        wanted: How many indices to return.

    Example:
        >>> midpoints(17, 8)
        [0, 2, 4, 6, 8, 10, 12, 15]
        >>> midpoints(3, 8)
        [0, 1, 2, 2, 2, 2, 2, 2]
    """
    if n_frames < 1 or wanted < 1:
        raise ValueError(f"cannot take {wanted} of {n_frames} frames")
    edges = np.linspace(0, n_frames, min(wanted, n_frames) + 1).astype(int)
    middles = [int(a + b - 1) // 2 for a, b in pairwise(edges)]
    return middles + [middles[-1]] * (wanted - len(middles))
