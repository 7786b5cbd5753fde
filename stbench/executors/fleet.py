"""A fleet of workers, whatever engine runs them: what it is told, and what it says.

Three fleets keep to this: processes of this machine, Ray actors, and the simulator's. `stbench.executors.drive` drives them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from stbench.filming import StoryOutcome
    from stbench.manifest import Manifest
    from stbench.story import Story


@dataclass(frozen=True, kw_only=True)
class Message:
    """What a worker says; `worker` is its name, which no other worker ever has."""

    worker: str


@dataclass(frozen=True, kw_only=True)
class Ready(Message):
    """It is there and wants a story."""


@dataclass(frozen=True, kw_only=True)
class Progress(Message):
    """A call for the display: `loading`, `line`, `shot_started`, `shot_done` or `failure`. `shot` is the index in the story."""

    call: str
    story: str | None = None
    shot: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Ended(Message):
    """A story is over."""

    outcome: StoryOutcome


@dataclass(frozen=True, kw_only=True)
class Busy(Message):
    """Another process has the story; asking again makes sense after `retry_s`."""

    story: str
    retry_s: float


@dataclass(frozen=True, kw_only=True)
class Refused(Message):
    """It cannot go on, and no other could: a full disk, weights that differ. `exit_code` is None for a bug, whose traceback `text` is."""

    text: str
    exit_code: int | None


@dataclass(frozen=True, kw_only=True)
class Lost(Message):
    """It is gone."""

    reason: str


class Fleet(Protocol):
    """Workers that film stories."""

    size: int

    def start(self) -> str:
        """Start one more worker; its name. It says `Ready` when it is."""
        ...

    def film(self, worker: str, story: Story) -> None:
        """Give a worker that is ready a story."""
        ...

    def end(self, worker: str) -> None:
        """End a worker that hangs; then it is `Lost`."""
        ...

    def halt(self, reason: str) -> None:
        """Every worker finishes the shot in progress, ends its story, and begins none."""
        ...

    def wait(self, timeout_s: float) -> list[Message]:
        """What was said meanwhile; returns at once if anything was."""
        ...

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def close(self) -> None:
        """End every worker now."""
        ...


@dataclass(frozen=True, kw_only=True)
class Task:
    """Everything a worker must know; can be sent to another machine.

    Attributes:
        run: The run folder, as the worker reaches it.
        manifest: Of the run, without its stories: a worker gets them one by one.
        target: "module:attribute" of the method.
        options: Of the method, unredacted.
        stories: All stories of the run, for work that a method does for all prompts at once; empty where they are too many.
        device: "cpu" or "cuda".
        attempts: Per shot.
        on_error: One of `stbench.config.POLICIES`.
        mirror: Where finished shots are stored too.
    """

    run: Path
    manifest: Manifest
    target: str
    options: Mapping[str, str]
    stories: tuple[Story, ...]
    device: str
    attempts: int
    on_error: str
    mirror: str | None = None
