"""Reference images: pictures that a story's memory starts with (MR2V), named by its script or on the command line.

A picture counts by its bytes: its sha256 is part of every shot's key, its path is not. A script may only name pictures in its
own folder; `--reference` may name any file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stbench.errors import UserError
from stbench.keys import file_sha256

MAX_REFERENCES = 64
MAX_BYTES = 64 * 1024 * 1024
A_PICTURE = "a PNG or JPEG picture"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One picture: where it was found, and what it is."""

    path: Path
    sha256: str

    def to_json(self) -> dict[str, str]:
        """JSON-able dict, the inverse of `from_json`."""
        return {"path": str(self.path), "sha256": self.sha256}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Reference:
        """Read what `to_json` wrote."""
        return cls(path=Path(data["path"]), sha256=str(data["sha256"]))


def read_reference(path: Path, where: str) -> Reference:
    """Check one picture and take its digest.

    Args:
        path: The file.
        where: Script and field, or option, to name in errors.

    Raises:
        UserError: Missing, too large, or no picture.
    """
    from PIL import Image

    if not path.is_file():
        raise UserError(f"there is no file {path}", where=where, expected=A_PICTURE)
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} is {path.stat().st_size / 2**20:.0f} MB large", where=where, expected=f"at most {MAX_BYTES // 2**20} MB")
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            image.verify()
    except Exception as error:  # whatever a decoder raises on a file that is no picture
        raise UserError(f"{path} cannot be read as an image ({type(error).__name__})", where=where, expected=A_PICTURE) from error
    return Reference(path=path.resolve(), sha256=file_sha256(path))


def references_of_script(names: Sequence[str], *, folder: Path, source: str) -> tuple[Reference, ...]:
    """The pictures that a script names, relative to its folder and inside of it; a `UserError` names the entry that is not."""
    found = []
    for place, name in enumerate(names):
        where = f"{source}: references[{place}]"
        path = folder / name
        if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{name!r} leaves the script's folder", where=where, expected="a picture beside the script or below it")
        found.append(read_reference(path, where))
    return tuple(found)


def references_of_option(names: Sequence[str]) -> tuple[Reference, ...]:
    """The pictures of `--reference`, each given once for all stories."""
    if len(names) > MAX_REFERENCES:
        raise UserError(f"{len(names)} pictures", where="--reference", expected=f"at most {MAX_REFERENCES}")
    return tuple(read_reference(Path(name).expanduser(), "--reference") for name in names)
