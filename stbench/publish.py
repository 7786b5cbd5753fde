"""Publishing a shot: temporary name, flush, decode back, compare, rename; the record comes last.

A killed process leaves either the whole shot or, at worst, files without a record, which the next run replaces.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stbench.files import loud, make_folder, publish, sync_path, temp_path, write_json
from stbench.keys import file_sha256
from stbench.record import InputShot, ShotRecord, SpanFact, StoredFile, read_record
from stbench.video import VideoError, decodes_to, read_png, write_mp4, write_png

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np

    from stbench.methods import ShotRequest, ShotResult, Span


class DecodeBackError(Exception):
    """A written file does not hold what was given; the shot counts as failed."""


def publish_shot(
    folder: Path,
    request: ShotRequest,
    result: ShotResult,
    *,
    key: str,
    inputs: Sequence[InputShot],
    seconds: float,
    device: str,
    attempt: int,
) -> ShotRecord:
    """Write the files of one shot, prove that they decode, and commit them with a record.

    Args:
        folder: The story's folder of shots.
        request: What was asked for.
        result: What the method made; valid (see `stbench.validity`).
        key: The shot's key.
        inputs: The finished shots that the method was given.
        seconds: Time that the method took.
        device: Where it ran.
        attempt: 1, or more after failures.

    Raises:
        DecodeBackError: A file did not decode to what was written.
        SaveError: The disk refused.
    """
    shot = request.shot
    frames = result.frames
    make_folder(folder)
    with loud(folder):
        _retract(folder, shot.id)
    video = _write_video(folder / f"{shot.id}.mp4", frames, result.fps)
    keyframes = tuple(_write_still(folder / f"{shot.id}.key{i}.png", frames, index) for i, index in enumerate(result.keyframes))
    count = len(frames)
    last = range(count - result.tail, count)
    tail = tuple(_write_still(folder / f"{shot.id}.tail{i}.png", frames, index) for i, index in enumerate(last))
    record = ShotRecord(
        story=request.story.id,
        shot=shot.id,
        index=shot.index,
        shot_key=key,
        seed=request.seed,
        fps=result.fps,
        n_frames=count,
        width=int(frames.shape[2]),
        height=int(frames.shape[1]),
        video=video,
        keyframes=keyframes,
        tail=tail,
        inputs=tuple(inputs),
        lacks=request.lacks,
        notes=dict(result.notes),
        seconds=round(seconds, 4),
        device=device,
        attempt=attempt,
    )
    write_json(folder / f"{shot.id}.json", record.to_json())
    return record


def as_facts(spans: Iterable[Span], began: float) -> list[SpanFact]:
    """Measurements, ready to be stored. `began`: when the shot did, by the clock of the spans."""
    return [
        SpanFact(
            stage=span.stage,
            seconds=round(span.seconds, 6),
            start_s=None if span.start_s is None else round(span.start_s - began, 6),
            detail=dict(span.detail),
        )
        for span in spans
    ]


def _retract(folder: Path, shot: str) -> None:
    """Take back an older version of the shot, record first, so that no record ever names files of two versions."""
    from stbench.errors import InvalidRunError

    path = folder / f"{shot}.json"
    if not path.exists():
        return
    try:
        old = read_record(path)
    except InvalidRunError:
        old = None
    path.unlink()
    sync_path(folder)
    for file in old.files if old else ():
        (folder / file.name).unlink(missing_ok=True)


def _write_video(path: Path, frames: np.ndarray, fps: float) -> StoredFile:
    def compare(temp: Path) -> None:
        try:
            shape, decoded_fps = decodes_to(temp)
        except VideoError as error:
            raise DecodeBackError(f"{path.name} does not decode back ({error.what})") from error
        if shape != frames.shape or abs(decoded_fps - fps) > 0.01 * fps:
            raise DecodeBackError(f"{path.name} decodes to {shape} at {decoded_fps:g} fps, expected {frames.shape} at {fps:g} fps")

    return _publish_file(path, write=lambda temp: write_mp4(temp, frames, fps), compare=compare, frame=None)


def _write_still(path: Path, frames: np.ndarray, index: int) -> StoredFile:
    def compare(temp: Path) -> None:
        try:
            same = bool((read_png(temp) == frames[index]).all())
        except VideoError as error:
            raise DecodeBackError(f"{path.name} does not decode back ({error.what})") from error
        if not same:
            raise DecodeBackError(f"{path.name} does not decode to the frame it was written from")

    return _publish_file(path, write=lambda temp: write_png(temp, frames[index]), compare=compare, frame=index)


def _publish_file(path: Path, *, write: Callable[[Path], None], compare: Callable[[Path], None], frame: int | None) -> StoredFile:
    temp = temp_path(path)
    try:
        with loud(path):
            write(temp)
        compare(temp)
        sha256 = file_sha256(temp)
        publish(temp, path)
    finally:
        temp.unlink(missing_ok=True)
    return StoredFile(name=path.name, sha256=sha256, frame=frame)
