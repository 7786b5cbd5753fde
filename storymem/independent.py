"""Baselines on the same base model: independent shots, and a chain of first frames. No memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from stbench.methods import MethodCard, ShotRequest, ShotResult
from storymem.cards import card_of
from storymem.generator import Generator, Take
from storymem.images import read_image
from storymem.options import SamplingOptions, parse
from storymem.profiles import resolve
from storymem.shots import OnWan, Shots, base_identity, loaded

VERSION = 1


class WanT2V(OnWan):
    """Every shot alone, from its prompt: what the base model does without memory."""

    name = "wan-t2v"
    chained = False

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> WanT2V:
        """Build from `--model` and `--set`; reads the profile, loads nothing."""
        found = resolve(model, options, needs=("t2v", "m2v") if cls.chained else ("t2v",))
        return cls(found.without_memory(first_frames=cls.chained), parse(SamplingOptions, options, found.profile))

    def identity(self) -> Mapping[str, Any]:
        """Everything that changes pixels."""
        return {**base_identity(self.name, VERSION, self.model, memory=self.chained), "options": self.options.resolved()}

    def describe(self) -> str:
        """One line: model, licence, what it cannot do."""
        how = "the last frame of a shot starts the next" if self.chained else "every shot alone"
        return (
            f"{self.name} on {self.model.profile.name}: {how}, {self.options.steps} steps, no memory; weights: {self.model.profile.licence}"
        )

    def card(self) -> MethodCard:
        """What tables say of it."""
        return card_of(self.model, self.options, memory=self.chained)

    @contextmanager
    def open(self, device: str) -> Iterator[_Shots]:
        """Load the model."""
        with loaded(self.model, device, self.options) as generator:
            yield _Shots(generator, self.options, chained=self.chained)


class WanI2VChain(WanT2V):
    """The first shot from its prompt, every other one from the last frame of the one before, cut or not."""

    name = "wan-i2v-chain"
    chained = True


class _Shots(Shots):
    def __init__(self, generator: Generator, options: SamplingOptions, *, chained: bool):
        super().__init__(generator)
        self.options, self.chained = options, chained

    def _shot(self, request: ShotRequest) -> ShotResult:
        self.generator.prepare_texts([shot.prompt for shot in request.story.shots])
        tail = request.previous.tail[-1:] if self.chained and request.previous else ()
        take = Take(
            prompt=request.shot.prompt,
            seed=request.seed,
            sampling=self.options.sampling(self.generator.profile, from_text=not tail),
            known=read_image(tail[0])[None] if tail else None,
        )
        clip = self.generator.take(take)
        return ShotResult(
            frames=clip.frames[len(tail) :],
            fps=self.generator.profile.fps,
            tail=int(self.chained),
            spans=clip.spans,
            notes={"mode": "i2v" if tail else "t2v", "text_cut": self.generator.is_cut(request.shot.prompt)},
        )
