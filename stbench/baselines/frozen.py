"""`frozen`: the first shot of a story, again and again. The cheat that consistency metrics reward.

Nothing changes from shot to shot, so every consistency score is as high as it gets while no prompt but the first is
followed. A metric, or a table, on which this method wins measures the wrong thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from stbench.methods import METHODS, Method, MethodCard, ShotMaker, ShotRequest, ShotResult

VERSION = 1
FIRST_SHOT = "wan-t2v"


class Frozen:
    """Every shot repeats the story's first, which text-to-video makes: the cheat that consistency metrics reward."""

    name = "frozen"

    def __init__(self, first: Method):
        self._first = first

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> Frozen:
        """Options are those of the text-to-video method that makes the first shot."""
        return cls(METHODS.get(FIRST_SHOT).from_options(model=model, options=options))

    def identity(self) -> Mapping[str, Any]:
        """Version, and the identity of what makes the first shot."""
        return {"method": self.name, "version": VERSION, "first_shot": dict(self._first.identity())}

    def describe(self) -> str:
        """One line."""
        return f"frozen: repeats the first shot of each story; first shot by {self._first.describe()}"

    def card(self) -> MethodCard | None:
        """That of what makes the first shot."""
        tell = getattr(self._first, "card", None)
        return tell() if tell else None

    def story_notes(self, story: Any) -> str | None:
        """What the text-to-video method says of a story."""
        notes = getattr(self._first, "story_notes", None)
        return notes(story) if notes else None

    @contextmanager
    def open(self, device: str) -> Iterator[FrozenShots]:
        """Load nothing yet: a story whose first shot is finished needs no model."""
        with ExitStack() as stack:
            yield FrozenShots(self._first, device, stack)


class FrozenShots:
    """The method at work."""

    def __init__(self, first: Method, device: str, stack: ExitStack):
        self._first, self._device, self._stack = first, device, stack
        self._maker: ShotMaker | None = None

    def shot(self, request: ShotRequest) -> ShotResult:
        """The first shot from its prompt; every later one is a copy of the published first."""
        if request.finished:
            from stbench.video import read_mp4

            frames, fps = read_mp4(request.finished[0].video)
            return ShotResult(frames=frames, fps=fps, notes={"mode": "copy", "of": request.finished[0].shot.id})
        if self._maker is None:
            self._maker = self._stack.enter_context(self._first.open(self._device))
        result = self._maker.shot(request)
        return ShotResult(frames=result.frames, fps=result.fps, spans=result.spans, notes=result.notes)
