"""What a video really holds: decoded from start to end, frame by frame, so that memory does not grow with its length."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stbench.opening import VideoError, frames_of, open_video

LEAST_FRAMES = 2  # one frame has no motion and nothing to be consistent with


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """Frames that decode, those that the container promises (0: it does not say), size and rate."""

    frames: int
    promised: int
    width: int
    height: int
    fps: float

    @property
    def short(self) -> str | None:
        """Why the video counts as cut short, or None."""
        if self.frames < self.promised:
            return f"only {self.frames} of {self.promised} frames decode"
        if self.frames < LEAST_FRAMES:
            return f"it has {self.frames} frame"
        return None


def probe(path: Path) -> VideoFacts:
    """Decode a video and count.

    Raises:
        VideoError: Not one frame decodes.
    """
    count = promised = width = height = 0
    rate = None
    trouble: VideoError | None = None
    try:
        with open_video(path) as (container, stream):
            promised, rate = int(stream.frames or 0), stream.average_rate
            for frame in frames_of(container, stream, path):
                count, width, height = count + 1, frame.width, frame.height
    except VideoError as error:
        trouble = error
    if count == 0:
        raise trouble or VideoError("cannot be decoded (it holds no frames)", where=str(path), expected="a video")
    promised = max(promised, count + 1) if trouble else promised
    return VideoFacts(frames=count, promised=promised, width=width, height=height, fps=float(rate) if rate else 0.0)
