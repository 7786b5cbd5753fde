"""The record of one shot: its commit. It is written last; without it, or with a digest that differs, the shot is not done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from stbench.errors import InvalidRunError
from stbench.files import read_small_json
from stbench.keys import file_sha256
from stbench.manifest import Frozen
from stbench.migration import migrated
from stbench.seal import sealed

SCHEMA = 3  # 2: `lacks`; 3: a seal; see stbench.migration


MAX_NAME = 200  # characters of a file's name; ours have at most 80


class StoredFile(Frozen):
    """One file beside the record. `frame` is the index of the frame that a still shows."""

    name: str
    sha256: str
    frame: int | None = None

    def intact(self, folder: Path) -> bool:
        """The file is there and its bytes are as recorded."""
        path = folder / self.name
        return path.is_file() and file_sha256(path) == self.sha256


class InputShot(Frozen):
    """A finished shot that this one could use, exactly as it was."""

    shot: str
    key: str
    sha256: str  # of its video


class SpanFact(Frozen):
    """A measured stage of work. `start_s`: seconds after its shot began; older runs do not say."""

    stage: str
    seconds: float
    start_s: float | None = None
    detail: dict[str, Any] = Field(default_factory=dict)


class ShotRecord(Frozen):
    """`shots/<story>/<shot>.json`. File names are relative to the record's own folder."""

    schema_number: int = SCHEMA
    story: str
    shot: str  # Shot.id
    index: int  # over the whole story, from 0
    shot_key: str
    seed: int
    fps: float
    n_frames: int
    width: int
    height: int
    video: StoredFile
    keyframes: tuple[StoredFile, ...] = ()  # in the order in which the method chose them
    tail: tuple[StoredFile, ...] = ()  # oldest first
    inputs: tuple[InputShot, ...] = ()
    lacks: tuple[str, ...] = ()  # ids of earlier shots that could not be made, so this one was made without them
    notes: dict[str, Any] = Field(default_factory=dict)
    seconds: float
    device: str
    attempt: int = 1
    intact: bool = Field(default=True, exclude=True)  # the record is what was written

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """All files of the shot, the video first."""
        return (self.video, *self.keyframes, *self.tail)

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict."""
        data = self.model_dump(mode="json")
        return sealed({"schema": data.pop("schema_number"), **data})


def as_input(record: ShotRecord) -> InputShot:
    """A finished shot, as the record of a later one names it."""
    return InputShot(shot=record.shot, key=record.shot_key, sha256=record.video.sha256)


def read_record(path: Path) -> ShotRecord | None:
    """Read a record; None if there is none.

    Raises:
        InvalidRunError: It is there but damaged, newer than this program, or names files outside its folder.
    """
    try:
        record = ShotRecord.model_validate(migrated("record", read_small_json(path), where=path))
    except FileNotFoundError:
        return None
    except InvalidRunError:
        raise
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise InvalidRunError(f"is not a shot record ({str(error).splitlines()[0]})", where=str(path)) from error
    for file in record.files:
        if Path(file.name).name != file.name or file.name in ("", ".", "..") or "\x00" in file.name or len(file.name) > MAX_NAME:
            raise InvalidRunError(f"names the file {file.name!r}", where=str(path), expected="a file beside it")
    return record
