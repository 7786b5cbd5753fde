"""The loop that gives stories to workers and hears what they say. It knows no engine: processes, Ray and the simulator run through it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from stbench.errors import EXIT_PARTIAL, UserError
from stbench.executors.fleet import Busy, Ended, Fleet, Lost, Message, Progress, Ready, Refused
from stbench.executors.schedule import Schedule

if TYPE_CHECKING:
    from stbench.filming import StoryOutcome
    from stbench.story import Story

HEAR_EVERY_S = 0.5  # how soon Ctrl-C is noticed
MAX_FALSE_STARTS = 3  # of workers in a row that are gone before they are ready


class WorkerError(UserError):
    """A worker cannot go on, and no other could."""

    def __init__(self, text: str, exit_code: int = EXIT_PARTIAL):
        self.exit_code = exit_code
        super().__init__(text)


class Listener(Protocol):
    """Who is told what happens."""

    def progress(self, message: Progress) -> None:
        """Something to show."""
        ...

    def halting(self, reason: str) -> None:
        """From now on no shot is begun; those in progress are finished."""
        ...

    def lost(self, worker: str, story: str | None, reason: str) -> None:
        """A worker is gone, and with it the shot in progress; called before its story is given to another."""
        ...

    def given_up(self, story: str) -> StoryOutcome:
        """A story cost too many workers: what is there of it."""
        ...


class Stop:
    """Why no new shot is begun: an interruption, or the policy for failed shots."""

    def __init__(self) -> None:
        self.asked = False  # by Ctrl-C

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Ctrl-C (and a cluster's SIGTERM) asks once; a second one does what it always did. Only the main thread hears signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def ask(number: int, frame: FrameType | None) -> None:
            self.asked = True
            for each, handler in before.items():
                signal.signal(each, handler)

        for number in before:
            signal.signal(number, ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Drive:
    """Films the stories of a schedule with a fleet.

    Args:
        stories: By id, at least those of the schedule.
        schedule: What is to be filmed.
        fleet: Who films.
        listener: Who is told.
        stop_on_failure: The policy "stop": after a story with a failed shot, nothing new is begun.
        stop: Whether Ctrl-C was pressed.
        silence_s: A worker that has a story and says nothing for so long hangs, and is ended; None to wait for ever.
    """

    def __init__(
        self,
        stories: Mapping[str, Story],
        schedule: Schedule,
        fleet: Fleet,
        listener: Listener,
        *,
        stop_on_failure: bool = False,
        stop: Stop | None = None,
        silence_s: float | None = None,
    ):
        self._stories, self.schedule, self.fleet, self.listener = stories, schedule, fleet, listener
        self._stop_on_failure, self._stop = stop_on_failure, stop or Stop()
        self._silence_s = silence_s
        self._heard_s: dict[str, float] = {}  # when each worker that has a story last said something
        self._hung: set[str] = set()  # ended for it, and not yet lost
        self._idle: list[str] = []
        self._starting: set[str] = set()
        self._false_starts = 0
        self.halted: str | None = None

    def outcomes(self) -> Iterator[StoryOutcome]:
        """Yields each story's outcome when it ends; ends early, with stories left in the schedule, once `halted`."""
        for _ in range(min(self.fleet.size, self.schedule.waiting)):
            self._starting.add(self.fleet.start())
        while not self.schedule.finished and (self.halted is None or self.schedule.working):
            if self._stop.asked and self.halted is None:
                self._halt("the run was interrupted")
            self._assign()
            self._end_hung()
            for message in self.fleet.wait(self._patience_s()):
                yield from self._hear(message)

    def _patience_s(self) -> float:
        wake = self.schedule.wake_at()
        return HEAR_EVERY_S if wake is None else min(HEAR_EVERY_S, max(wake - self.fleet.now(), 0.01))

    def _halt(self, reason: str) -> None:
        self.halted = reason
        self.listener.halting(reason)
        self.fleet.halt(reason)

    def _assign(self) -> None:
        while self._idle and self.halted is None:
            story = self.schedule.take(self._idle[-1], now=self.fleet.now())
            if story is None:
                return
            worker = self._idle.pop()
            self._heard_s[worker] = self.fleet.now()
            self.fleet.film(worker, self._stories[story])

    def _end_hung(self) -> None:
        if self._silence_s is None:
            return
        for worker in self.schedule.working.keys() - self._hung:
            if self.fleet.now() - self._heard_s[worker] > self._silence_s:
                self._hung.add(worker)
                self.fleet.end(worker)

    def _hear(self, message: Message) -> Iterator[StoryOutcome]:
        match message:
            case Progress():
                self._heard_s[message.worker] = self.fleet.now()
                if message.call == "shot_done" and not message.facts["reused"]:
                    self.schedule.progressed(message.worker)
                self.listener.progress(message)
            case Ready():
                self._false_starts = 0
                self._starting.discard(message.worker)
                self._idle.append(message.worker)
            case Ended():
                self.schedule.ended(message.worker)
                self._idle.append(message.worker)
                if message.outcome.failed and self._stop_on_failure and self.halted is None:
                    self._halt("a shot of another story failed, and the policy is to stop")
                yield message.outcome
            case Busy():
                self.schedule.busy(message.worker, until=self.fleet.now() + message.retry_s)
                self._idle.append(message.worker)
            case Refused():
                raise WorkerError(message.text, message.exit_code) if message.exit_code is not None else RuntimeError(message.text)
            case Lost():
                yield from self._lose(message)

    def _lose(self, message: Lost) -> Iterator[StoryOutcome]:
        worker = message.worker
        reason = f"it said nothing for {self._silence_s:g} s and was ended" if worker in self._hung else message.reason
        self.listener.lost(worker, self.schedule.working.get(worker), reason)
        self._idle = [name for name in self._idle if name != worker]
        self._false_starts += worker in self._starting
        self._starting.discard(worker)
        if self._false_starts >= MAX_FALSE_STARTS:
            raise WorkerError(f"{MAX_FALSE_STARTS} workers in a row ended before they were ready; the last: {message.reason}")
        given_up = self.schedule.lost(worker)
        if given_up is not None:
            yield self.listener.given_up(given_up)
        if self.halted is None and self.schedule.waiting > len(self._idle) + len(self._starting):
            self._starting.add(self.fleet.start())
