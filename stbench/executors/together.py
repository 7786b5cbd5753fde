"""A run filmed by many workers: the driver's side. It prepares the folder, drives the fleet, and shows and notes what happens."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stbench.executors.drive import Drive, Stop
from stbench.executors.fleet import Progress, Task
from stbench.executors.schedule import Schedule
from stbench.filming import StoryOutcome, Studio, film_story, reusable
from stbench.journal import Journal, segments
from stbench.methods import METHODS
from stbench.storage.leases import Leases

if TYPE_CHECKING:
    from stbench.config import RunConfig
    from stbench.executors.fleet import Fleet
    from stbench.story import Story

PREPARED_SHOTS = 2000  # in a larger run a worker prepares story by story


def film_together(studio: Studio, config: RunConfig, left: Mapping[str, int]) -> Iterator[StoryOutcome]:
    """Film the stories of a run with many workers, yielding each outcome when the story ends.

    Args:
        studio: Of the driver; it films nothing with it, but notes what is reused.
        config: How many workers, where.
        left: Story → shots that are to be made.

    Raises:
        KeyboardInterrupt: Ctrl-C; the shots in progress were finished.
        WorkerError: A worker could not go on, and no other could.
    """
    crew = _Crew(studio, left)
    studio.folder.forget(*crew.unfinished)
    _mend_segments(studio)
    for story in studio.folder.stories:
        if story.id not in crew.unfinished:
            yield film_story(studio, story)
    stop = Stop()
    studio.display.lanes = max(1, min(len(config.gpus) or config.workers, len(crew.unfinished)))
    with stop.on_signals(), closing(make_fleet(config, task_of(studio, config))) as fleet:
        drive = Drive(
            crew.stories,
            Schedule({story: left[story] for story in crew.unfinished}),
            fleet,
            crew,
            stop_on_failure=config.on_error == "stop",
            stop=stop,
            silence_s=config.shot_timeout,
        )
        for outcome in drive.outcomes():
            crew.over.add(outcome.story)
            yield crew.since_the_start(outcome)
    if stop.asked:
        raise KeyboardInterrupt
    studio.halt.set(drive.halted or "no worker was left")
    for name in crew.unfinished:
        if name not in crew.over:
            yield film_story(studio, crew.stories[name])


def task_of(studio: Studio, config: RunConfig) -> Task:
    """What a worker must know."""
    manifest = studio.folder.manifest
    few = manifest.counts.expected <= PREPARED_SHOTS
    return Task(
        run=studio.folder.path.resolve(),
        manifest=manifest.model_copy(update={"stories": ()}),
        target=METHODS.target(config.method),
        options=dict(config.options),
        stories=manifest.stories if few else (),
        device=studio.device.partition(":")[0] if config.gpus else studio.device,
        attempts=studio.attempts,
        on_error=studio.on_error,
        mirror=config.mirror,
    )


def make_fleet(config: RunConfig, task: Task) -> Fleet:
    """The fleet of the chosen executor."""
    if config.executor == "ray":
        from stbench.executors.ray_cluster import RayFleet

        each = config.worker_gpus if config.worker_gpus is not None else float(task.device.startswith("cuda"))
        memory = round(config.worker_memory * 1e9) if config.worker_memory else None
        return RayFleet(task, size=config.workers, address=config.ray_address, gpus_each=each, memory_bytes_each=memory)
    from stbench.executors.processes import ProcessFleet, visible

    return ProcessFleet(task, visible(config.gpus) if config.gpus else [None] * config.workers)


def _mend_segments(studio: Studio) -> None:
    """Cut off, with a note, the lines that killed workers left torn; a living worker's file is its own."""
    alive = {lease.writer for lease in Leases(studio.folder.path, writer="driver").held()}
    for path in (studio.folder.events_path, studio.folder.timing_path):
        for segment in segments(path):
            if segment.stem not in alive:
                Journal(segment, time.time).close()


class _Crew:
    """Told what the workers do; shows and notes it."""

    def __init__(self, studio: Studio, left: Mapping[str, int]):
        self._studio, self._left = studio, left
        self._leases = Leases(studio.folder.path, writer="driver")
        self.stories: dict[str, Story] = {story.id: story for story in studio.folder.stories}
        self.unfinished = dict.fromkeys(story for story in self.stories if left[story])
        self.over: set[str] = set()
        self._shown: dict[str, set[int]] = {}  # shots of stories in progress; a story that is taken up again reuses them

    def progress(self, message: Progress) -> None:
        display = self._studio.display
        facts: dict[str, Any] = dict(message.facts)
        if message.call == "line":
            display.line(f"{facts['text']} ({message.worker})")
            return
        if message.story is None or message.shot is None:
            display.loading(facts["method"], f"{facts['device']} ({message.worker})")
            return
        story = self.stories[message.story]
        shot = story.shots[message.shot]
        if message.call == "shot_started":
            display.shot_started(story, shot)
        elif message.call == "shot_done":
            shown = self._shown.setdefault(story.id, set())
            if shot.index not in shown:
                shown.add(shot.index)
                display.shot_done(story, shot, **facts)
        else:
            display.failure(story, shot, **facts)

    def halting(self, reason: str) -> None:
        self._studio.display.line(f"  stopping: {reason}; shots in progress are finished (Ctrl-C again drops them)")

    def lost(self, worker: str, story: str | None, reason: str) -> None:
        self._studio.journal.add("worker_lost", worker=worker, story=story, reason=reason)
        self._studio.display.line(f"  lost worker {worker}  {reason}" + (f" -> {story} goes on elsewhere" if story else ""))
        if story is not None:
            self._leases.revoke(worker, story)

    def given_up(self, story: str) -> StoryOutcome:
        done = sum(record is not None for _, record in reusable(self._studio.folder, self.stories[story]))
        rest = len(self.stories[story].shots) - done
        self._studio.journal.add("story_given_up", story=story, reason="it cost too many workers")
        return StoryOutcome(story=story, made=0, reused=done, failed=min(rest, 1), skipped=max(rest - 1, 0))

    def since_the_start(self, outcome: StoryOutcome) -> StoryOutcome:
        """Shots that a lost worker made now were not there at the start."""
        self._shown.pop(outcome.story, None)
        there = len(self.stories[outcome.story].shots) - self._left[outcome.story]
        reused = min(outcome.reused, there + outcome.fetched)
        return replace(outcome, made=outcome.done - reused, reused=reused)
