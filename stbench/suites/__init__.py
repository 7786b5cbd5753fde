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

from stbench.errors import UserError, did_you_mean
from stbench.references import references_of_option
from stbench.story import Story, story_id
from stbench.suites.index import INDEX, SuiteFiles, folder_files, read_index, user_files

BUNDLED = Path(__file__).parent


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
    """Names of the bundled suites and of those that were added, sorted."""
    return sorted(_known())


def _known() -> dict[str, Path]:
    """Name → folder; an added suite cannot take the name of a bundled one."""
    from stbench.suites.home import added_suites

    bundled = {folder.name: folder for folder in BUNDLED.iterdir() if (folder / INDEX).is_file()}
    return added_suites() | bundled


def find_suite(name_or_path: str | Path) -> SuiteFiles:
    """The files of a suite by name, or of a folder of scripts or a single script by path; no script is read.

    Raises:
        UserError: No such suite or path, or a bad index.
    """
    text = str(name_or_path)
    known = _known()
    if text in known:
        return read_index(known[text])
    path = Path(name_or_path).expanduser()  # recorded commands say ~ for the home folder
    if path.is_dir():
        return read_index(path) if (path / INDEX).is_file() else folder_files(path)
    if path.exists() or path.suffix == ".json" or "/" in text:
        return user_files(story_id(path), [path])
    from stbench.suites.official import official_suites

    raise UserError(
        f"unknown suite {text!r}",
        expected="one of: " + ", ".join(sorted(known)) + ", or the path of a script or of a folder of scripts",
        hint=f"fetch it first: stbench suite add {text}" if text in official_suites() else did_you_mean(text, known),
    )


def load_suite(name_or_path: str | Path) -> Suite:
    """Load a suite by name, or a folder of scripts or a single script by path.

    Raises:
        UserError: No such suite or path, a bad script, a checksum that differs, or two scripts with one id.
    """
    files = find_suite(name_or_path)
    stories = tuple(files.stories())
    return Suite(name=files.name, version=files.version, digest=stories_digest(stories), stories=stories, description=files.description)


def generate_suite(name: str, out: Path) -> Path:
    """Write a Story World suite into a new or empty folder; a `UserError` for an unknown name or a folder that is in use."""
    from stbench.world.suite import generate, write_suite

    generate(name)  # an unknown name is refused before a folder is made
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("is not an empty folder", where=str(out), expected="a new or empty one", hint="nothing was changed")
    return write_suite(name, out)


def with_references(suite: Suite, names: Sequence[str]) -> Suite:
    """The suite with these pictures in front of those that its scripts name; unchanged without names."""
    if not names:
        return suite
    pictures = references_of_option(names)
    stories = tuple(replace(story, references=(*pictures, *story.references)) for story in suite.stories)
    return replace(suite, stories=stories, digest=stories_digest(stories))


def stories_digest(stories: tuple[Story, ...]) -> str:
    """sha256 over the parsed stories in order, so that formatting of the files does not matter."""
    running = RunningDigest()
    for story in stories:
        running.add(story)
    return running.hex()


class RunningDigest:
    """The digest of a suite, story by story: that of the canonical JSON of the list of its stories' contents."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256(b"[")
        self._first = True

    def add(self, story: Story) -> None:
        """The next story."""
        from stbench.keys import canonical_json

        self._hasher.update((b"" if self._first else b",") + canonical_json(story.content()))
        self._first = False

    def hex(self) -> str:
        """The digest of all that were added."""
        whole = self._hasher.copy()
        whole.update(b"]")
        return whole.hexdigest()
