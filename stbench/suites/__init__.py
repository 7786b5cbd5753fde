"""Suites: named, versioned, checksummed sets of stories.

Bundled suites are folders beside this file with a `suite.json` that states the sha256 of every script; a changed file is
refused. Any folder of scripts, or one script file, is a suite as well: its name is that of the folder or file, its
version is "user", its digest is computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stbench.dialects import SUITE_SUFFIXES
from stbench.errors import UserError, did_you_mean
from stbench.references import references_of_option
from stbench.story import Story, load_story, read_json, safe_id, story_id

BUNDLED = Path(__file__).parent
INDEX = "suite.json"


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A set of stories; two suites with one digest hold the same stories."""

    name: str
    version: str
    digest: str
    stories: tuple[Story, ...]
    description: str = ""

    @property
    def shots(self) -> int:
        """Shots of all stories."""
        return sum(len(story.shots) for story in self.stories)

    @property
    def cuts(self) -> int:
        """Cuts of all stories."""
        return sum(story.cuts for story in self.stories)


def list_suites() -> list[str]:
    """Names of the bundled suites, sorted."""
    return sorted(folder.name for folder in BUNDLED.iterdir() if (folder / INDEX).is_file())


def load_suite(name_or_path: str | Path) -> Suite:
    """Load a bundled suite by name, or a folder of scripts or a single script by path.

    Raises:
        UserError: No such suite or path, a bad script, a checksum that differs, or two scripts with one id.
    """
    text = str(name_or_path)
    if text in list_suites():
        return _load_indexed(BUNDLED / text)
    path = Path(name_or_path)
    if path.is_dir():
        return _load_indexed(path) if (path / INDEX).is_file() else _load_folder(path)
    if path.exists() or path.suffix == ".json" or "/" in text:
        return _user_suite(story_id(path), [path])
    raise UserError(
        f"unknown suite {text!r}",
        expected="one of: " + ", ".join(list_suites()) + ", or the path of a script or of a folder of scripts",
        hint=did_you_mean(text, list_suites()),
    )


def generate_suite(name: str, out: Path) -> Path:
    """Write a Story World suite into a new or empty folder; a `UserError` for an unknown name or a folder that is in use."""
    from stbench.world.suite import generate, write_suite

    generate(name)  # an unknown name is refused before a folder is made
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("is not an empty folder", where=str(out), expected="a new or empty one", hint="nothing was changed")
    return write_suite(name, out)


def _load_folder(path: Path) -> Suite:
    files = sorted(file for file in path.iterdir() if file.name.lower().endswith(SUITE_SUFFIXES) and file.is_file())
    if not files:
        raise UserError("holds no scripts", where=str(path), expected="at least one of *" + ", *".join(SUITE_SUFFIXES))
    return _user_suite(safe_id(path.resolve().name), files)


def _user_suite(name: str, files: list[Path]) -> Suite:
    stories = tuple(load_story(file) for file in files)
    _refuse_duplicates(stories, files)
    return Suite(name=name, version="user", digest=stories_digest(stories), stories=stories, description="a user's scripts")


def _load_indexed(folder: Path) -> Suite:
    """A folder with a `suite.json`: order, checksums and counts are verified."""
    where = folder / INDEX
    index = read_json(where)
    try:
        entries: list[dict[str, Any]] = list(index["stories"])
        name, version, description = str(index["name"]), str(index["version"]), str(index.get("description", ""))
        files = [folder / Path(str(entry["file"])).name for entry in entries]
        sums = [str(entry["sha256"]) for entry in entries]
    except (KeyError, TypeError, AttributeError) as error:
        expected = "name, version and stories with file and sha256"
        raise UserError(f"is not a suite index ({error})", where=str(where), expected=expected) from error
    if not files:
        raise UserError("lists no stories", where=str(where), expected="at least one story")
    stories = tuple(_load_verified(file, expected) for file, expected in zip(files, sums, strict=True))
    _refuse_duplicates(stories, files)
    for story, file, entry in zip(stories, files, entries, strict=True):
        for field, found in (("shots", len(story.shots)), ("cuts", story.cuts)):
            if entry.get(field, found) != found:
                raise UserError(f"has {found} {field}", where=str(file), expected=f"{entry[field]}, as {INDEX} says")
    return Suite(name=name, version=version, digest=stories_digest(stories), stories=stories, description=description)


def _load_verified(file: Path, expected_sha256: str) -> Story:
    story = load_story(file)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != expected_sha256:
        raise UserError(
            f"has sha256 {found[:12]}…",
            where=str(file),
            expected=f"{expected_sha256[:12]}…, as {INDEX} says",
            hint="restore the file, or use a copy of the folder without suite.json as a suite of your own",
        )
    return story


def _refuse_duplicates(stories: tuple[Story, ...], files: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for story, file in zip(stories, files, strict=True):
        key = story.id.lower()  # file systems that ignore case must not mix two stories
        if key in seen:
            found = f"gives the story id {story.id!r}, and so does {seen[key].name}"
            raise UserError(found, where=str(file), expected="file names that differ")
        seen[key] = file


def with_references(suite: Suite, names: Sequence[str]) -> Suite:
    """The suite with these pictures in front of those that its scripts name; unchanged without names."""
    if not names:
        return suite
    pictures = references_of_option(names)
    stories = tuple(replace(story, references=(*pictures, *story.references)) for story in suite.stories)
    return replace(suite, stories=stories, digest=stories_digest(stories))


def stories_digest(stories: tuple[Story, ...]) -> str:
    """sha256 over the parsed stories in order, so that formatting of the files does not matter."""
    from stbench.keys import digest

    return digest([story.content() for story in stories])
