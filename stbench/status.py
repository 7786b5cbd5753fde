"""How far a run is, from its folder alone: done, who works on what, pace, time left, what went wrong. Nothing is written or locked.

Finished shots are counted by their records; the rest is folded from the journal, of which only what is new is read each time.
"""

from __future__ import annotations

import os
import re
import socket
from collections import deque
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from stbench.files import parse_json
from stbench.journal import segments
from stbench.storage.leases import Leases
from stbench.store import RunFolder

LOCK = ".lock"
PACE_OF = 100  # the last so many shots say how fast it goes
HANGS_AT, HANGS_FROM_S = 20, 120.0  # a first shot loads the models, too
MAIN = "main"  # the writer of `events.jsonl`


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """What one process does now. `shot` is None before its first shot of the story; `made` are its shots so far.

    `hangs`: at this shot for more than `HANGS_AT` times the median of the last shots, and for more than `HANGS_FROM_S`.
    """

    worker: str
    story: str
    shot: str | None
    for_s: float | None
    made: int
    hangs: bool = False


@dataclass(frozen=True, kw_only=True)
class Status:
    """A run at one moment.

    Attributes:
        run: Its name.
        state: "running", or the manifest's status, or "cut off" if it neither runs nor ended.
        driver: Who runs it, as the lock says.
        done, expected: Shots.
        stories_done, stories: Stories with every shot, and all.
        shots_per_s: Shots per second lately; None before the first, or if it does not run.
        eta_s: Seconds to the end at that pace.
        retries, given_up, lost_workers: Failed attempts, shots given up, workers gone, since the run began.
        working: Who works on what.
    """

    run: str
    state: str
    driver: str | None
    done: int
    expected: int
    stories_done: int
    stories: int
    shots_per_s: float | None
    eta_s: float | None
    retries: int
    given_up: int
    lost_workers: int
    working: tuple[WorkerStatus, ...]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


@dataclass(kw_only=True)
class _Fold:
    """What the journal says so far."""

    offsets: dict[Path, int] = field(default_factory=dict)
    now_at: dict[str, tuple[str, str, float]] = field(default_factory=dict)  # writer → story, shot, since
    made: dict[str, int] = field(default_factory=dict)
    times: deque[float] = field(default_factory=lambda: deque(maxlen=PACE_OF + 1))  # when shots were done, this session
    took: deque[float] = field(default_factory=lambda: deque(maxlen=PACE_OF))  # seconds of the last shots
    began: float = 0.0  # of the session
    failed: int = 0
    given_up: int = 0
    lost: int = 0

    def read(self, path: Path) -> None:
        """Fold in the whole lines that are new in a journal and its segments."""
        for file in (path, *segments(path)):
            if not file.exists():
                continue
            start = self.offsets.get(file, 0)
            with file.open("rb") as stream:
                stream.seek(start)
                whole, newline, _ = stream.read().rpartition(b"\n")
            self.offsets[file] = start + len(whole) + len(newline)
            for line in whole.split(b"\n") if newline else ():
                try:
                    event = parse_json(line)
                    self._add(MAIN if file == path else file.stem, event, float(event["time"]))
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue  # `stbench check` names damaged lines

    def _add(self, writer: str, event: dict[str, Any], time: float) -> None:
        match event.get("event"):
            case "run_started" | "run_continued":
                self.began = time
                self.times.clear()
                self.now_at.clear()
            case "shot_started":
                self.now_at[writer] = (str(event["story"]), str(event["shot"]), time)
            case "shot_done":
                self.now_at.pop(writer, None)
                self.made[writer] = self.made.get(writer, 0) + 1
                if time >= self.began:
                    self.times.append(time)
                if isinstance(seconds := event.get("seconds"), int | float):
                    self.took.append(float(seconds))
            case "shot_failed":
                self.now_at.pop(writer, None)
                self.failed += 1
            case "shot_given_up" | "story_given_up":
                self.given_up += 1
            case "worker_lost":
                self.lost += 1


class Watcher:
    """Looks at a run folder again and again.

    Args:
        path: The run folder.

    Raises:
        UserError: It is none.
    """

    def __init__(self, path: Path):
        self.folder = RunFolder.open(path)
        self._fold = _Fold()
        self._written = self._manifest_time()
        self._there: set[tuple[str, str]] = set()  # a finished shot stays finished while one looks

    def look(self, now: float) -> Status:
        """The run now; `now` in seconds since the epoch."""
        if self._manifest_time() != self._written:
            self._written, self.folder = self._manifest_time(), RunFolder.open(self.folder.path)
        self._fold.read(self.folder.events_path)
        whole = sum(self._whole(story.id, [shot.id for shot in story.shots]) for story in self.folder.stories)
        done, expected = len(self._there), self.folder.manifest.counts.expected
        driver, alive = self._driver()
        leases = {lease.writer: lease for lease in Leases(self.folder.path, writer="status").seen(now)}
        running = bool(leases) or (driver is not None and alive)
        pace = self._pace(now) if running else None
        ended = self.folder.manifest.status
        return Status(
            run=self.folder.name,
            state="running" if running else "cut off" if ended == "started" else ended,
            driver=driver if running else None,
            done=done,
            expected=expected,
            stories_done=whole,
            stories=len(self.folder.stories),
            shots_per_s=None if pace is None else round(pace, 6),
            eta_s=round((expected - done) / pace, 1) if pace else None,
            retries=max(self._fold.failed - self._fold.given_up, 0),
            given_up=self._fold.given_up,
            lost_workers=self._fold.lost,
            working=self._working({writer: lease.story for writer, lease in leases.items()}, now) if running else (),
        )

    def _manifest_time(self) -> int:
        return (self.folder.path / "manifest.json").stat().st_mtime_ns

    def _whole(self, story: str, shots: list[str]) -> bool:
        """Every shot of a story is there; remembers those that are."""
        missing = [shot for shot in shots if (story, shot) not in self._there]
        found = [shot for shot in missing if self.folder.record_path(story, shot).exists()]
        self._there.update((story, shot) for shot in found)
        return len(found) == len(missing)

    def _driver(self) -> tuple[str | None, bool]:
        """What the lock says, and whether that process can still be alive."""
        try:
            said = (self.folder.path / LOCK).read_text(errors="replace").strip()[:200] or None
        except OSError:
            return None, False
        match = re.fullmatch(r"pid (\d+) on (.*)", said or "")
        if match is None or match[2] != socket.gethostname():
            return said, said is not None  # another machine's: nothing is known against it
        try:
            os.kill(int(match[1]), 0)
        except ProcessLookupError:
            return said, False
        except PermissionError:
            return said, True
        return said, True

    def _pace(self, now: float) -> float | None:
        times = self._fold.times
        if not times:
            return None
        began = self._fold.began if len(times) <= PACE_OF else times[0]
        count = len(times) if len(times) <= PACE_OF else PACE_OF
        return count / max(now - began, 1e-3)

    def _working(self, leased: dict[str, str], now: float) -> tuple[WorkerStatus, ...]:
        fold = self._fold
        if not leased:
            leased = {MAIN: fold.now_at[MAIN][0]} if MAIN in fold.now_at else {}
        limit = max(HANGS_AT * median(fold.took), HANGS_FROM_S) if fold.took else inf
        found = []
        for writer, story in sorted(leased.items()):
            at = fold.now_at.get(writer)
            shot, since = (at[1], at[2]) if at and at[0] == story else (None, None)
            for_s = None if since is None else round(max(now - since, 0.0), 1)
            hangs = for_s is not None and for_s > limit
            found.append(WorkerStatus(worker=writer, story=story, shot=shot, for_s=for_s, made=fold.made.get(writer, 0), hangs=hangs))
        return tuple(found)


def prometheus(status: Status) -> str:
    """The status in Prometheus's text format.

    Source: https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    run = f'run="{_escaped(status.run)}"'
    one = f"{{{run}}}"
    rows: list[tuple[str, str, str, list[tuple[str, float]]]] = [
        ("stbench_shots_expected", "gauge", "Shots of the run.", [(one, status.expected)]),
        ("stbench_shots_done", "gauge", "Finished shots.", [(one, status.done)]),
        ("stbench_stories_expected", "gauge", "Stories of the run.", [(one, status.stories)]),
        ("stbench_stories_done", "gauge", "Stories with every shot.", [(one, status.stories_done)]),
        ("stbench_retries_total", "counter", "Failed attempts that were tried again.", [(one, status.retries)]),
        ("stbench_shots_given_up_total", "counter", "Shots that kept failing.", [(one, status.given_up)]),
        ("stbench_workers_lost_total", "counter", "Workers that ended unasked.", [(one, status.lost_workers)]),
        ("stbench_running", "gauge", "1 while somebody films.", [(one, float(status.state == "running"))]),
        ("stbench_workers", "gauge", "Processes that film now.", [(one, len(status.working))]),
        ("stbench_workers_hanging", "gauge", "Of them, without progress for long.", [(one, sum(each.hangs for each in status.working))]),
        ("stbench_worker_shots_done", "gauge", "Shots that a process made.", [
            (f'{{{run},worker="{_escaped(each.worker)}"}}', each.made) for each in status.working
        ]),
    ]  # fmt: skip
    if status.shots_per_s is not None and status.eta_s is not None:
        rows.append(("stbench_shots_per_second", "gauge", "Pace of the last shots.", [(one, status.shots_per_s)]))
        rows.append(("stbench_eta_seconds", "gauge", "Time to the end at that pace.", [(one, status.eta_s)]))
    lines = []
    for name, kind, meaning, values in rows:
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{labels} {value:g}" if value < 1e6 else f"{name}{labels} {value:.0f}" for labels, value in values]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
