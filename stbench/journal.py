"""The journal: an append-only file with one JSON object per line, on disk before the next step starts.

A process can die in the middle of a line. A torn last line is therefore expected: readers skip it and say so, and the next
writer cuts it off and records what it cut. A broken line in the middle is reported as well, and never hides the rest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stbench.files import loud, sync_folder
from stbench.redaction import redacted


@dataclass(frozen=True, kw_only=True)
class JournalReading:
    """What is in a journal.

    Attributes:
        events: The whole lines, in order.
        torn: Text of an incomplete last line, or None.
        broken: Numbers, from 1, of other lines that are not JSON objects.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    torn: str | None = None
    broken: list[int] = field(default_factory=list)


def read_journal(path: Path) -> JournalReading:
    """Read a journal; a missing file is an empty one."""
    if not path.exists():
        return JournalReading()
    whole, _, tail = path.read_bytes().rpartition(b"\n")
    events: list[dict[str, Any]] = []
    broken: list[int] = []
    for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict):
            events.append(event)
        else:
            broken.append(number)
    return JournalReading(events=events, torn=tail.decode("utf-8", "replace") if tail else None, broken=broken)


class Journal:
    """Appends events. Only the holder of the run's lock may open one.

    Args:
        path: The file; made if missing.
        now: Seconds since the epoch; the only clock.
    """

    def __init__(self, path: Path, now: Callable[[], float]):
        self.path, self._now = path, now
        reading = read_journal(path)
        with loud(path):
            self._file = path.open("ab")
            sync_folder(path.parent)  # a new journal's name must survive what its lines survive
        if reading.torn is not None:
            self._file.truncate(path.stat().st_size - len(path.read_bytes().rpartition(b"\n")[2]))
            self.add("torn_line_cut", text=reading.torn[:200])

    def add(self, event: str, **facts: Any) -> None:
        """Append one event and flush it to disk before returning; secrets, home folders and user names are hidden."""
        line = json.dumps({"event": event, "time": round(self._now(), 3), **redacted(facts)}, ensure_ascii=False, allow_nan=False)
        with loud(self.path):
            self._file.write(line.encode("utf-8", "surrogatepass") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
