"""Opening pictures and videos that anybody may have made: a regular file, a known format, no more pixels than a limit allows.

The limits stand between a small file and all memory (a few kilobytes can unpack to 16,384 × 16,384 pixels, or to a million frames).
Each can be raised by an environment variable, which its error message names.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.errors import UserError

if TYPE_CHECKING:
    import numpy as np

MAX_FRAME_PX = "STBENCH_MAX_FRAME_PX"  # pixels of one frame or picture
MAX_CLIP_BYTES = "STBENCH_MAX_CLIP_BYTES"  # of all frames of one shot, decoded: 3 bytes a pixel
DEFAULTS = {MAX_FRAME_PX: 7680 * 4320, MAX_CLIP_BYTES: 4 * 2**30}
# What ffmpeg may take a file for. Left out are the formats that name other files or addresses (playlists, concat, image sequences).
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,ogg,flv,asf,gif"


class VideoError(UserError):
    """A video file that cannot be decoded."""


def limit(name: str) -> int:
    """A limit, from the environment or its default; a `UserError` for what is no number."""
    text = os.environ.get(name)
    if text is None:
        return DEFAULTS[name]
    if not text.isascii() or not text.isdigit() or not 0 < len(text) < 19:
        raise UserError(f"found {text!r:.40}", where=f"the environment variable {name}", expected="a whole number")
    return int(text)


def check_size(width: int, height: int, path: Path) -> None:
    """Refuse a frame or picture with more pixels than the limit."""
    most = limit(MAX_FRAME_PX)
    if width * height > most:
        raise VideoError(f"is {width}x{height} pixels large", where=str(path), expected=f"at most {most} pixels", hint=_raise(MAX_FRAME_PX))


def check_bytes(count: int, path: Path) -> None:
    """Refuse a clip that unpacks to more than the limit."""
    most = limit(MAX_CLIP_BYTES)
    if count > most:
        raise VideoError(f"unpacks to more than {most} bytes", where=str(path), expected="a shorter clip", hint=_raise(MAX_CLIP_BYTES))


def _raise(name: str) -> str:
    return f"if it is meant to be, set {name} to a larger number"


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a video for reading.

    Yields:
        PyAV's container and its first video stream; decode with `frames_of`.

    Raises:
        VideoError: Missing, no regular file, no video, too many pixels; or whatever ffmpeg refuses inside the `with`.
    """
    import av

    if not path.is_file():
        found = "is not a file" if path.exists() else "cannot be decoded (No such file or directory)"
        raise VideoError(found, where=str(path), expected="a video")
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            if not container.streams.video:
                raise VideoError("holds no video", where=str(path), expected="a video")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoError("is of no kind that can be decoded", where=str(path), expected="a video")
            check_size(stream.width, stream.height, path)
            yield container, stream
    except (av.FFmpegError, OSError, MemoryError) as error:
        raise VideoError(f"cannot be decoded ({getattr(error, 'strerror', None) or error})", where=str(path), expected="a video") from error


def frames_of(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """PyAV frames one by one, each checked against the limit: a stream may change its size."""
    for frame in container.decode(stream):
        check_size(frame.width, frame.height, path)
        yield frame


@contextlib.contextmanager
def _own_limit() -> Iterator[None]:
    """Leave the limit to `check_size`, which says how to raise it; Pillow's own would come first."""
    from PIL import Image

    theirs, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = theirs


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 of a PNG or JPEG file.

    Raises:
        VideoError: Missing, no picture, or too large.
    """
    import numpy as np
    from PIL import Image

    if not path.is_file():
        raise VideoError("is not there, or no file", where=str(path), expected="a PNG or JPEG picture")
    try:
        with _own_limit(), Image.open(path, formats=("PNG", "JPEG")) as image:
            check_size(image.width, image.height, path)
            return np.array(image.convert("RGB"))
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they like on a damaged file
        raise VideoError(f"cannot be decoded ({error})", where=str(path), expected="a PNG or JPEG picture") from error
