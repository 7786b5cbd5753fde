"""Which of a story's keyframes stand in memory when the next shot is made.

The first keyframes are a sink that never leaves (it anchors who and what the story is about), the rest is a sliding
window of the most recent. Capacity counts keyframes, not shots. Source: arXiv 2512.19539, section 3.

`select` is the published policy. `select_by_prompt` keeps the sink and fills the rest with the keyframes that resemble the next shot's
prompt most, wherever they were: for stories with several characters, whom a window of recent frames forgets (a limit that the
paper names).

`variant="release-2025-12"` keeps the arithmetic of the first public code, whose window degenerates when the capacity is
not larger than the sink: frames come twice and the capacity is exceeded. `"paper"` mends it: a capacity of 0 is no
memory, and a sink never takes more than the capacity.
"""

from __future__ import annotations

from collections.abc import Sequence

from storymem.positions import Variant

SIZE = 10
SINK = 3


def select(count: int, *, size: int = SIZE, sink: int = SINK, variant: Variant = "paper") -> list[int]:
    """Indices, oldest first, of the `count` keyframes so far that stand in memory.

    Args:
        count: Keyframes that the story has so far, in the order in which they were chosen.
        size: Capacity in keyframes.
        sink: How many first keyframes never leave.
        variant: "paper" or "release-2025-12" (quirks included).

    Example:
        >>> select(13, size=5, sink=3)
        [0, 1, 2, 11, 12]
        >>> select(13, size=2, sink=3)
        [0, 1]
        >>> select(4, size=2, sink=3, variant="release-2025-12")
        [0, 1, 2, 1, 2, 3]
    """
    everything = list(range(count))
    if count <= size:
        return everything
    if variant == "release-2025-12":
        return everything[:sink] + everything[-(size - sink) :]
    sink = min(sink, size)
    return everything[:sink] + everything[count - (size - sink) :]


def select_by_prompt(similarity: Sequence[float], *, size: int = SIZE, sink: int = SINK) -> list[int]:
    """Indices, oldest first, of the keyframes that stand in memory when those most like the prompt are wanted.

    Args:
        similarity: Of each keyframe so far to the prompt of the next shot, oldest first; of two that are equal the later one is kept.
        size: Capacity in keyframes.
        sink: How many first keyframes never leave.

    Example:
        >>> select_by_prompt([0.1, 0.9, 0.2, 0.8, 0.3], size=3, sink=1)
        [0, 1, 3]
        >>> select_by_prompt([0.1, 0.9, 0.2], size=5)
        [0, 1, 2]
    """
    count = len(similarity)
    fixed = min(sink, size, count)
    best = sorted(range(fixed, count), key=lambda index: (similarity[index], index), reverse=True)
    return sorted([*range(fixed), *best[: size - fixed]])
