"""Keyframes of a finished shot: what it leaves in memory.

The first frame that passes the quality filter is a keyframe; walking on, a frame becomes one when its similarity to the
latest keyframe falls below a threshold and it passes the filter. More keyframes than wanted: the threshold is lowered by a
small step and the walk starts again. Source: arXiv 2512.19539, section 3.

The published code embeds two frames for every comparison. Here each frame is embedded once, before the search, which gives
the same answer; and the quality of a frame is asked only when the frame is a candidate, and once.

`variant="release-2025-12"` never considers frame 1 (its walk starts at frame 2); `"paper"` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from storymem.positions import Variant

THRESHOLD = 0.9  # of similarity; also the limit above which memory already holds a frame
THRESHOLD_STEP = 0.01
MAX_KEYFRAMES = 3


@dataclass(frozen=True, kw_only=True)
class KeyframeSearch:
    """What a search found, and how hard it had to look."""

    indices: tuple[int, ...]  # frames of the shot, ascending
    thresholds: tuple[float, ...]  # every threshold tried, in order


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines between the rows of a (N, D) and b (M, D): (N, M) float64; scale does not matter."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None, :]
    return np.asarray(a @ b.T / np.maximum(lengths, 1e-30))


def search(
    embeddings: np.ndarray,
    passes: Callable[[int], bool],
    *,
    threshold: float = THRESHOLD,
    step: float = THRESHOLD_STEP,
    maximum: int = MAX_KEYFRAMES,
    variant: Variant = "paper",
) -> KeyframeSearch:
    """Choose keyframes of one shot.

    Args:
        embeddings: (F, D), one row per frame.
        passes: Whether frame i is good enough; asked at most once per frame, and only for candidates.
        threshold: Similarity below which a frame is new.
        step: By how much the threshold is lowered while there are too many.
        maximum: Most keyframes wanted; at least 1.
        variant: See the module docstring.

    Returns:
        Indices, possibly none (no frame passes), and the thresholds tried.

    Example:
        >>> found = search(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), lambda frame: True)
        >>> found.indices, found.thresholds
        ((0, 2), (0.9,))
    """
    similarity = np.round(cosine(embeddings, embeddings), 9)  # a cosine of exactly the threshold is not new, on any machine
    known: dict[int, bool] = {}

    def good(frame: int) -> bool:
        if frame not in known:
            known[frame] = passes(frame)
        return known[frame]

    first = next((frame for frame in range(len(embeddings)) if good(frame)), None)
    if first is None:
        return KeyframeSearch(indices=(), thresholds=(threshold,))
    start = max(first + 1, 2) if variant == "release-2025-12" else first + 1
    tried: list[float] = []
    while True:
        tried.append(threshold)
        chosen = [first]
        for frame in range(start, len(embeddings)):
            if similarity[chosen[-1], frame] < threshold and good(frame):
                chosen.append(frame)
        if len(chosen) <= maximum:
            return KeyframeSearch(indices=tuple(chosen), thresholds=tuple(tried))
        threshold = round(threshold - step, 10)


def new_to_memory(found: np.ndarray, memory: np.ndarray, *, threshold: float = THRESHOLD) -> list[int]:
    """Rows of `found` (N, D) that no row of `memory` (M, D) resembles by more than the threshold, ascending.

    Example:
        >>> new_to_memory(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[2.0, 0.1]]))
        [1]
    """
    if len(memory) == 0:
        return list(range(len(found)))
    nearest = cosine(found, memory).max(axis=1)
    return [row for row, value in enumerate(nearest) if value <= threshold]
