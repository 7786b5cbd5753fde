"""Claiming a run folder: new, or the same run continued; anything else is refused before a byte is changed.

A damaged manifest is no reason to lose a run: if every record in the folder is of the run that is asked for, so is the folder, and the
manifest is written anew.

One process at a time: an advisory lock (flock) on `.lock`, which the system frees when the process dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stbench.errors import InvalidRunError, UserError
from stbench.files import TEMP_PREFIX, loud, make_folder, refuse_links
from stbench.keys import shot_key, story_keys
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
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 200, 0).decode("ascii", "replace").strip() or "who did not say"
            raise UserError(
                f"is in use by another process ({holder})", where=str(folder), hint="wait for it, or choose another --out"
            ) from error
        with loud(folder / LOCK):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def inspect(folder: Path, wanted: Manifest) -> Manifest | None:
    """The manifest of a folder that this run may use, None if the folder is new; a `UserError` if it may not. Reads only.

    A manifest that was damaged, and is to be written anew, comes back with `intact` false.
    """
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
    refuse_links(folder)
    try:
        there = read_manifest(folder)
    except InvalidRunError:
        if not _all_records_are_of(folder, wanted):
            raise
        there = None
    if there is None or (not there.intact and _all_records_are_of(folder, wanted)):
        written = (folder / FILE).stat().st_mtime
        return wanted.model_copy(update={"started": there.started if there else round(written, 3), "intact": False})
    difference = _difference(there, wanted) or _lost_stories(folder, there, wanted)
    if difference:
        raise UserError(f"holds another run: {difference}", where=str(folder), hint="nothing was changed; choose another --out")
    return there


def _all_records_are_of(folder: Path, wanted: Manifest) -> bool:
    """There are shots in the folder, and all of them are shots of this run."""
    shots = folder / "shots"
    stories = {story.id: story for story in wanted.stories}
    if not shots.is_dir() or not {path.name for path in shots.iterdir()} <= set(stories):
        return False
    found = 0
    for story in stories.values():
        keys = story_keys(identity=wanted.identity, story=story, run_seed=wanted.seed)
        for shot, key in zip(story.shots, keys, strict=True):
            try:
                record = read_record(shots / story.id / f"{shot.id}.json")
            except InvalidRunError:
                return False
            if record is not None and record.shot_key != key:
                return False
            found += record is not None
    return found > 0


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
