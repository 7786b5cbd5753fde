"""Files that are either whole or not there: written under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stbench.errors import EXIT_PARTIAL, InvalidRunError, UserError

TEMP_PREFIX = ".tmp-"
MAX_JSON_BYTES = 64 * 2**20  # of one manifest or record; 10,000 long prompts need about 10 MB

MAX_DIGITS = 300  # of a whole number: it must fit into a float


class SaveError(UserError):
    """The disk refused: full, read-only or gone. What was published before is safe."""

    exit_code = EXIT_PARTIAL


@contextlib.contextmanager
def loud(path: Path) -> Iterator[None]:
    """Turn a failed save into one clear line that ends the program."""
    try:
        yield
    except OSError as error:
        raise SaveError(
            f"cannot be written ({error.strerror or error})",
            where=str(path),
            hint="what was published before is safe; free some space or fix the folder, then repeat the command",
        ) from error


def read_small_json(path: Path) -> Any:
    """JSON of a file that we wrote: its size is checked before it is read.

    Raises:
        ValueError: Too large, or not JSON.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise ValueError(f"it has {size} bytes, at most {MAX_JSON_BYTES} are read")
    return parse_json(path.read_bytes())


def parse_json(text: bytes) -> Any:
    """JSON as we write it: UTF-8, finite numbers, nested within reason; anything else is a ValueError, whatever it is.

    Example:
        >>> parse_json(b'{"a": [1, 2.5]}')
        {'a': [1, 2.5]}
        >>> parse_json(b"1e999")
        Traceback (most recent call last):
        ValueError: 1e999 is not a finite number
    """
    try:
        return json.loads(text.decode("utf-8", "surrogatepass"), parse_constant=_finite, parse_float=_finite, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"{text[:20]}… has {len(text)} digits")
    return int(text)


def temp_path(path: Path) -> Path:
    """A temporary name in the same folder, with the same suffix; hidden, and unique to this process."""
    return path.with_name(f"{TEMP_PREFIX}{os.getpid()}-{path.name}")


def publish(temp: Path, path: Path) -> None:
    """Flush `temp` to disk and give it its final name; after this returns, a power loss cannot undo it."""
    with loud(path):
        descriptor = os.open(temp, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temp.replace(path)
        sync_path(path.parent)


def refuse_links(folder: Path) -> None:
    """Refuse a run folder that reaches outside of itself, or holds what is neither a file nor a folder.

    Raises:
        InvalidRunError: A symbolic link that leads out, a pipe, a socket or a device; reading or writing it is not safe.
    """
    root, pending = folder.resolve(), [folder]
    while pending:
        for entry in os.scandir(pending.pop()):
            if entry.is_symlink():
                if not Path(entry.path).resolve().is_relative_to(root):
                    raise InvalidRunError("is a symbolic link that leads out of the run folder", where=entry.path, hint="remove it")
            elif entry.is_dir():
                pending.append(Path(entry.path))
            elif not entry.is_file():
                raise InvalidRunError("is neither a file nor a folder", where=entry.path, hint="remove it")


def sync_path(path: Path) -> None:
    """Flush the bytes of a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing; their names are on disk when this returns."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    with loud(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for place in reversed(missing):
            sync_path(place.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file atomically; an interruption leaves the old file, or none."""
    temp = temp_path(path)
    make_folder(path.parent)
    try:
        with loud(path):
            temp.write_bytes(data)
        publish(temp, path)
    finally:
        temp.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON atomically; NaN is refused with a ValueError."""
    write_bytes(path, (json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "surrogatepass"))


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one JSON object per line, atomically."""
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    write_bytes(path, text.encode("utf-8", "surrogatepass"))


def remove_temporaries(*folders: Path) -> None:
    """Delete what a killed process left half-written in folders of ours; only names with our own prefix."""
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name.startswith(TEMP_PREFIX) and path.is_file():
                path.unlink(missing_ok=True)
