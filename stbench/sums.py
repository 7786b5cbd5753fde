"""Checksums of derived files, in `.sums.json` beside them: so that an altered report is noticed, and made again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stbench.files import read_small_json, sync_path, write_json
from stbench.keys import file_sha256
from stbench.seal import broken, sealed

FILE = ".sums.json"


def write_sums(folder: Path, paths: Iterable[Path]) -> None:
    """Remember the bytes of files below a folder; of a folder among them, all its files.

    The files are synced first: sums that outlive a power loss must not speak of bytes that did not.
    """
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]
    inside = [file for file in files if file.resolve().is_relative_to(folder.resolve()) and file.name != FILE]
    for file in inside:
        sync_path(file)
    names = {file.resolve().relative_to(folder.resolve()).as_posix(): file_sha256(file) for file in inside}
    write_json(folder / FILE, sealed({"files": names}))


def altered(folder: Path) -> dict[str, str]:
    """File → what is wrong with it, for the files that were remembered; empty if none were, or all are as they were."""
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        stored = read_small_json(path)
        files = dict(stored["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {FILE: f"is not readable ({error})"}
    if broken(stored):
        return {FILE: "was altered since it was written"}
    root = folder.resolve()
    found = {name: folder / name for name in files if (folder / name).resolve().is_relative_to(root)}
    return {name: "has other bytes" for name, place in found.items() if place.is_file() and file_sha256(place) != files[name]}
