"""Baselines on the same base model: independent shots, and a chain of first frames. No memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from stbench.methods import MethodCard, ShotRequest, ShotResult
from stbench.story import Story
from storymem.cards import card_of
from storymem.counting import Counter
from storymem.generator import Generator, Take
from storymem.images import read_image
from storymem.options import SamplingOptions, parse
from storymem.parallel import release
from storymem.profiles import Model, resolve
from storymem.shots import Shots, base_identity, loaded, serve, word_notes

VERSION = 1


class WanT2V:
    """Every shot alone, from its prompt: what the base model does without memory."""

    name = "wan-t2v"
    chained = False

    def __init__(self, model: Model, options: SamplingOptions):
        self.model, self.options = model, options

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> WanT2V:
        """Build from `--model` and `--set`; reads the profile, loads nothing."""
        found = resolve(model, options, needs=("t2v", "m2v") if cls.chained else ("t2v",))
        return cls(found, parse(SamplingOptions, options, found.profile))

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
        return card_of(self.model, self.options, memory=self.chained, adapter=self.chained and self.model.profile.i2v_uses_lora)

    def story_notes(self, story: Story) -> str | None:
        """The share of the story's words that the model knows, where that is less than all."""
        return word_notes(self.model, story)

    def work_counter(self) -> Counter:
        """What counts the operations of its shots (see `stbench.profiling.roofline`)."""
        return Counter(self.model, self.options.running())

    @contextmanager
    def open(self, device: str) -> Iterator[_Shots]:
        """Load the model."""
        with loaded(self.model, device, self.options) as generator:
            yield _Shots(generator, self.options, chained=self.chained)

    def serve(self, device: str) -> bool:
        """Help rank 0 of the same torchrun command with one loaded model; False when it needs nobody any more."""
        return serve(self.model, device, self.options)

    @staticmethod
    def release(device: str) -> None:
        """Of rank 0: the others may go."""
        release(device)


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
