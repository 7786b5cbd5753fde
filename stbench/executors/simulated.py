"""A fleet of imagined workers on a virtual clock: how a run would go on more machines than there are.

The schedule and the loop that drives it are the real ones (`stbench.executors.schedule`, `.drive`); imagined are shot times, failures, the
latency of storage and the driver's own time per message. What it leaves out: contention for the storage's bandwidth, and scoring.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

from stbench.executors.drive import Drive
from stbench.executors.fleet import Ended, Lost, Message, Progress, Ready
from stbench.executors.schedule import Schedule
from stbench.filming import StoryOutcome

if TYPE_CHECKING:
    from stbench.story import Story


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a simulated run meets.

    Attributes:
        workers: How many.
        start_s: From asking for a worker until it is ready, and loading the models at its first shot.
        overhead_s: Of a worker per shot, beside making it.
        requests: Storage requests per shot, one after the other.
        latency_s: Of one request.
        message_s: Driver's time for one message.
        hours_between_failures: Of one worker, on average; None for none.
        detection_s: From a worker's end until the driver knows.
        seed: Of everything that is drawn.
    """

    workers: int
    start_s: float = 60.0
    overhead_s: float = 0.02
    requests: int = 0
    latency_s: float = 0.0
    message_s: float = 0.0
    hours_between_failures: float | None = None
    detection_s: float = 10.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What came of it.

    Attributes:
        makespan_s: From the start to the last story's end.
        bound_s: No schedule is shorter: all work shared out evenly, or the longest story, and the start of a worker.
        efficiency: Time spent on shots that count, of all workers' time.
        finished: Shots.
        given_up: Shots of stories that cost too many workers, and those left out after them.
        lost_workers: How many ended.
        lost_s: Work on shots that were in progress then.
        messages: That the driver heard.
        driver_busy: Share of the time that the driver spent hearing them.
    """

    makespan_s: float
    bound_s: float
    efficiency: float
    finished: int
    given_up: int
    lost_workers: int
    lost_s: float
    messages: int
    driver_busy: float


def simulate(shot_s: Mapping[str, Sequence[float]], conditions: Conditions) -> Simulated:
    """Run the real schedule over imagined workers.

    Args:
        shot_s: Story id → seconds of each of its shots.
        conditions: What they meet.

    Returns:
        Figures of the whole run.
    """
    fleet = SimulatedFleet(shot_s, conditions)
    schedule = Schedule({story: len(times) for story, times in shot_s.items()})
    stories: Mapping[str, Story] = _Names()
    given_up = sum(outcome.failed + outcome.skipped for outcome in Drive(stories, schedule, fleet, fleet).outcomes())
    work_s = sum(map(sum, shot_s.values()))
    made_s = sum(sum(times[: fleet.done[story]]) for story, times in shot_s.items())
    longest_s = max(map(sum, shot_s.values()))
    return Simulated(
        makespan_s=fleet.clock,
        bound_s=max(work_s / conditions.workers, longest_s) + conditions.start_s,
        efficiency=made_s / (conditions.workers * fleet.clock),
        finished=sum(fleet.done.values()),
        given_up=given_up,
        lost_workers=fleet.lost_workers,
        lost_s=fleet.lost_s,
        messages=fleet.messages,
        driver_busy=fleet.messages * conditions.message_s / fleet.clock,
    )


class _Names(dict[str, "Story"]):
    """Of a story only its name is needed."""

    def __missing__(self, name: str) -> Story:
        return name  # type: ignore[return-value]


class SimulatedFleet:
    """A `Fleet`, and the listener of its own run."""

    def __init__(self, shot_s: Mapping[str, Sequence[float]], conditions: Conditions):
        self.size = conditions.workers
        self.clock = 0.0
        self.done = dict.fromkeys(shot_s, 0)
        self.messages = self.lost_workers = 0
        self.lost_s = 0.0
        self._shot_s, self._conditions = shot_s, conditions
        self._random = random.Random(conditions.seed)  # noqa: S311 (no secret depends on it)
        self._events: list[tuple[float, int, Message]] = []  # when, a number that keeps those of one moment in order, what
        self._dies_s: dict[str, float] = {}  # when each worker will end by itself
        self._count = self._said = 0

    def start(self) -> str:
        """A worker is asked for."""
        name, hours = f"w{self._count}", self._conditions.hours_between_failures
        self._count += 1
        ready_s = self.clock + self._conditions.start_s
        self._dies_s[name] = ready_s + self._random.expovariate(1 / (hours * 3600)) if hours else float("inf")
        self._put(ready_s, Ready(worker=name))
        return name

    def film(self, worker: str, story: Story) -> None:
        """Everything that this will lead to: a message per shot begun and finished, then the end of the story or of the worker."""
        name, conditions = str(story), self._conditions
        dies_s, at_s = self._dies_s[worker], self.clock
        for index in range(self.done[name], len(self._shot_s[name])):
            took_s = self._shot_s[name][index]
            made_s = at_s + took_s + conditions.overhead_s + conditions.requests * conditions.latency_s
            if made_s > dies_s:
                self.lost_s += max(dies_s - at_s, 0.0)
                self._put(max(dies_s, at_s) + conditions.detection_s, Lost(worker=worker, reason="failed"))
                return
            self._put(at_s, Progress(worker=worker, call="shot_started", story=name, shot=index))
            self._put(made_s, Progress(worker=worker, call="shot_done", story=name, shot=index, facts={"seconds": took_s, "reused": False}))
            at_s = made_s
        outcome = StoryOutcome(story=name, made=len(self._shot_s[name]), reused=0, failed=0, skipped=0)
        self._put(at_s, Ended(worker=worker, outcome=outcome))

    def end(self, worker: str) -> None:
        """Nobody hangs."""

    def halt(self, reason: str) -> None:
        """Nobody interrupts a simulation."""

    def wait(self, timeout_s: float) -> list[Message]:
        """The clock goes on to what is said next; with it comes all that was said while the driver was busy."""
        if not self._events:
            self.clock += timeout_s
            return []
        self.clock = max(self.clock, self._events[0][0])
        heard = []
        while self._events and self._events[0][0] <= self.clock:
            heard.append(heapq.heappop(self._events)[2])
        self.messages += len(heard)
        self.clock += len(heard) * self._conditions.message_s
        return heard

    def now(self) -> float:
        """Virtual seconds."""
        return self.clock

    def close(self) -> None:
        """Nothing is there to end."""

    def progress(self, message: Progress) -> None:
        """A finished shot is on the disk, whatever becomes of its worker."""
        if message.call == "shot_done" and message.story is not None and message.shot is not None:
            self.done[message.story] = max(self.done[message.story], message.shot + 1)

    def halting(self, reason: str) -> None:
        """Nobody interrupts a simulation."""

    def lost(self, worker: str, story: str | None, reason: str) -> None:
        """One worker less."""
        self.lost_workers += 1

    def given_up(self, story: str) -> StoryOutcome:
        """What is left of a story that cost too many workers."""
        left = len(self._shot_s[story]) - self.done[story]
        return StoryOutcome(story=story, made=0, reused=self.done[story], failed=min(left, 1), skipped=max(left - 1, 0))

    def _put(self, at_s: float, message: Message) -> None:
        self._said += 1
        heapq.heappush(self._events, (at_s, self._said, message))


def drawn(stories: int, shots: int, *, median_s: float, spread: float, seed: int = 0) -> dict[str, list[float]]:
    """Shot times of a suite: log-normal, `spread` being the standard deviation of the logarithm.

    Example:
        >>> {story: [round(s) for s in times] for story, times in drawn(2, 3, median_s=60, spread=0.1).items()}
        {'s0': [59, 60, 64], 's1': [59, 69, 51]}
    """
    source = random.Random(seed)  # noqa: S311 (no secret depends on it)
    return {f"s{n}": [source.lognormvariate(log(median_s), spread) for _ in range(shots)] for n in range(stories)}
