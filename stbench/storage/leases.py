"""Leases: which worker films which story, so that no two make the same shot.

A lease is a small file, `.leases/<story>.json`, whose time of change is its heartbeat. A worker takes one before it touches a story, renews
it while it films, asks for it once more before it publishes a shot, and gives it back. A lease that was not renewed for `LIFE_S`, or whose
holder was a process of this machine and is gone, may be taken over; the new holder goes on from the shots that are finished.

Leases change hands only under a lock (flock) that is held for a few milliseconds, and ages are differences of two times of one file
system, so clocks of machines need not agree. It does not promise that a worker that slept through its lease computes nothing: it
promises that it publishes nothing afterwards.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stbench.errors import EXIT_PARTIAL, UserError
from stbench.files import loud, make_folder, read_small_json, write_json

FOLDER = ".leases"
LIFE_S = 60.0
BEATS = 4  # heartbeats in the life of a lease


class LeaseLostError(UserError):
    """The story is another worker's now; what this one was making of it is dropped."""

    exit_code = EXIT_PARTIAL


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who has a story. `machine` and `pid` tell whether the holder can still be alive; `age_s` is the time since its last heartbeat."""

    story: str
    writer: str
    machine: str
    pid: int
    age_s: float

    def expired(self, life_s: float = LIFE_S) -> bool:
        """It may be taken over."""
        return self.age_s > life_s or (self.machine == this_machine() and not alive(self.pid))


def this_machine() -> str:
    """A name that two machines, or two containers, do not share: process numbers mean something within it."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = "-"
    return f"{socket.gethostname()} {space}"


class Leases:
    """The leases of one run, as one writer uses them.

    Args:
        run: The run folder.
        writer: A name that no other process ever had in this run.
        life_s: After how long without a heartbeat another may take over.
    """

    def __init__(self, run: Path, *, writer: str, life_s: float = LIFE_S):
        self.folder, self.writer, self.life_s = run / FOLDER, writer, life_s

    def take(self, story: str) -> float:
        """Take a story: 0 if it is this writer's now, otherwise the seconds until asking again makes sense."""
        make_folder(self.folder)
        with self._locked() as now:
            holder = self._read(story, now)
            if holder is not None and holder.writer != self.writer and not holder.expired(self.life_s):
                return max(self.life_s - holder.age_s, 0.1)
            write_json(self._path(story), {"writer": self.writer, "machine": this_machine(), "pid": os.getpid()})
        return 0.0

    def renew(self, story: str) -> None:
        """A heartbeat; nothing if the story is no longer this writer's."""
        with contextlib.suppress(LeaseLostError, FileNotFoundError):
            self.ensure(story)
            os.utime(self._path(story))

    def ensure(self, story: str) -> None:
        """Raise a `LeaseLostError` unless the story is this writer's."""
        holder = self._read(story, 0.0)
        if holder is None or holder.writer != self.writer:
            now = holder.writer if holder else "nobody"
            raise LeaseLostError(f"is {now}'s now: {self.writer} was silent too long", where=f"story {story}")

    def release(self, story: str) -> None:
        """Give a story back."""
        self.revoke(self.writer, story)

    def revoke(self, writer: str, story: str) -> None:
        """Free the lease of a writer that is known to be gone; another writer's stays."""
        if not self._path(story).exists():
            return
        with self._locked() as now:
            holder = self._read(story, now)
            if holder is None or holder.writer == writer:
                with loud(self._path(story)):
                    self._path(story).unlink(missing_ok=True)

    def held(self) -> list[Lease]:
        """All leases that are not expired, by story."""
        if not self.folder.is_dir():
            return []
        with self._locked() as now:
            return self.seen(now)

    def seen(self, now: float) -> list[Lease]:
        """The same for somebody who only looks, and writes nothing: `now` is his clock's, in seconds since the epoch."""
        found = [self._read(path.stem, now) for path in sorted(self.folder.glob("*.json"))]
        return [lease for lease in found if lease is not None and not lease.expired(self.life_s)]

    def _path(self, story: str) -> Path:
        return self.folder / f"{story}.json"

    def _read(self, story: str, now: float) -> Lease | None:
        """The lease of a story; an unreadable one counts as none, for its holder cannot have it either."""
        path = self._path(story)
        try:
            data, beat = read_small_json(path), path.stat().st_mtime
            age_s = max(now - beat, 0.0)
            return Lease(story=story, writer=str(data["writer"]), machine=str(data["machine"]), pid=int(data["pid"]), age_s=age_s)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[float]:
        """Hold the lock; gives the time now by the clock that stamps the heartbeats."""
        path = self.folder / "lock"
        with loud(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.utime(descriptor)
            yield os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)


def alive(pid: int) -> bool:
    """Whether a process of this machine still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Ended with all its threads, and not yet asked about by its parent."""
    with contextlib.suppress(OSError):
        place = Path(f"/proc/{pid}")
        state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z" and len(list((place / "task").iterdir())) <= 1
    return False
