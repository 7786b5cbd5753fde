"""mp4 in and out, through PyAV: H.264 that browsers play, and frames back as uint8.

Small pictures are encoded nearly without loss (a face in Story World is a few pixels), large ones as usual. One encoder
thread and no AVX-512, so that the same frames give the same bytes. Chroma is halved (yuv420p) unless a side is odd.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.opening import VideoError as VideoError
from stbench.opening import check_bytes, frames_of, open_video, read_picture

if TYPE_CHECKING:
    import numpy as np

SMALL_PX = 200_000  # below this many pixels a frame, quality costs next to nothing
CRF_SMALL, CRF_LARGE = 12, 16


def write_mp4(path: Path, frames: np.ndarray, fps: float) -> None:
    """Encode frames to an mp4 file.

    Args:
        path: File to write; not atomic, see `stbench.files`.
        frames: (F, H, W, 3) uint8, F ≥ 1.
        fps: Frames per second, > 0.
    """
    _encode(path, iter(frames), fps=fps, height=int(frames.shape[1]), width=int(frames.shape[2]))


def _encode(path: Path, frames: Iterator[np.ndarray], *, fps: float, height: int, width: int) -> int:
    """Encode a stream of (H, W, 3) uint8 frames; returns how many there were."""
    import av

    count = 0
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        options = {"crf": str(CRF_SMALL if height * width < SMALL_PX else CRF_LARGE), "preset": "medium", "threads": "1"}
        options |= _repeatable()
        stream: Any = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"
        stream.codec_context.thread_count = 1
        _tag_colours(stream.codec_context)
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
            count += 1
        for packet in stream.encode():
            container.mux(packet)
    return count


@functools.lru_cache(maxsize=1)
def _repeatable(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """On a CPU with AVX-512, options that make x264 stop at AVX2.

    x264's AVX-512 code now and then gives other bytes for the same frames: 64 of 16,000 encodings of two clips on one machine, against
    0 of 16,000 without AVX-512, whose bytes are those of the other 15,936.
    """
    try:
        return {"x264-params": "asm=AVX2"} if "avx512" in cpuinfo.read_text() else {}
    except OSError:
        return {}


def _tag_colours(codec: Any) -> None:
    """State what swscale's RGB conversion does (BT.601, limited range), so that players undo exactly that."""
    codec.color_range, codec.colorspace, codec.color_primaries, codec.color_trc = 1, 6, 6, 6


def read_mp4(path: Path) -> tuple[np.ndarray, float]:
    """Decode a whole video.

    Returns:
        Frames (F, H, W, 3) uint8, and frames per second.

    Raises:
        VideoError: The file is missing, cut short, or holds no video.
    """
    import numpy as np

    with open_video(path) as (container, stream):
        rate, stack, size = stream.average_rate, list[np.ndarray](), 0
        for frame in frames_of(container, stream, path):
            stack.append(frame.to_ndarray(format="rgb24"))
            size += stack[-1].nbytes
            check_bytes(size, path)
    _one_size({(frame.shape[0], frame.shape[1]) for frame in stack}, path)
    return np.stack(stack), float(rate) if rate else 0.0


def decodes_to(path: Path) -> tuple[tuple[int, int, int, int], float]:
    """Decode a whole video as `read_mp4` does, and keep nothing: its shape (F, H, W, 3) and frames per second.

    Raises:
        VideoError: As in `read_mp4`.
    """
    with open_video(path) as (container, stream):
        rate, count, sizes = stream.average_rate, 0, set[tuple[int, int]]()
        for frame in frames_of(container, stream, path):
            count += 1
            sizes.add((frame.height, frame.width))
    height, width = _one_size(sizes, path)
    return (count, height, width, 3), float(rate) if rate else 0.0


def _one_size(sizes: set[tuple[int, int]], path: Path) -> tuple[int, int]:
    """The only one of the sizes."""
    if not sizes:
        raise VideoError("holds no frames", where=str(path), expected="a video")
    if len(sizes) > 1:
        raise VideoError("changes its size from frame to frame", where=str(path), expected="a video of one size")
    return sizes.pop()


def read_png(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 of a PNG file; a `VideoError` if it is none."""
    return read_picture(path)


def write_png(path: Path, frame: np.ndarray) -> None:
    """Write one (H, W, 3) uint8 frame without loss."""
    from PIL import Image

    Image.fromarray(frame).save(path, format="PNG")


def concat(parts: Iterable[Path], out: Path) -> int:
    """Write one film from videos of one size, in order; decoded shot by shot, so memory stays small.

    Returns:
        The number of frames written.

    Raises:
        VideoError: A part cannot be decoded or differs in size or frame rate from the first.
    """
    paths = list(parts)
    frames, fps = read_mp4(paths[0])
    height, width = int(frames.shape[1]), int(frames.shape[2])

    def all_frames() -> Iterator[np.ndarray]:
        yield from frames
        for path in paths[1:]:
            part, part_fps = read_mp4(path)
            if part.shape[1:3] != (height, width) or abs(part_fps - fps) > 1e-3:
                found = f"{part.shape[2]}x{part.shape[1]} at {part_fps:g} fps"
                raise VideoError(f"is {found}", where=str(path), expected=f"{width}x{height} at {fps:g} fps, as {paths[0].name}")
            yield from part

    return _encode(out, all_frames(), fps=fps, height=height, width=width)
