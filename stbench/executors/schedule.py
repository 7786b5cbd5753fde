"""Which story is filmed next: longest first, again if its worker was lost, later if another process has it. Pure; no clock, no I/O.

Longest first keeps the end of a run short: with any order, a long story that is begun last is waited for by everybody.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping

MAX_LOSSES = 3  # of workers in a row at one shot; then the shot is at fault, and not the machines


class Schedule:
    """The stories of a run that have something to be made.

    Args:
        shots: Story id → shots that are not finished, in the suite's order.

    Example:
        >>> schedule = Schedule({"ant": 2, "bee": 5, "cat": 5})
        >>> schedule.take("w0", now=0.0), schedule.take("w1", now=0.0)
        ('bee', 'cat')
        >>> schedule.lost("w0"), schedule.take("w1", now=0.0)
        (None, 'bee')
    """

    def __init__(self, shots: Mapping[str, int]):
        self._place = {story: (-count, order) for order, (story, count) in enumerate(shots.items())}
        self._ready = [(*place, story) for story, place in self._place.items()]
        heapq.heapify(self._ready)
        self._later: list[tuple[float, str]] = []
        self._losses: Counter[str] = Counter()
        self.working: dict[str, str] = {}  # worker → story

    @property
    def waiting(self) -> int:
        """Stories that no worker has."""
        return len(self._ready) + len(self._later)

    @property
    def finished(self) -> bool:
        """Nothing waits and nobody works."""
        return not self.waiting and not self.working

    def wake_at(self) -> float | None:
        """When the next story that another process has may be asked for again; None if there is none."""
        return self._later[0][0] if self._later else None

    def take(self, worker: str, *, now: float) -> str | None:
        """The next story, which is the worker's from now on; None if there is none now."""
        while self._later and self._later[0][0] <= now:
            self._put(heapq.heappop(self._later)[1])
        if not self._ready:
            return None
        story = heapq.heappop(self._ready)[2]
        self.working[worker] = story
        return story

    def progressed(self, worker: str) -> None:
        """A shot of the worker's story was made, so it was not the story that cost workers before."""
        self._losses.pop(self.working.get(worker, ""), None)

    def ended(self, worker: str) -> None:
        """The worker is done with its story, however it ended."""
        self.working.pop(worker, None)

    def busy(self, worker: str, *, until: float) -> None:
        """Another process has the worker's story; it is not offered before `until`."""
        heapq.heappush(self._later, (until, self.working.pop(worker)))

    def lost(self, worker: str) -> str | None:
        """The worker is gone; its story waits again. The story, if it has cost too many workers and is given up; else None."""
        story = self.working.pop(worker, None)
        if story is None:
            return None
        self._losses[story] += 1
        if self._losses[story] >= MAX_LOSSES:
            return story
        self._put(story)
        return None

    def _put(self, story: str) -> None:
        heapq.heappush(self._ready, (*self._place[story], story))
