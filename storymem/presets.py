"""StoryMem with one thing changed: the paper's ablations (Table 2), and a few that it does not have, each a method by its own name.

A preset is StoryMem with fixed options. What it films has the keys that `storymem --set …` would give, and everything else can be
set as ever. Source of the first three: arXiv 2512.19539, Table 2, which tells each in a few words only; what was chosen where it is
silent stands with the class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stbench.errors import UserError
from storymem import keyframes
from storymem.method import StoryMem, StoryMemShots


class Preset(StoryMem):
    """StoryMem with the options in `fixed`, which cannot be set again."""

    fixed: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> StoryMem:
        """Build from `--model` and `--set`.

        Raises:
            UserError: An option that the preset fixes is given, or one that StoryMem does not know.
        """
        if taken := sorted(set(options) & set(cls.fixed)):
            is_fixed = f"is fixed to {cls.fixed[taken[0]]}"
            raise UserError(f"{taken[0]} {is_fixed}", where=f"--set of {cls.name}", hint="leave it out, or use --method storymem")
        return super().from_options(model=model, options={**options, **cls.fixed})

    def identity(self) -> Mapping[str, Any]:
        """That of StoryMem with these options."""
        return {**super().identity(), "method": StoryMem.name}

    def describe(self) -> str:
        """One line."""
        return f"{self.name}: {super().describe()}"


class FirstFrameMemory(Preset):
    """StoryMem without semantic selection: the first frame of every shot is its memory (Table 2 of the paper).

    The first frame alone, in memory however much it resembles what is there; the quality filter stays. A shot whose first frame does
    not pass adds nothing.
    """

    name = "first-frame-memory"

    def identity(self) -> Mapping[str, Any]:
        """That of StoryMem, and how keyframes are chosen."""
        return {**super().identity(), "keyframes": "first frame, v1"}

    @contextmanager
    def open(self, device: str) -> Iterator[StoryMemShots]:
        """Load what StoryMem loads."""
        with super().open(device) as loaded:
            yield FirstFrameShots(loaded.generator, loaded.encoder, loaded.quality, loaded.options, loaded.rank)


class FirstFrameShots(StoryMemShots):
    """StoryMem at work, with the first frame of a shot in place of chosen ones."""

    def _keyframes(self, frames: np.ndarray, bank: Sequence[Path], watch: Any = None) -> tuple[list[int], keyframes.KeyframeSearch]:
        with self.judging():
            good = self.quality.quality(frames[:1])[0] >= self.options.quality_threshold
        found = (0,) if good else ()
        return list(found), keyframes.KeyframeSearch(indices=found, thresholds=())


class NoQualityFilter(Preset):
    """StoryMem without the quality filter: every frame is good enough to be remembered (Table 2 of the paper)."""

    name = "no-quality-filter"
    fixed: ClassVar[Mapping[str, str]] = {"quality": "none"}


class NoSink(Preset):
    """StoryMem without the memory sink: a sliding window of the most recent keyframes only (Table 2 of the paper)."""

    name = "no-sink"
    fixed: ClassVar[Mapping[str, str]] = {"memory.sink": "0"}


class Release202512(Preset):
    """StoryMem as the first public code ran: positions without gaps, MI2V's first frame lost, quirks of its window."""

    name = "release-2025-12"
    fixed: ClassVar[Mapping[str, str]] = {"variant": "release-2025-12"}


class NoMemory(Preset):
    """StoryMem with nothing in memory: only shots that continue the one before see its last frame."""

    name = "no-memory"
    fixed: ClassVar[Mapping[str, str]] = {"memory.size": "0"}


class MemoryN(Preset):
    """StoryMem with room for N keyframes, as `memory-1` or `memory-10`; the sink stays as it is, within that."""

    name = "memory-N"

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> StoryMem:
        """Only with a number."""
        if not cls.fixed:
            raise UserError(
                "N is a number to be chosen", where=f"--method {cls.name}", expected="memory-1 to memory-99", hint="try memory-3"
            )
        return super().from_options(model=model, options=options)


def __getattr__(name: str) -> type[MemoryN]:
    """`memory-7` and the like, made when the registry asks for them."""
    word, _, size = name.partition("-")
    if word != "memory" or not size.isdecimal():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return type(f"Memory{size}", (MemoryN,), {"name": name, "fixed": {"memory.size": size}, "__doc__": MemoryN.__doc__})
