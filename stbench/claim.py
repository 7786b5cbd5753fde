"""Claiming a run folder: new, or the same run continued; anything else is refused before a byte is changed.

One process at a time: an advisory lock (flock) on `.lock`, which the system frees when the process dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stbench.errors import UserError
from stbench.files import TEMP_PREFIX, loud, make_folder
from stbench.keys import shot_key
from stbench.manifest import FILE, Manifest, read_manifest
from stbench.record import read_record
from stbench.redaction import redacted
from stbench.seeds import shot_seed

LOCK = ".lock"
USABLE = "a new or empty folder, or one of this same run"


@contextlib.contextmanager
def claim(folder: Path, wanted: Manifest) -> Iterator[Manifest | None]:
    """Hold a folder for one run.

    Args:
        folder: New, empty, or a folder of this same run.
        wanted: The manifest that the run would have.

    Yields:
        The manifest that is already there, or None for a new run.

    Raises:
        UserError: The folder is foreign, of another run, or in use.
    """
    inspect(folder, wanted)  # refuse first: a folder that is not ours gets not even a lock file
    make_folder(folder)
    with locked(folder):
        yield inspect(folder, wanted)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder; a `UserError` if another process does."""
    with loud(folder):
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            raise UserError(
                f"is in use by another process (pid {holder or 'unknown'})", where=str(folder), hint="wait for it, or choose another --out"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def inspect(folder: Path, wanted: Manifest) -> Manifest | None:
    """The manifest of a folder that this run may use, None if the folder is new; a `UserError` if it may not. Reads only."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise UserError("is not a folder", where=str(folder), expected=USABLE, hint="choose another --out")
    if not (folder / FILE).exists():
        found = [path.name for path in folder.iterdir() if path.name != LOCK and not path.name.startswith(TEMP_PREFIX)]
        if found:
            raise UserError(
                f"is not empty (it holds {sorted(found)[0]!r}) and has no {FILE}",
                where=str(folder),
                expected=USABLE,
                hint="nothing was changed; choose another --out",
            )
        return None
    there = read_manifest(folder)
    difference = _difference(there, wanted) or _lost_stories(folder, there, wanted)
    if difference:
        raise UserError(f"holds another run: {difference}", where=str(folder), hint="nothing was changed; choose another --out")
    return there


def _difference(there: Manifest, wanted: Manifest) -> str | None:
    """What makes two manifests different runs, or None."""
    for name, old, new in (
        ("method", there.method, wanted.method),
        ("model", redacted(there.model), redacted(wanted.model)),
        ("seed", there.seed, wanted.seed),
        ("suite", there.suite.name, wanted.suite.name),
        ("suite version", there.suite.version, wanted.suite.version),
    ):
        if old != new:
            return f"its {name} is {old}, expected {new}"
    if there.suite.version != "user" and there.suite.digest != wanted.suite.digest:
        return f"the scripts of its suite have digest {there.suite.digest[:12]}, expected {wanted.suite.digest[:12]}"
    if there.identity_digest != wanted.identity_digest:
        return f"its method differs in {_first_difference(there.identity, wanted.identity)}"
    return None


def _first_difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> str:
    """The first field in which two identities differ, with both values, shortened."""
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if before == after and (key in old) == (key in new):
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            return _first_difference(before, after, f"{prefix}{key}.")
        return f"{prefix}{key}: {before!s:.40}, expected {after!s:.40}"
    return "its identity"


def _lost_stories(folder: Path, there: Manifest, wanted: Manifest) -> str | None:
    """Which finished story this run would lose, or None.

    A run may grow (a larger --limit, another script), and a user's script may be edited: shots before the edit are kept.
    It may not shrink, and a script whose very first shot differs is another story.
    """
    stories = {story.id: story for story in wanted.stories}
    for old in there.stories:
        if old.id not in stories:
            return f"it has {len(there.stories)} stories, {old.id} among them, and this command asks for {len(wanted.stories)} without it"
        new = stories[old.id]
        with contextlib.suppress(UserError):  # a damaged record is made again, so it loses nothing
            record = read_record(folder / "shots" / old.id / f"{old.shots[0].id}.json")
            seed = shot_seed(run_seed=wanted.seed, story=new.id, index=0)
            key = shot_key(identity=wanted.identity, story=new, shot=new.shots[0], seed=seed, previous=None)
            if record is not None and record.shot_key != key:
                return f"the first shot of story {old.id} is another one, so all its finished shots would be replaced"
    return None
