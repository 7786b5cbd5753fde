"""What a method is: it turns one shot request into frames, and says what it is made of.

A method never picks a path, never globs and never decides to skip: everything a shot depends on is in its
`ShotRequest`, everything that changes pixels is in `identity()`. That is what makes resume and comparison safe.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stbench.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from stbench.story import Shot, Story


@dataclass(frozen=True, kw_only=True)
class FinishedShot:
    """A published shot of the same story, as later shots may use it: files, never live state."""

    shot: Shot
    video: Path
    keyframes: tuple[Path, ...] = ()  # PNGs, in the order in which they were chosen
    tail: tuple[Path, ...] = ()  # PNGs of the last frames, oldest first


@dataclass(frozen=True, kw_only=True)
class ShotRequest:
    """Everything that one shot may depend on.

    `story` ends with the shot, unless the method's identity says that it sees the whole story (`stbench.keys.sees_whole_story`).
    """

    story: Story
    shot: Shot
    seed: int
    finished: tuple[FinishedShot, ...] = ()  # the earlier shots of this story that exist, in order
    seeds: tuple[int, ...] = ()  # of all shots of `story`, in order

    @property
    def previous(self) -> FinishedShot | None:
        """The shot right before this one; None for the first, and where that one could not be made."""
        last = self.finished[-1] if self.finished else None
        return last if last is not None and last.shot.index == self.shot.index - 1 else None

    @property
    def lacks(self) -> tuple[str, ...]:
        """Ids of earlier shots of the story that could not be made."""
        there = {done.shot.id for done in self.finished}
        return tuple(shot.id for shot in self.story.shots[: self.shot.index] if shot.id not in there)


@dataclass(frozen=True, kw_only=True)
class Span:
    """A measured stage of work; see `stbench.timing.Stopwatch`, which makes them. Stages do not contain one another's time."""

    stage: str
    seconds: float
    detail: Mapping[str, Any] = field(default_factory=dict)
    start_s: float | None = None  # when it began, by `time.perf_counter`


@dataclass(frozen=True, kw_only=True)
class ShotResult:
    """What a method made of one request."""

    frames: np.ndarray  # (F, H, W, 3) uint8
    fps: float
    keyframes: tuple[int, ...] = ()  # indices into frames: what this shot adds to memory
    tail: int = 0  # how many last frames later shots may need, kept losslessly
    spans: tuple[Span, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)  # recorded with the shot: mode, memory used, …


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """What tables say beside a method's name, so that a reader sees what is compared with what. Nothing of it enters a key.

    Attributes:
        base_model: What the method is built on.
        licence: Of the weights, or of the service.
        parameters: Of what makes the pictures, adapters included, text encoder and VAE not; None where nobody told.
        steps: Of sampling.
    """

    base_model: str
    licence: str
    parameters: int | None = None
    steps: int | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict of what is known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class ShotMaker(Protocol):
    """A method with its models loaded.

    It may also have `prepare(stories)`, called once with all stories of the run before the first shot: for work that depends on a
    prompt alone, such as encoding it. No shot may depend on whether it was called.
    """

    def shot(self, request: ShotRequest) -> ShotResult:
        """Make one shot. Raises on failure; the runner records it."""
        ...


class Method(Protocol):
    """A way to make films. Built by `from_options`, cheap until `open` is entered.

    It may also have `card()`, a `MethodCard` for tables, and `take_over(folder, journal)` in place of making shots, where films are there
    already (`stbench.adoption.method`).
    """

    name: str

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> Method:
        """Build from the model name and the `--set key=value` options; unknown keys are a `UserError`."""
        ...

    def identity(self) -> Mapping[str, Any]:
        """Everything that changes pixels, JSON-able: method version, options resolved, weight digests.

        With `"sees": "story"` in it, requests hold the whole story instead of its head, and every shot's key covers all shots.
        """
        ...

    def describe(self) -> str:
        """One line for `stbench list` and the run's header, including what it knows of its own limits."""
        ...

    def open(self, device: str) -> AbstractContextManager[ShotMaker]:
        """Load what is needed on `device` ("cpu", "cuda", "cuda:1"); the models are freed on exit."""
        ...


def card_of(method: Method) -> dict[str, Any]:
    """What a method says of itself for tables; empty where it says nothing."""
    tell = getattr(method, "card", None)
    card: MethodCard | None = tell() if tell else None
    return card.to_json() if card else {}


METHODS: Registry[type[Method]] = Registry("method", group="stbench.methods")
METHODS.add("storymem", "storymem.method:StoryMem")
METHODS.add("first-frame-memory", "storymem.presets:FirstFrameMemory")
METHODS.add("no-quality-filter", "storymem.presets:NoQualityFilter")
METHODS.add("no-sink", "storymem.presets:NoSink")
METHODS.add("release-2025-12", "storymem.presets:Release202512")
METHODS.add("no-memory", "storymem.presets:NoMemory")
METHODS.add_family("memory-N", r"memory-[1-9][0-9]?", "storymem.presets:MemoryN")
METHODS.add("wan-t2v", "storymem.independent:WanT2V")
METHODS.add("wan-i2v-chain", "storymem.independent:WanI2VChain")
METHODS.add("storydiffusion", "stbench.baselines.storydiffusion:StoryDiffusion")
METHODS.add("ic-lora", "stbench.baselines.ic_lora:IcLora")
METHODS.add("videos", "stbench.adoption.method:Videos")
METHODS.add("external", "stbench.external.method:External")
for _program in ("holocine", "memento", "storymem-upstream"):  # recipes in stbench/external/recipes
    METHODS.add(_program, f"stbench.external.method:{_program}")
METHODS.add("frozen", "stbench.baselines.frozen:Frozen")
METHODS.add("world-truth", "stbench.baselines.world_truth:WorldTruth")
