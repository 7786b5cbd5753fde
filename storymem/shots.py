"""What every method on a Wan model shares: its identity, its loaded model, and shots that survive a full device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from stbench.methods import ShotRequest, ShotResult
from stbench.story import Story
from storymem import parallel, text
from storymem.checkpoints import folder_digest, load_tokenizer
from storymem.counting import Counter
from storymem.generator import Generator
from storymem.options import SamplingOptions
from storymem.profiles import Model


class Shots:
    """A method with its models loaded. What makes a shot is `_shot`.

    Args:
        generator: The model.
    """

    def __init__(self, generator: Generator):
        self.generator = generator
        self._unsaid: dict[str, Any] = {}  # notes of what happened before the first shot

    def prepare(self, stories: Sequence[Story]) -> None:
        """Encode all prompts of a run at once, then free the text encoder."""
        prompts = [shot.prompt for story in stories for shot in story.shots]
        _, self._unsaid = self.generator.retrying(lambda: self.generator.prepare_texts(prompts))
        self.generator.free_text_encoder()

    def shot(self, request: ShotRequest) -> ShotResult:
        """Make one shot."""
        result, notes = self.generator.retrying(lambda: self._shot(request))
        notes, self._unsaid = {**self._unsaid, **notes}, {}
        return replace(result, notes={**result.notes, **notes})

    def _shot(self, request: ShotRequest) -> ShotResult:
        raise NotImplementedError


@contextmanager
def loaded(model: Model, device: str, options: SamplingOptions) -> Iterator[Generator]:
    """A model ready to film; under torchrun, together with the processes that `serve`."""
    here = parallel.join(device)
    if here.size > 1:
        parallel.tell(options)
    with on_threads(model.profile.threads):
        generator = Generator(model, here.device(device), options.running())
        try:
            yield generator
        finally:
            generator.dismiss()


@contextmanager
def on_threads(number: int | None) -> Iterator[None]:
    """Compute with so many threads of the CPU, and with as many as before afterwards; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class OnWan:
    """What every method on a Wan model has in common.

    Args:
        model: Profile and weights.
        options: Resolved options.
    """

    def __init__(self, model: Model, options: SamplingOptions):
        self.model, self.options = model, options

    def story_notes(self, story: Story) -> str | None:
        """One sentence on the share of the story's words that a word-level model knows; None where every word can be spelled."""
        share = text.known_share(load_tokenizer(self.model.t2v), [shot.prompt for shot in story.shots])
        if share is None or share == 1.0:
            return None
        return f"{story.id}: the {self.model.profile.name} model knows {share:.0%} of the words of its prompts and ignores the others"

    def work_counter(self) -> Counter:
        """What counts the operations of its shots (see `stbench.profiling.roofline`)."""
        return Counter(self.model, self.options.running())

    def serve(self, device: str) -> bool:
        """Help rank 0 of the same torchrun command with one loaded model: load it when it does, and compute with it until it is done.

        Returns:
            False when rank 0 needs nobody any more.
        """
        here = parallel.join(device)
        if parallel.tell(None) is None:
            return False
        Generator(self.model, here.device(device), self.options.running()).serve()
        return True

    @staticmethod
    def release(device: str) -> None:
        """Of rank 0: the others may go."""
        parallel.release(device)


def base_identity(method: str, version: int, model: Model, *, memory: bool) -> dict[str, Any]:
    """Name, version, profile and weights, the same for every method on a Wan model."""
    parts = model.weight_parts(memory=memory)
    digests = [folder_digest(folder, names) for folder, names in parts.items()]
    drop = {"m2v", "t2v", "lora", "about", "licence", "prompt_encoder", "dtype", "dtype_text", "dtype_vae"}  # types are options
    drop |= {"threads"} if model.profile.threads is None else set()
    return {
        "method": method,
        "version": version,
        "model": model.profile.name,
        "profile": model.profile.model_dump(mode="json", exclude=drop),
        "weights": digests,
    }
