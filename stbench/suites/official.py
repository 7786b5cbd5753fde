"""`stbench suite add`: suites that are not ours to bundle.

Their facts (names, counts, checksums) are known here; their scripts are fetched from their home at one commit, or taken from a folder,
verified one by one, and put into the user's data folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stbench.errors import UserError, did_you_mean
from stbench.suites.home import home
from stbench.suites.index import INDEX, entry_row, read_index, write_index

KNOWN = Path(__file__).parent / "facts"
TIMEOUT_S = 30
MAX_BYTES = 1024 * 1024  # of one file; the largest official script has 13 kB


@dataclass(frozen=True, kw_only=True)
class Official:
    """What is known of a suite before it is fetched."""

    name: str
    title: str
    repository: str
    commit: str
    folder: str
    licence: str
    licence_summary: str
    licence_file: str
    licence_sha256: str
    files: tuple[dict[str, Any], ...]

    def url(self, path: str) -> str:
        """Where a file of its repository is, at the one commit."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{path}"

    def terms(self) -> list[str]:
        """What a person should know before accepting."""
        return [
            f"{self.title}: {len(self.files)} scripts from github.com/{self.repository}, commit {self.commit[:7]}",
            f"licence: {self.licence} ({self.licence_summary})",
            f"text:    https://github.com/{self.repository}/blob/{self.commit}/{self.licence_file}",
        ]


def official_suites() -> list[str]:
    """Names that `stbench suite add` knows."""
    return sorted(path.stem for path in KNOWN.glob("*.json"))


def official(name: str) -> Official:
    """Facts of an official suite; a `UserError` for an unknown name."""
    names = official_suites()
    if name not in names:
        raise UserError(f"no official suite {name!r}", expected="one of: " + ", ".join(names), hint=did_you_mean(name, names))
    data = json.loads((KNOWN / f"{name}.json").read_text(encoding="utf-8"))
    licence = data["licence"]
    return Official(
        name=data["name"],
        title=data["title"],
        repository=data["repository"],
        commit=data["commit"],
        folder=data["folder"],
        licence=licence["name"],
        licence_summary=licence["summary"],
        licence_file=licence["file"],
        licence_sha256=licence["sha256"],
        files=tuple(data["files"]),
    )


def add(suite: Official, get: Callable[[str], bytes], *, on_file: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Put an official suite into the user's data folder: all of it, verified, or nothing.

    Args:
        suite: Its facts.
        get: Gives the bytes of a file by its path in the repository (`story/cat.json`).
        on_file: Told how many files are there, of how many.

    Returns:
        The folder of the suite.

    Raises:
        UserError: A file cannot be had, or is not the file that is expected.
    """
    target = home() / suite.name
    part = target.with_name(f".{suite.name}.part-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        rows = []
        for k, facts in enumerate(suite.files, start=1):
            data = get(f"{suite.folder}/{facts['file']}")
            found = hashlib.sha256(data).hexdigest()
            if found != facts["sha256"]:
                raise UserError(f"{facts['file']} has sha256 {found[:12]}…", where=suite.name, expected=f"{facts['sha256'][:12]}…")
            (part / facts["file"]).write_bytes(data)
            rows.append({**entry_row(facts["file"], data, ()), "shots": facts["shots"], "cuts": facts["cuts"]})
            on_file(k, len(suite.files))
        head = {"name": suite.name, "version": suite.commit[:7], "description": suite.title, "licence": suite.licence}
        write_index(part, head, rows)
        for _ in read_index(part).stories():
            pass  # counts and shape of every script
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def licence_text(suite: Official, get: Callable[[str], bytes]) -> list[str]:
    """The licence's own lines, if they can be had and are those that are known; else none, and the address must do."""
    try:
        data = get(suite.licence_file)
    except UserError:
        return []
    if hashlib.sha256(data).hexdigest() != suite.licence_sha256:
        return [f"({suite.licence_file} is not the text that is known: read it at the address above)"]
    paragraphs = data.decode("utf-8").splitlines()
    return ["", *(line for text in paragraphs for line in textwrap.wrap(text, 78, initial_indent="  ", subsequent_indent="  ") or [""]), ""]


def is_added(suite: Official) -> bool:
    """Whether it is there already, with the checksums that are known."""
    folder = home() / suite.name
    if not (folder / INDEX).is_file():
        return False
    try:
        stated = {entry.path.name: entry.sha256 for entry in read_index(folder).entries}
        list(read_index(folder).stories())
    except UserError:
        return False
    return stated == {facts["file"]: facts["sha256"] for facts in suite.files}


def from_folder(suite: Official, folder: Path) -> Callable[[str], bytes]:
    """Take files from a folder: a copy of the repository, or of the folder with its scripts."""

    def get(path: str) -> bytes:
        name = Path(path).name
        for place in (folder / path, folder / name):
            if place.is_file():
                return place.read_bytes()
        raise UserError(f"there is no {name}", where=str(folder), expected=f"the folder {suite.folder!r} of {suite.repository}")

    return get


def from_home(suite: Official) -> Callable[[str], bytes]:
    """Fetch files over https from the repository at the one commit."""

    def get(path: str) -> bytes:
        import urllib.error
        import urllib.request

        url = suite.url(path)
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 (the address is https and ours)
                return bytes(answer.read(MAX_BYTES))
        except (urllib.error.URLError, TimeoutError, OSError) as error:
            reason = getattr(error, "reason", error)
            hint = f"without internet: copy the folder here and add --from DIR (it is {suite.folder}/ of github.com/{suite.repository})"
            raise UserError(f"cannot be fetched ({reason})", where=url, hint=hint) from error

    return get
