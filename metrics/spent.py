"""Where the time of a scoring goes: seconds and clips by encoder. What comes from the cache takes none and is not counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from metrics.base import Need
    from stbench.store import RunFolder

T = TypeVar("T")
DECODE = "(decoding)"


class Spent:
    """Collects times; several threads may add. Encoders give arrays, so a GPU has ended when they do.

    Example:
        >>> spent = Spent()
        >>> with spent.on("dino", clips=1):
        ...     pass
        >>> list(spent.to_json()), spent.to_json()["dino"]["clips"]
        (['dino'], 1)
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._clips: dict[str, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def on(self, name: str, *, clips: int = 0) -> Iterator[None]:
        """Time the `with` block."""
        began = time.perf_counter()
        yield
        took = time.perf_counter() - began
        with self._lock:
            self._seconds[name] = self._seconds.get(name, 0.0) + took
            self._clips[name] = self._clips.get(name, 0) + clips

    def each(self, name: str, items: Iterator[T]) -> Iterator[T]:
        """The items, and the time that making each of them takes."""
        end: Any = object()
        while True:
            with self.on(name):
                item = next(items, end)
            if item is end:
                return
            yield item

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Encoder → clips and seconds."""
        return {name: {"clips": self._clips[name], "seconds": round(seconds, 6)} for name, seconds in self._seconds.items()}


def name_of(need: Need) -> str:
    """What a feature is listed under: its encoder, or its kind where it needs none."""
    return need.encoder or need.kind


def note_scoring(run: RunFolder, spent: Spent, **facts: Any) -> None:
    """Write the times of one scoring into the run's timing.jsonl; nothing where nothing was computed."""
    from contextlib import closing

    from stbench.journal import Journal
    from stbench.timing import SCORING

    if encoders := spent.to_json():
        with closing(Journal(run.timing_path, time.time)) as journal:
            journal.add(SCORING, **facts, encoders=encoders)
