"""Wan image-to-video: a shot from its first frame and its prompt. The second half of methods that draw keyframes first.

Not a method by itself, since a script has no pictures: `stbench.baselines.keyframed` draws them and hands each over. Everything comes from
the image-to-video base: its text encoder, tokenizer and VAE are those of the text-to-video base.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from stbench.methods import MethodCard, ShotRequest, ShotResult
from storymem import hub
from storymem.cards import card_of
from storymem.generator import Generator, Take
from storymem.options import SamplingOptions, parse
from storymem.profiles import WAN, resolve
from storymem.shots import OnWan, Shots, base_identity, loaded

VERSION = 1
SHIFT = 5.0  # flow shift that Wan2.2 states for image-to-video; a profile's own is of shots with memory


class WanI2V(OnWan):
    """Every shot from its own first frame and its prompt; no memory."""

    name = "wan-i2v"

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> WanI2V:
        """Build from `--model` and `--set`; reads the profile, loads nothing."""
        found = resolve(model, options, needs=("m2v",)).without_memory(first_frames=True)
        published = found.profile.m2v == WAN.m2v
        return cls(found, parse(SamplingOptions, {"shift": str(SHIFT), **options} if published else options, found.profile))

    @staticmethod
    def missing(model: str, options: Mapping[str, str]) -> dict[str, hub.Repository]:
        """Published weights that a named model needs and that are not on this machine, by part."""
        lacking = model == WAN.name and "weights.m2v" not in options and hub.local(hub.M2V) is None
        return {"m2v": replace(hub.M2V, what="image-to-video base")} if lacking else {}

    def identity(self) -> Mapping[str, Any]:
        """Everything that changes pixels, but for the first frames."""
        return {**base_identity(self.name, VERSION, self.model, memory=True), "options": self.options.resolved()}

    def describe(self) -> str:
        """Model, steps and licence, as the second half of a sentence."""
        return f"{self.model.profile.name} from each first frame, {self.options.steps} steps; weights: {self.licence}"

    @property
    def licence(self) -> str:
        """Of the weights that are used: StoryMem's adapters are not."""
        profile = self.model.profile
        return WAN.licence.partition(",")[0] if profile.m2v == WAN.m2v else profile.licence

    def card(self) -> MethodCard:
        """What tables say of it."""
        alone = replace(self.model, t2v=self.model.m2v)
        return replace(card_of(alone, self.options, memory=False), licence=self.licence)

    @contextmanager
    def open(self, device: str) -> Iterator[FromFirstFrame]:
        """Load the model."""
        with loaded(self.model, device, self.options) as generator:
            yield FromFirstFrame(generator, self.options)


class FromFirstFrame(Shots):
    """The model, loaded."""

    def __init__(self, generator: Generator, options: SamplingOptions):
        super().__init__(generator)
        self.options = options

    def away(self) -> AbstractContextManager[None]:
        """The device is free of this model's big parts while something else works on it."""
        return self.generator.placer.away()

    def animate(self, request: ShotRequest, first_frame: np.ndarray) -> ShotResult:
        """A shot that begins with a picture (H', W', 3) uint8 of any size, cropped and resized to the size of the film."""
        (clip, text_cut), notes = self.generator.retrying(lambda: self._animate(request, first_frame))
        return ShotResult(
            frames=clip.frames,
            fps=self.generator.profile.fps,
            spans=clip.spans,
            notes={"mode": "i2v", "text_cut": text_cut, **notes},
        )

    def _animate(self, request: ShotRequest, first_frame: np.ndarray) -> Any:
        self.generator.prepare_texts([shot.prompt for shot in request.story.shots])
        sampling = self.options.sampling(self.generator.profile, from_text=False)
        clip = self.generator.take(Take(prompt=request.shot.prompt, seed=request.seed, sampling=sampling, known=first_frame[None]))
        return clip, self.generator.is_cut(request.shot.prompt)
