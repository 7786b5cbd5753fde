"""What people see while a run goes on, on stderr: a live bar on a terminal, plain lines elsewhere.

Plain output says at most one progress line per 5 s, plus one line per story; failures are always shown. Colour is never the
only signal.
"""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from stbench.filming import StoryOutcome
    from stbench.manifest import Manifest
    from stbench.story import Shot, Story

LINE_EVERY_S = 5.0
HEADER_COLUMNS = 80
NOTES_SHOWN = 3


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


class Display:
    """Plain lines; also the base of the live display.

    Args:
        out: Where people read.
        clock: Monotonic seconds.
    """

    def __init__(self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self.out = out if out is not None else sys.stderr
        self._clock = clock
        self._last_line_s = -LINE_EVERY_S
        self._expected = self._done = self._made = 0
        self._made_s = 0.0
        self._stage = ""
        self.lanes = 1  # how many shots are made at a time

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def line(self, text: str) -> None:
        """One line, now."""
        print(text, file=self.out, flush=True)

    def header(self, manifest: Manifest, *, reused: int) -> None:
        """What is going to be made, of what, where."""
        self._expected = manifest.counts.expected
        size = f"{_count(manifest.counts.stories, 'story', 'stories')}, {_count(self._expected, 'shot', 'shots')}"
        self.line(f"run {manifest.name}   {size}   device {manifest.device}")
        for part in textwrap.wrap(f"  method  {manifest.description}", HEADER_COLUMNS, subsequent_indent=" " * 10, break_long_words=False):
            self.line(part)
        suite = manifest.suite
        self.line(f"  suite   {suite.name}, version {suite.version}, digest {suite.digest[:12]}   seed {manifest.seed}")
        if reused:
            self.line(f"  resuming: {reused} of {self._expected} shots reused")

    def notes(self, notes: Sequence[str]) -> None:
        """What the method says about the stories: the first few; the journal has them all."""
        for note in notes[:NOTES_SHOWN]:
            self.line(f"  note: {note}")
        if len(notes) > NOTES_SHOWN:
            self.line(f"  note: the same holds for {len(notes) - NOTES_SHOWN} more stories; see events.jsonl")

    def loading(self, method: str, device: str) -> None:
        """The models are being loaded."""
        self.line(f"  loading {method} on {device}")

    def shot_started(self, story: Story, shot: Shot) -> None:
        """A shot is being made."""

    def shot_done(self, story: Story, shot: Shot, *, seconds: float, reused: bool) -> None:
        """A shot is finished."""
        self._done += 1
        if not reused:
            self._made += 1
            self._made_s += seconds
            self._progress(f"  {story.id} shot {shot.index + 1}/{len(story.shots)}   {self.pace()}")

    def pace(self) -> str:
        """Shots done of all, seconds per shot made now, and what that means for the rest."""
        text = f"{self._done}/{self._expected} shots"
        if self._made:
            each_s = self._made_s / self._made
            text += f"   {each_s:.1f} s/shot   ETA {duration(each_s * max(self._expected - self._done, 0) / self.lanes)}"
        return text

    def failure(self, story: Story, shot: Shot, *, attempt: int, attempts: int, reason: str) -> None:
        """An attempt failed; recorded."""
        what = "retrying" if attempt < attempts else "given up"
        self.line(f"  failed  {story.id} shot {shot.id} (attempt {attempt} of {attempts})  {reason} -> recorded, {what}")

    def story_done(self, outcome: StoryOutcome) -> None:
        """All that could be made of a story is there."""
        total = outcome.done + outcome.failed + outcome.skipped
        text = f"  {outcome.story}: {outcome.done}/{total} shots ({outcome.made} made, {outcome.reused} reused"
        text += f", {outcome.failed} failed, {outcome.skipped} skipped)" if outcome.failed else ")"
        self.line(text)

    def scoring(self, done: int, total: int, what: str) -> None:
        """Scoring is at step `done` of `total`; step 0 carries a remark that is said once."""
        if done == 0 and what:
            self.line(f"  scoring: {what}")
            return
        if self._stage != "scoring":
            self._stage = "scoring"
            self._last_line_s = -LINE_EVERY_S
        self._progress(f"  scoring {done}/{total}   {what}")

    def close(self) -> None:
        """Nothing live stays on the screen."""

    def _progress(self, text: str) -> None:
        if self._clock() - self._last_line_s >= LINE_EVERY_S:
            self._last_line_s = self._clock()
            self.line(text)


class LiveDisplay(Display):
    """A rich progress bar at the bottom; lines scroll above it."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def line(self, text: str) -> None:
        """One line above the bar."""
        self._console.print(text, markup=False, soft_wrap=True)

    def _show(self, what: str, done: int, total: int, note: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task(what, total=total, note=note)
            self._bar.start()
        if self._task is not None:
            self._bar.update(self._task, description=what[:24], completed=done, total=total, note=note)

    def _what(self, story: Story, shot: Shot) -> str:
        """The shot in progress; of several at a time, how many (`stbench status --watch` has a line for each)."""
        return f"{story.id} {shot.index + 1}/{len(story.shots)}" if self.lanes == 1 else f"{self.lanes} workers"

    def shot_started(self, story: Story, shot: Shot) -> None:
        """Name the shot beside the bar."""
        self._show(self._what(story, shot), self._done, self._expected, self.pace().partition("   ")[2])

    def shot_done(self, story: Story, shot: Shot, *, seconds: float, reused: bool) -> None:
        """Move the bar."""
        super().shot_done(story, shot, seconds=seconds, reused=reused)
        self._show(self._what(story, shot), self._done, self._expected, self.pace().partition("   ")[2])

    def scoring(self, done: int, total: int, what: str) -> None:
        """Move the bar of the scoring."""
        if done == 0:
            super().scoring(done, total, what)
            return
        self._show("scoring", done, total, what[:36])

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _progress(self, text: str) -> None:
        """The bar says it already."""


def make_display() -> Display:
    """Live on a terminal, plain elsewhere."""
    return LiveDisplay() if sys.stderr.isatty() else Display()


def duration(seconds: float) -> str:
    """Example: 75 → "1 m 15 s".

    >>> duration(9.6), duration(75), duration(5041)
    ('10 s', '1 m 15 s', '1 h 24 m')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
