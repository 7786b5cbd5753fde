"""Where a run can be stopped: every journal event and every step that changes a file, counted in the process that runs.

`watch` installs an audit hook (Python tells it of every open, rename, remove, mkdir) and wraps `os.fsync`, the journal and
the encoder. Each step is a *point*, named like `rename shots/ant/01_01.mp4` or `journal shot_done`. `Watch.at(point)` is
asked just before the step happens, and may kill the process or raise.

It also keeps what a power loss would leave: which bytes of which files, and which names of which folders, were flushed.
Real file systems keep more; a program that survives the least survives all.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR


class Watch:
    """The points of one process.

    Args:
        root: The run folder; steps elsewhere are not points.
        shadow: An empty folder outside of it, on the same disk: keeps every flushed file reachable.
        at: Called with (number from 1, name) before each step.
    """

    def __init__(self, root: Path, shadow: Path | None, at: Callable[[int, str], None]):
        self.root, self.shadow, self._at = root, shadow, at
        self.count, self._busy = 0, False
        self.names: list[str] = []
        self._flushed_bytes: dict[int, int] = {}
        self._flushed_names: dict[str, dict[str, int]] = {}
        self.done: list[str] = []  # shots that the journal was told of: from here on they must not be lost

    def start(self) -> None:
        """Hook into this process; it cannot be undone."""
        if self.shadow is not None:
            self._flush_folder(self.root.parent)
        self._wrap()
        sys.addaudithook(self._audit)

    def point(self, name: str) -> None:
        """One step is about to happen."""
        if self._busy:
            return
        self._busy = True
        try:
            self.count += 1
            self.names.append(name)
            self._at(self.count, name)
        finally:
            self._busy = False

    def save(self) -> None:
        """Write what a power loss would leave (for `power_loss`) and which shots are promised, beside the shadow."""
        if self.shadow is not None:
            facts = {"bytes": self._flushed_bytes, "names": self._flushed_names, "done": self.done, "points": self.names}
            self.shadow.with_suffix(".json").write_text(json.dumps(facts))

    def _audit(self, event: str, args: tuple) -> None:
        if self._busy or not sys or sys.is_finalizing():
            return
        if event == "open":
            path, _, flags = args
            if isinstance(path, str | os.PathLike) and isinstance(flags, int) and flags & WRITING:
                self._step("open", path)
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            self._step(event[3:], args[1] if event == "os.rename" else args[0])

    def _step(self, what: str, path: object) -> None:
        try:
            place = Path(os.path.abspath(os.fspath(path))).relative_to(self.root)  # noqa: PTH100 (resolve() would follow links)
        except (ValueError, TypeError):
            return
        self.point(f"{what} {re.sub(r'^(.*/)?.tmp-[0-9]+-', lambda m: m[1] or '', place.as_posix())}")

    def _wrap(self) -> None:
        import stbench.video
        from stbench.journal import Journal

        fsync, add_all, tag = os.fsync, Journal.add_all, stbench.video._tag_colours

        def watched_fsync(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            self._step("fsync", path)
            fsync(descriptor)
            self._note(descriptor, path)

        def watched_add_all(journal: Journal, event: str, rows: Iterable[Mapping[str, object]]) -> None:
            rows = list(rows)
            if event == "shot_done":
                self.done += [f"{row['story']} {row['shot']}" for row in rows]
            self.point(f"journal {event}")
            add_all(journal, event, rows)

        def watched_tag(codec: object) -> None:
            self.point("encode")
            tag(codec)

        os.fsync, Journal.add_all, stbench.video._tag_colours = watched_fsync, watched_add_all, watched_tag

    def _note(self, descriptor: int, path: Path) -> None:
        """This file's bytes, or this folder's names, are on disk now."""
        if self.shadow is None or self._busy:
            return
        self._busy = True
        try:
            facts = os.fstat(descriptor)
            if stat.S_ISDIR(facts.st_mode):
                self._flush_folder(path)
            else:
                self._flushed_bytes[facts.st_ino] = facts.st_size
                self._keep(path, facts.st_ino)
        finally:
            self._busy = False

    def _flush_folder(self, path: Path) -> None:
        self._flushed_names[str(path)] = {entry.name: entry.inode() for entry in os.scandir(path)}
        for entry in os.scandir(path):
            if entry.is_file(follow_symlinks=False) and path.is_relative_to(self.root):
                self._keep(Path(entry.path), entry.inode())

    def _keep(self, path: Path, inode: int) -> None:
        """A second name for the file, so that it is still there after it was replaced."""
        if self.shadow is not None and not (self.shadow / str(inode)).exists():
            os.link(path, self.shadow / str(inode))


def power_loss(root: Path, shadow: Path, into: Path) -> None:
    """Build the run folder as it is after a power loss that kept only what was flushed.

    Args:
        root: The run folder when the process died.
        shadow: What the dead process's `Watch` kept.
        into: A folder to build it in, in the place of `root`'s parent.
    """
    facts = json.loads(shadow.with_suffix(".json").read_text())
    sizes: dict[str, int] = facts["bytes"]
    names: dict[str, dict[str, int]] = facts["names"]

    def build(folder: Path, target: Path) -> None:
        for name, inode in names.get(str(folder), {}).items():
            place, kept = folder / name, shadow / str(inode)
            if kept.is_file():
                (target / name).write_bytes(kept.read_bytes()[: sizes.get(str(inode), 0)])
            elif place.is_dir() or str(place) in names:
                (target / name).mkdir()
                build(place, target / name)

    into.mkdir()
    if root.name in names.get(str(root.parent), {}):
        (into / root.name).mkdir()
        build(root, into / root.name)


def tear(root: Path, shadow: Path) -> None:
    """Cut every file whose end was not flushed in the middle of what was not: names survive, the last writes do not."""
    sizes: dict[str, int] = json.loads(shadow.with_suffix(".json").read_text())["bytes"]
    for path in root.rglob("*"):
        if path.is_file():
            facts = path.stat()
            flushed = min(sizes.get(str(facts.st_ino), 0), facts.st_size)
            if flushed < facts.st_size:
                os.truncate(path, flushed + (facts.st_size - flushed) // 2)
