"""The journal: an append-only file with one JSON object per line, on disk before the next step starts.

A process can die in the middle of a line. A torn last line is therefore expected: readers skip it and say so, and the next
writer cuts it off and records what it cut. Each line is sealed; a broken or altered line in the middle is reported, never hides the
rest, and the next writer moves it to a file of its own (`events.damaged.jsonl`).

Several writers have a segment each, `events/<writer>.jsonl` beside `events.jsonl`: nobody appends to another's file, so one writer's torn
line harms no other. Readers merge the segments by time.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stbench.errors import InvalidRunError
from stbench.files import loud, make_folder, parse_json, sync_path, write_bytes
from stbench.redaction import redacted
from stbench.seal import FIELD as SEAL
from stbench.seal import Lines, sealed

MAX_BYTES = 2**30  # of one journal; 10,000 shots need about 20 MB


@dataclass(frozen=True, kw_only=True)
class JournalReading:
    """What is in a journal.

    Attributes:
        events: The whole lines, in order.
        torn: Text of an incomplete last line, or None.
        broken: Numbers, from 1, of other lines that are not JSON objects or were altered.
        files: Of each number in `broken`, the file.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    torn: str | None = None
    broken: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def read_journal(path: Path) -> JournalReading:
    """Read a journal and the segments beside it, merged by time; events of a segment name their `writer`. A missing file is empty."""
    main, others = read_file(path), segments(path)
    if not others:
        return main
    readings = [(None, main), *((other.stem, read_file(other)) for other in others)]
    events = heapq.merge(*(_by(writer, reading.events) for writer, reading in readings), key=_time)
    return JournalReading(
        events=list(events),
        torn=next((reading.torn for _, reading in readings if reading.torn is not None), None),
        broken=[number for _, reading in readings for number in reading.broken],
        files=[f"{path.stem}/{name}" if writer else name for writer, reading in readings for name in reading.files],
    )


def segments(path: Path) -> list[Path]:
    """The segments of a journal, by name; lines that were set aside are none."""
    folder = path.with_suffix("")
    return sorted(file for file in folder.glob("*.jsonl") if "." not in file.stem) if folder.is_dir() else []


def segment_path(path: Path, writer: str) -> Path:
    """The segment of one writer of a journal."""
    return path.with_suffix("") / f"{writer}{path.suffix}"


def _by(writer: str | None, events: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return events if writer is None else ({**event, "writer": writer} for event in events)


def _time(event: dict[str, Any]) -> float:
    time = event.get("time")
    return float(time) if isinstance(time, int | float) else 0.0


def read_file(path: Path) -> JournalReading:
    """Read one file of a journal; a missing one is empty."""
    if not path.exists():
        return JournalReading()
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InvalidRunError(f"has {size} bytes", where=str(path), expected=f"at most {MAX_BYTES}")
    *whole, tail = path.read_bytes().split(b"\n")
    events: list[dict[str, Any]] = []
    broken: list[int] = []
    seals = Lines()
    for number, line in enumerate(whole, start=1):
        try:
            event = parse_json(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and seals.accepts(event):
            events.append({name: value for name, value in event.items() if name != SEAL})
        else:
            broken.append(number)
    return JournalReading(
        events=events,
        torn=tail.decode("utf-8", "replace") if tail else None,
        broken=broken,
        files=[path.name] * len(broken),
    )


class Journal:
    """Appends events to one file. Only the holder of the run's lock may open a run's own, only a worker its segment.

    Args:
        path: The file; made if missing.
        now: Seconds since the epoch; the only clock.
    """

    def __init__(self, path: Path, now: Callable[[], float]):
        self.path, self._now = path, now
        make_folder(path.parent)
        reading = read_file(path)
        if reading.broken:
            self._set_aside(reading.broken)
        with loud(path):
            self._file = path.open("ab")
            sync_path(path.parent)  # a new journal's name must survive what its lines survive
        if reading.torn is not None:
            self._file.truncate(path.stat().st_size - len(path.read_bytes().rpartition(b"\n")[2]))
            self.add("torn_line_cut", text=reading.torn[:200])
        if reading.broken:
            self.add("damaged_lines_set_aside", lines=reading.broken, to=self._damaged.name)

    def add(self, event: str, **facts: Any) -> None:
        """Append one event and flush it to disk before returning; secrets, home folders and user names are hidden."""
        self.add_all(event, [facts])

    def add_all(self, event: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """As `add`, for several events of one kind that belong together: one flush for all."""
        lines = []
        for facts in redacted(list(rows)):  # at once: what to hide is looked up in the environment each time
            line = {"event": event, "time": round(self._now(), 3), **facts}
            lines.append(json.dumps(sealed(line), ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass") + b"\n")
        with loud(self.path):
            self._file.write(b"".join(lines))
            self._file.flush()
            os.fsync(self._file.fileno())

    @property
    def _damaged(self) -> Path:
        return self.path.with_suffix(f".damaged{self.path.suffix}")

    def _set_aside(self, numbers: list[int]) -> None:
        """Move damaged lines out: first into the other file, then out of this one, so that none is lost."""
        lines = self.path.read_bytes().split(b"\n")
        bad = [lines[number - 1] for number in numbers]
        before = self._damaged.read_bytes() if self._damaged.exists() else b""
        write_bytes(self._damaged, before + b"".join(line + b"\n" for line in bad))
        write_bytes(self.path, b"\n".join(line for number, line in enumerate(lines, start=1) if number not in set(numbers)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
