"""Scoring beside filming: processes that score each story on the processor once it is finished, while others are filmed on GPUs.

What they find are rows of scores with the keys that scoring at the end would give them, so the end finds them known. They write
features into the run's cache and their times into a segment of their own; the rows are the driver's to store.
"""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from stbench import scoring
from stbench.executors.processes import VISIBLE
from stbench.filming import StoryOutcome
from stbench.journal import segment_path
from stbench.registry import Registry
from stbench.store import RunFolder

if TYPE_CHECKING:
    from stbench.display import Display
    from stbench.manifest import Manifest
    from stbench.scores import Score

NAME = "metrics"  # of the scorer


@contextmanager
def scored_beside(processes: int, folder: RunFolder, protocol: str, display: Display) -> Iterator[Callable[[StoryOutcome], None]]:
    """What to tell each outcome, so that its story is scored meanwhile; at the end of the block the rows are stored.

    A story that cannot be scored here, for whatever reason, is left to the scoring at the end, which names the reason.

    Args:
        processes: How many; with 0 nothing is done.
        folder: The run.
        protocol: To score under.
        display: Told about a story that could not be scored.
    """
    if not processes:
        yield lambda outcome: None
        return
    known = {row.story for row in folder.scores() if row.protocol == protocol}
    stories = {story.id: story for story in folder.stories}
    jobs: dict[str, Future[list[Score]]] = {}
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_prepare)

    def tell(outcome: StoryOutcome) -> None:
        if outcome.failed or outcome.skipped or (outcome.story in known and not outcome.made):
            return
        manifest = folder.manifest.model_copy(update={"stories": (stories[outcome.story],)})
        try:
            jobs[outcome.story] = pool.submit(_score, folder.path, manifest, scoring.SCORERS.target(NAME), protocol)
        except RuntimeError as error:  # a scoring process was killed, so the pool takes nothing more
            display.line(f"  {outcome.story} is scored at the end: {error}")

    over = False
    try:
        yield tell
        over = True
    finally:
        pool.shutdown(wait=over, cancel_futures=not over)
        rows = []
        for story, job in jobs.items():
            if not job.done() or job.cancelled():
                continue  # the run was interrupted
            if error := job.exception():
                display.line(f"  {story} is scored at the end: {' '.join(f'{type(error).__name__}: {error}'.split())[:200]}")
            else:
                rows += job.result()
        if rows:
            folder.append_scores(rows)


class _OneStory(RunFolder):
    """The run, as a scorer of one of its stories sees it: its times go to this process's own segment."""

    writer = f"s-{uuid.uuid4().hex[:8]}"

    @property
    def timing_path(self) -> Path:
        return segment_path(super().timing_path, self.writer)


def _score(path: Path, manifest: Manifest, target: str, protocol: str) -> list[Score]:
    scorers: Registry[scoring.ScoreRun] = Registry("scorer")
    scorers.add(NAME, target)
    return scorers.get(NAME)(_OneStory(path, manifest), protocol=protocol, device="cpu", progress=None)


def _prepare() -> None:
    """In a scoring process: no GPU, politely; Ctrl-C is the driver's; without a driver there is nothing to go on for."""
    os.environ[VISIBLE] = ""
    os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_driver, name="driver watch", daemon=True).start()


def _end_with_driver() -> None:
    driver = parent_process()
    if driver is not None:
        driver.join()
    os._exit(1)
