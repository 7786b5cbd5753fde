"""StoryMem as a method of the benchmark: memory of a story's keyframes, shot after shot.

p(shot i) depends on its prompt and on memory m(i-1); memory grows by the keyframes of each finished shot. The first shot
(or any shot with nothing in memory) is text-to-video; a shot after a cut is M2V; a shot that continues the previous one is
MI2V: memory and the last frame of the previous shot, which is dropped from the output. A story with reference pictures starts
with these in memory, in front of its keyframes (MR2V). Source: arXiv 2512.19539.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stbench.encoders import ENCODERS, FrameEncoder, QualityModel
from stbench.methods import MethodCard, ShotRequest, ShotResult
from stbench.timing import Stopwatch
from storymem import condition, hub, keyframes, memory
from storymem.cards import card_of
from storymem.generator import Generator, Take
from storymem.images import read_image
from storymem.options import MOTION_FRAMES, MemoryOptions, parse
from storymem.profiles import resolve
from storymem.quality import QUALITY
from storymem.shots import OnWan, Shots, base_identity, loaded

ENCODERS.add("clip-vit-b-32", "storymem.clip_frames:ClipFrames")
VERSION = 1  # raise when the same options could give other pixels
REFERENCE = "reference"  # stands where the id of a shot would
Rank = Callable[[str, Sequence[Path]], Sequence[float]]  # similarity of a prompt to pictures


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a shot is made from."""

    mode: str  # t2v, i2v, v2v, mr2v, m2v, mi2v, mm2v
    memory: tuple[tuple[str, int, Path], ...]  # shot id (or "reference"), number of the keyframe in its shot, file
    known: tuple[Path, ...]  # first frame or motion frames


class StoryMem(OnWan):
    """Keeps keyframes of earlier shots in a memory that conditions later ones: the method of the paper.

    Args:
        model: Profile and weights.
        options: Resolved options.
    """

    name = "storymem"
    takes_references = True
    options: MemoryOptions

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> StoryMem:
        """Build from `--model` and `--set`; reads the profile, loads nothing."""
        found = resolve(model, options)
        chosen = parse(MemoryOptions, options, found.profile)
        if missing := hub.judges(found.profile.keyframe_encoder, chosen.quality):
            raise hub.missing_error(found.profile.name, missing)
        profile = found.profile.model_copy(update={"quality": chosen.quality})  # what is held in memory depends on it
        return cls(replace(found, profile=profile), chosen)

    def identity(self) -> Mapping[str, Any]:
        """Everything that changes pixels: options, settings of the profile, weights, encoder and quality model."""
        profile = self.model.profile
        encoder: Any = ENCODERS.get(profile.keyframe_encoder)
        chosen = self.options
        quality = QUALITY.get(chosen.quality)
        prompts: Any = ENCODERS.get(profile.prompt_encoder) if chosen.memory_policy == "prompt" else None
        return {
            **base_identity(self.name, VERSION, self.model, memory=True),
            **({} if prompts is None else {"prompt_encoder": {"id": profile.prompt_encoder, "digest": prompts.digest()}}),
            "options": chosen.resolved(),
            "keyframe_encoder": {"id": profile.keyframe_encoder, "digest": encoder.digest()},
            "quality": {"id": chosen.quality, "digest": quality.digest(), "threshold": chosen.quality_threshold},
        }

    def describe(self) -> str:
        """One line: model, memory, variant, licence, limits."""
        chosen, profile = self.options, self.model.profile
        return (
            f"StoryMem ({chosen.variant}) on {profile.name}: memory of {chosen.memory_size} keyframes ({chosen.memory_sink} fixed), "
            f"up to {chosen.keyframes_max} per shot, {chosen.steps} steps; weights: {profile.licence}; "
            "visual memory only, ambiguous when a story has many characters"
        )

    def card(self) -> MethodCard:
        """What tables say of it."""
        return card_of(self.model, self.options, memory=True)

    @contextmanager
    def open(self, device: str) -> Iterator[StoryMemShots]:
        """Load the model, the keyframe encoder and the quality model."""
        profile = self.model.profile
        encoder: Any = ENCODERS.get(profile.keyframe_encoder)
        quality = QUALITY.get(self.options.quality)
        prompts: Any = ENCODERS.get(profile.prompt_encoder) if self.options.memory_policy == "prompt" else None
        ranker = None if prompts is None else PromptRank(prompts.load(device))
        with loaded(self.model, device, self.options) as generator:
            device = str(generator.device)
            yield StoryMemShots(generator, encoder.load(device), quality.load(device), self.options, ranker)


class PromptRank:
    """How much pictures resemble a prompt, by an encoder of frames and texts; each picture and text is encoded once.

    Args:
        encoder: A `stbench.encoders.FrameEncoder` that is a `TextEncoder` too.
    """

    def __init__(self, encoder: Any):
        self._encoder = encoder
        self._pictures: dict[tuple[Path, int], np.ndarray] = {}
        self._texts: dict[str, np.ndarray] = {}

    def __call__(self, prompt: str, pictures: Sequence[Path]) -> list[float]:
        """Cosine of the prompt to each picture."""
        if prompt not in self._texts:
            self._texts[prompt] = self._encoder.encode_texts([prompt])
        for path in pictures:
            if _file_key(path) not in self._pictures:
                self._pictures[_file_key(path)] = self._encoder.encode_frames(read_image(path)[None])[0]
        rows = [self._pictures[_file_key(path)] for path in pictures]
        return keyframes.cosine(self._texts[prompt], np.stack(rows))[0].tolist() if rows else []


class StoryMemShots(Shots):
    """StoryMem with its models loaded; caches per keyframe file, never per story."""

    def __init__(
        self, generator: Generator, encoder: FrameEncoder, quality: QualityModel, options: MemoryOptions, rank: Rank | None = None
    ):
        super().__init__(generator)
        self.encoder, self.quality, self.options, self.rank = encoder, quality, options, rank
        self._latents: dict[tuple[Path, int, tuple[int, int]], torch.Tensor] = {}
        self._embeddings: dict[tuple[Path, int], np.ndarray] = {}

    def _shot(self, request: ShotRequest) -> ShotResult:
        watch = Stopwatch(self.generator.device)
        with watch.time("text_encode"):
            self.generator.prepare_texts([shot.prompt for shot in request.story.shots])
        plan = plan_shot(request, self.options, self.rank)
        size = self._size(plan)
        with watch.time("memory_encode", memory=len(plan.memory)):
            latents = [self._latent(path, size) for _, _, path in plan.memory]
        known = np.stack([read_image(path) for path in plan.known]) if plan.known else None
        take = Take(
            prompt=request.shot.prompt,
            seed=request.seed,
            sampling=self.options.sampling(self.generator.profile, from_text=plan.mode == "t2v"),
            memory=torch.cat(latents, dim=2) if latents else None,
            known=known,
            variant=self.options.variant,
            stride=self.options.positions_stride,
            size=size,
        )
        clip = self.generator.take(take)
        frames = clip.frames[len(plan.known) :]
        with watch.time("keyframes"):
            kept, search = self._keyframes(frames, [path for _, _, path in plan.memory], watch)
        return ShotResult(
            frames=frames,
            fps=self.generator.profile.fps,
            keyframes=tuple(kept),
            tail={"auto": 1, "mm2v": MOTION_FRAMES}.get(self.options.mode, 0),
            spans=tuple(watch.spans) + clip.spans,
            notes={
                "mode": plan.mode,
                "memory": [{"shot": shot, "keyframe": number} for shot, number, _ in plan.memory],
                "keyframes_found": list(search.indices),
                "thresholds": list(search.thresholds),
                "text_cut": self.generator.is_cut(request.shot.prompt),
            },
        )

    def _keyframes(
        self, frames: np.ndarray, bank: Sequence[Path], watch: Stopwatch | None = None
    ) -> tuple[list[int], keyframes.KeyframeSearch]:
        """Keyframes of a new shot that memory does not hold yet; every frame is embedded once."""
        embeddings = self.encoder.encode_frames(frames)
        chosen, watch = self.options, watch or Stopwatch(self.generator.device)

        def passes(frame: int) -> bool:
            with watch.time("quality_filter"):
                return bool(self.quality.quality(frames[frame : frame + 1])[0] >= chosen.quality_threshold)

        with self.judging():
            search = keyframes.search(
                embeddings, passes, threshold=chosen.keyframes_threshold, maximum=chosen.keyframes_max, variant=chosen.variant
            )
        if not search.indices or not bank:
            return list(search.indices), search
        known = np.stack([self._embedding(path) for path in bank])
        new = keyframes.new_to_memory(embeddings[list(search.indices)], known, threshold=chosen.keyframes_threshold)
        return [search.indices[row] for row in new], search

    def judging(self) -> AbstractContextManager[None]:
        """The quality model can be asked in the `with` block: a large one is on the device for that long only."""
        large = getattr(self.quality, "net", None)
        return nullcontext() if large is None else self.generator.placer.visit(large)

    def _size(self, plan: Plan) -> tuple[int, int]:
        """Height and width of a shot. In the first release the first memory picture decides them, within the profile's area."""
        height, width = self.generator.size
        if self.options.variant == "paper" or not plan.memory:
            return height, width
        rows, columns, _ = read_image(plan.memory[0][2]).shape
        return (height, width) if (rows, columns) == (height, width) else condition.fit_area(rows, columns, height * width)

    def _latent(self, path: Path, size: tuple[int, int]) -> torch.Tensor:
        key = (*_file_key(path), size)
        if key not in self._latents:
            self._latents[key] = self.generator.encode_image(read_image(path), size=size, variant=self.options.variant)
        return self._latents[key]

    def _embedding(self, path: Path) -> np.ndarray:
        key = _file_key(path)
        if key not in self._embeddings:
            encode = getattr(self.encoder, "encode_memory", self.encoder.encode_frames)
            self._embeddings[key] = encode(read_image(path)[None])[0]
        return self._embeddings[key]


def plan_shot(request: ShotRequest, options: MemoryOptions, rank: Rank | None = None) -> Plan:
    """Which memory and which known frames a shot gets.

    Args:
        request: The shot.
        options: Capacity, sink, policy, variant.
        rank: Similarity of the prompt to pictures, for the policy "prompt".
    """
    bank = [(REFERENCE, number, picture.path) for number, picture in enumerate(request.story.references)]
    bank += [(finished.shot.id, number, path) for finished in request.finished for number, path in enumerate(finished.keyframes)]
    known = _known(request, options.mode)
    memory_of_shot = tuple(bank[index] for index in _select(bank, request, options, rank))
    only_references = bool(memory_of_shot) and all(shot == REFERENCE for shot, _, _ in memory_of_shot)
    kind = {0: "r" if only_references else "", 1: "i"}.get(len(known), "m" if memory_of_shot else "v")
    letters = ("m" if memory_of_shot else "") + kind
    return Plan(mode=f"{letters or 't'}2v", memory=memory_of_shot, known=known)


def _select(bank: Sequence[tuple[str, int, Path]], request: ShotRequest, options: MemoryOptions, rank: Rank | None) -> list[int]:
    """Indices of the bank, oldest first. A capacity of 0 is no memory in every variant."""
    size, sink = options.memory_size, options.memory_sink
    if size == 0:
        return []
    if rank is not None and len(bank) > size:
        return memory.select_by_prompt(rank(request.shot.prompt, [path for _, _, path in bank]), size=size, sink=sink)
    return memory.select(len(bank), size=size, sink=sink, variant=options.variant)


def _known(request: ShotRequest, mode: str) -> tuple[Path, ...]:
    if request.shot.cut or request.previous is None or mode == "m2v":
        return ()
    tail = request.previous.tail
    return tail[-MOTION_FRAMES:] if mode == "mm2v" else tail[-1:]


def _file_key(path: Path) -> tuple[Path, int]:
    return path, path.stat().st_mtime_ns
