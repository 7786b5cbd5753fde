"""Bringing pixels over unchanged: a copy of a file, or a span of a film written again without loss."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from stbench.files import loud, publish, temp_path
from stbench.opening import VideoError, frames_of, open_video


def copy_file(source: Path, path: Path) -> None:
    """The same bytes under another name, whole or not at all."""
    temp = temp_path(path)
    try:
        with loud(path):
            shutil.copyfile(source, temp)
        publish(temp, path)
    finally:
        temp.unlink(missing_ok=True)


def write_spans(film: Path, spans: Mapping[Path, tuple[int, int]]) -> None:
    """Cut a film: each span [start, stop) becomes an mp4 that decodes to exactly the film's frames. The film is decoded once.

    Raises:
        VideoError: The film cannot be decoded, or what was written does not decode to the same frames.
    """
    order = sorted(spans.items(), key=lambda item: item[1])
    written: list[_Span] = []
    try:
        with open_video(film) as (container, stream):
            rate = Fraction(stream.average_rate or 24).limit_denominator(1001)
            for number, frame in enumerate(frames_of(container, stream, film)):
                for path, (start, stop) in order:
                    if number == start:
                        written.append(_Span(path, frame, rate))
                    if start <= number < stop:
                        next(span for span in written if span.path == path).add(frame)
                    if number == stop - 1:
                        next(span for span in written if span.path == path).close()
    finally:
        for span in written:
            span.discard()


class _Span:
    """One span while it is written; `close` proves and publishes it."""

    def __init__(self, path: Path, like: Any, rate: Fraction):
        import av

        self.path, self._temp = path, temp_path(path)
        self._hash, self._count, self._rate = hashlib.sha256(), 0, rate
        self._container = av.open(str(self._temp), "w", format="mp4", options={"movflags": "+faststart"})
        rgb = like.format.name.startswith(("rgb", "gbr", "bgr"))
        self._format = "rgb24" if rgb else like.format.name
        options = {"qp": "0", "preset": "veryfast", "threads": "1"}
        self._stream: Any = self._container.add_stream("libx264rgb" if rgb else "libx264", rate=rate, options=options)
        self._stream.width, self._stream.height, self._stream.pix_fmt = like.width, like.height, self._format
        context = self._stream.codec_context
        context.thread_count = 1
        context.color_range, context.colorspace = like.color_range, like.colorspace

    def add(self, frame: Any) -> None:
        """One frame of the film."""
        self._hash.update(frame.to_ndarray(format="rgb24").tobytes())
        frame.pts, frame.time_base, frame.pict_type = self._count, 1 / self._rate, 0  # the encoder chooses its key frames
        self._count += 1
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def close(self) -> None:
        """Flush, decode back, compare, publish."""
        for packet in self._stream.encode():
            self._container.mux(packet)
        self._container.close()
        if _pixels(self._temp) != self._hash.digest():
            raise VideoError("a span of it does not decode to the same frames", where=self.path.name, expected="a lossless copy")
        publish(self._temp, self.path)

    def discard(self) -> None:
        """Nothing half-written stays."""
        self._temp.unlink(missing_ok=True)


def _pixels(path: Path) -> bytes:
    """sha256 over the RGB frames of a video."""
    digest = hashlib.sha256()
    with open_video(path) as (container, stream):
        for frame in frames_of(container, stream, path):
            digest.update(frame.to_ndarray(format="rgb24").tobytes())
    return digest.digest()
