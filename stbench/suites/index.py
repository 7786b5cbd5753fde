"""What a suite consists of: its files in order and, where there is a `suite.json`, what that promises about them.

Nothing is parsed here, so that a suite of ten thousand stories can be walked through one story at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stbench.dialects import SUITE_SUFFIXES, Source, read_source
from stbench.errors import UserError, did_you_mean
from stbench.story import Story, parse_story, read_json, safe_id, story_id

INDEX = "suite.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One script of a suite; checksum and counts are None where no index states them."""

    path: Path
    sha256: str | None = None
    shots: int | None = None
    cuts: int | None = None


@dataclass(frozen=True, kw_only=True)
class SuiteFiles:
    """The files of a suite, in order. `design` is what its index promises, for `stbench suite lint` to hold it to."""

    name: str
    version: str
    entries: tuple[Entry, ...]
    description: str = ""
    licence: str = ""
    design: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shots(self) -> int:
        """Shots as the index states them."""
        return sum(entry.shots or 0 for entry in self.entries)

    @property
    def cuts(self) -> int:
        """Cuts as the index states them."""
        return sum(entry.cuts or 0 for entry in self.entries)

    def story(self, name: str) -> Story:
        """One story by its id."""
        ids = {story_id(entry.path): entry for entry in self.entries}
        if name not in ids:
            some = ", ".join(list(ids)[:8]) + (" …" if len(ids) > 8 else "")
            raise UserError(f"no story {name!r}", where=self.name, expected=f"one of: {some}", hint=did_you_mean(name, ids))
        return load_entry(ids[name])[1]

    def stories(self) -> Iterator[Story]:
        """The stories, one after another, verified.

        Raises:
            UserError: A bad script, a checksum or count that differs, or two scripts with one id.
        """
        seen: dict[str, str] = {}
        for entry in self.entries:
            refuse_duplicate(entry.path, seen)
            yield load_entry(entry)[1]


def read_index(folder: Path) -> SuiteFiles:
    """The suite that a folder's `suite.json` describes."""
    where = folder / INDEX
    index = read_json(where)
    try:
        rows: list[dict[str, Any]] = list(index["stories"])
        entries = tuple(
            Entry(path=folder / Path(str(row["file"])).name, sha256=str(row["sha256"]), shots=row.get("shots"), cuts=row.get("cuts"))
            for row in rows
        )
        files = SuiteFiles(
            name=str(index["name"]),
            version=str(index["version"]),
            entries=entries,
            description=str(index.get("description", "")),
            licence=str(index.get("licence", "")),
            design=dict(index.get("design", {})),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        expected = "name, version and stories with file and sha256"
        raise UserError(f"is not a suite index ({error})", where=str(where), expected=expected) from error
    if not entries:
        raise UserError("lists no stories", where=str(where), expected="at least one story")
    return files


def folder_files(folder: Path) -> SuiteFiles:
    """A user's folder of scripts, sorted by name."""
    paths = sorted(file for file in folder.iterdir() if file.name.lower().endswith(SUITE_SUFFIXES) and file.is_file())
    if not paths:
        raise UserError("holds no scripts", where=str(folder), expected="at least one of *" + ", *".join(SUITE_SUFFIXES))
    return user_files(safe_id(folder.resolve().name), paths)


def user_files(name: str, paths: list[Path]) -> SuiteFiles:
    """Scripts without an index."""
    entries = tuple(Entry(path=path) for path in paths)
    return SuiteFiles(name=name, version="user", entries=entries, description="a user's scripts")


def load_entry(entry: Entry) -> tuple[Source, Story]:
    """One script, checked against what the index says of it."""
    source = read_source(entry.path)
    where = str(entry.path)
    story = parse_story(source.data, source=where, id=story_id(entry.path), folder=entry.path.parent, locate=source.line_of)
    _verify(entry, story)
    return source, story


def _verify(entry: Entry, story: Story) -> None:
    """Checksum and counts of an entry; a `UserError` says which differs."""
    if entry.sha256 is not None:
        found = hashlib.sha256(entry.path.read_bytes()).hexdigest()
        if found != entry.sha256:
            raise UserError(
                f"has sha256 {found[:12]}…",
                where=str(entry.path),
                expected=f"{entry.sha256[:12]}…, as {INDEX} says",
                hint=f"restore the file, or use a copy of the folder without {INDEX} as a suite of your own",
            )
    for name, found_count, stated in (("shots", len(story.shots), entry.shots), ("cuts", story.cuts, entry.cuts)):
        if stated is not None and stated != found_count:
            raise UserError(f"has {found_count} {name}", where=str(entry.path), expected=f"{stated}, as {INDEX} says")


def refuse_duplicate(path: Path, seen: dict[str, str]) -> None:
    """Two scripts must not give one id; file systems that ignore case must not mix two stories either."""
    name = story_id(path)
    other = seen.setdefault(name.lower(), path.name)
    if other != path.name:
        raise UserError(f"gives the story id {name!r}, and so does {other}", where=str(path), expected="file names that differ")


def entry_row(file: str, data: bytes, cuts: Iterable[bool]) -> dict[str, Any]:
    """The row of one script in an index."""
    flags = list(cuts)
    return {"file": file, "sha256": hashlib.sha256(data).hexdigest(), "shots": len(flags), "cuts": sum(flags)}


def write_index(folder: Path, head: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write `suite.json`: name, version, description, licence …, then a line per script, as it comes; published by rename."""
    path = folder / INDEX
    part = path.with_suffix(".json.part")
    with part.open("w", encoding="utf-8", newline="\n") as file:
        file.write("{\n")
        for key, value in head.items():
            file.write(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n")
        file.write(' "stories": [')
        for k, row in enumerate(rows):
            file.write(("," if k else "") + "\n  " + json.dumps(row, ensure_ascii=False))
        file.write("\n ]\n}\n")
    part.replace(path)
    return path
