"""Frames of a video in batches: memory does not grow with its length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stbench.opening import VideoError, frames_of, open_video

BATCH = 16  # frames; the same whatever is computed from them, so that features do not depend on it


def promised_frames(path: Path) -> int:
    """How many frames a video has, by its packets; nothing is decoded. A damaged file may hold fewer.

    Raises:
        VideoError: It cannot be opened.
    """
    with open_video(path) as (container, stream):
        return sum(1 for packet in container.demux(stream) if packet.size)


def batches(path: Path) -> Iterator[np.ndarray]:
    """(B, H, W, 3) uint8, B ≤ `BATCH`, in order.

    Raises:
        VideoError: The file is missing, cut short, or holds no frames.
    """
    held: list[np.ndarray] = []
    seen = 0
    with open_video(path) as (container, stream):
        for frame in frames_of(container, stream, path):
            held.append(frame.to_ndarray(format="rgb24"))
            seen += 1
            if len(held) == BATCH:
                yield np.stack(held)
                held.clear()
    if held:
        yield np.stack(held)
    if seen == 0:
        raise VideoError("holds no frames", where=str(path), expected="a video")
