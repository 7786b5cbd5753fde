"""The generator: a loaded model that turns a prompt, memory and known frames into a clip.

It holds no story and picks no memory; that is `method.py`. Text-to-video uses the base transformers; memory shots use the
memory model with its LoRA attached. In the embedded model both are one transformer, and the adapter is switched off for
text-to-video.

Shapes: F frames, M memory images, H, W pixels, L text tokens, D text channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from stbench.errors import UserError
from stbench.methods import Span
from stbench.timing import Stopwatch
from storymem import adapters, checkpoints, condition, conditioning, lora, parallel, text
from storymem.attention import choose_backend, use_backend
from storymem.denoise import Experts, Sampling, denoise, draw_noise
from storymem.fit import EXPERTS, check_fit, in_channels
from storymem.latents import Latents
from storymem.placing import Placer, free_device
from storymem.positions import STRIDE, Variant, temporal_positions, use_explicit_positions
from storymem.profiles import Model
from storymem.recipes import LIGHTNING_ADAPTER, attach_lightning, cache_blocks, check_recipe, lightning_of, quantise
from storymem.running import Running, allowed, place, usual

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Take:
    """One clip to make. Without memory and known frames it is text-to-video."""

    prompt: str
    seed: int
    sampling: Sampling
    memory: torch.Tensor | None = None  # (1, 16, M, h, w) latents of memory images, oldest first
    known: np.ndarray | None = None  # (k, H, W, 3) uint8: first frame (k = 1) or motion frames (k = 5)
    variant: Variant = "paper"
    stride: int = STRIDE
    size: tuple[int, int] | None = None  # height and width in pixels; None: the profile's


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What a take gave."""

    frames: np.ndarray  # (F, H, W, 3) uint8, known frames included
    spans: tuple[Span, ...]


class Generator:
    """Components of a model, loaded when first needed.

    Args:
        model: Profile and folders.
        device: "cpu", "cuda", "cuda:1", …
        running: How to run it; by default as the profile says.
    """

    def __init__(self, model: Model, device: str, running: Running | None = None):
        self.model, self.profile, self.device = model, model.profile, torch.device(device)
        self.running = running or usual(model.profile)
        self.world = parallel.world()
        check_fit(model)
        check_recipe(self.running.recipe, model)
        precision = self.running.precision
        self.backend = choose_backend(self.running.attention, device, precision.transformer, processes=self.world.size)
        self.placer = Placer(self.device, place(self.running, model, device), allowed(self.running.recipe))
        self._experts: dict[tuple[Path, bool], list[Any]] = {}
        self._text_encoder: Any = None
        self._texts: dict[str, torch.Tensor] = {}
        self._cut: dict[str, bool] = {}
        self.proofs: list[lora.LoraProof] = []
        self.tokenizer = checkpoints.load_tokenizer(model.t2v)
        vae = checkpoints.load_component(model.t2v, "vae", dtype=getattr(torch, precision.vae))
        if self.running.tiling:
            vae.enable_tiling()
        self.latents = Latents(vae.to(self.device))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame, pixels."""
        return self.profile.height, self.profile.width

    def is_cut(self, prompt: str) -> bool:
        """Whether the end of the prompt is not read because it has too many tokens."""
        if prompt not in self._cut:
            self._cut[prompt] = text.is_cut(self.tokenizer, prompt, self.profile.text_length)
        return self._cut[prompt]

    def prepare_texts(self, prompts: Sequence[str]) -> None:
        """Encode prompts, and the negative one, that are not encoded yet.

        One by one, so that a prompt's embedding never depends on its neighbours in a batch. Kept without their padding.
        """
        fresh = [prompt for prompt in dict.fromkeys((*prompts, self.profile.negative_prompt)) if prompt not in self._texts]
        if not fresh:
            return
        if self._text_encoder is None:
            dtype = getattr(torch, self.running.precision.text_encoder)
            self._text_encoder = self.placer.take(checkpoints.load_component(self.model.t2v, "text_encoder", dtype=dtype))
        with self.placer.ready(self._text_encoder):
            for prompt in fresh:
                embedding = text.embed(self.tokenizer, self._text_encoder, [prompt], self.profile.text_length)[0]
                self._texts[prompt] = text.without_padding(embedding).cpu()

    def free_text_encoder(self) -> None:
        """Give its memory back; should another prompt come, it is loaded again."""
        self.placer.drop(self._text_encoder)
        self._text_encoder = None
        free_device()

    def _text(self, prompt: str) -> torch.Tensor:
        """(L, D): the embedding of a prepared prompt, padded with the zeros that the transformer attends."""
        return text.with_padding(self._texts[prompt], self.profile.text_length).to(self.device)

    def encode_image(self, image: np.ndarray, *, size: tuple[int, int] | None = None, variant: Variant = "paper") -> torch.Tensor:
        """A memory image (H', W', 3) uint8 of any size → (1, 16, 1, h, w)."""
        return self.latents.encode_images(self._fit(image[None], size or self.size, variant))

    def _fit(self, images: np.ndarray, size: tuple[int, int], variant: Variant) -> torch.Tensor:
        """Pictures (k, H', W', 3) at the size of the video: the paper variant crops what a resize would distort."""
        if variant == "paper":
            images = condition.crop_to_aspect(images, *size)
        return condition.resize(condition.to_model_range(torch.from_numpy(np.ascontiguousarray(images))), *size)

    def take(self, take: Take) -> Clip:
        """Make one clip. Under torchrun, rank 0 makes it together with the processes that `serve`."""
        if self.world.size == 1:
            return self._take(take)
        if self.world.rank == 0:
            parallel.tell(take)
        try:
            return self._take(take)
        except UserError:  # in all processes at once
            raise
        except Exception as error:  # the others wait in the middle of it, so no process can go on
            raise UserError(f"a shot over {self.world.size} processes failed: {error}", hint="the same command continues") from error

    def _take(self, take: Take) -> Clip:
        watch = Stopwatch(self.device)
        with watch.time("text_encode"):
            self.prepare_texts([take.prompt])
        memory_count = 0 if take.memory is None else take.memory.shape[2]
        from_text = memory_count == 0 and take.known is None
        with watch.time("memory_encode", memory=memory_count):
            given, shape = self._condition(take, from_text)
        known = 0 if take.known is None else len(take.known)
        experts = self._load(from_text, adapter=memory_count > 0 or (not from_text and self.profile.i2v_uses_lora), watch=watch)
        parallel.check_tokens(math.prod(shape[1:]) // math.prod(experts.high.config.patch_size), self.world.size, str(self.device))
        noted = {"memory": memory_count, "known": known, "size": list(take.size or self.size), "guidance": list(take.sampling.guidance)}
        with watch.time("denoise", steps=take.sampling.steps, **noted):
            latents = denoise(
                experts,
                draw_noise(shape, take.seed).to(self.device),
                condition=given,
                text=self._text(take.prompt),
                negative=self._text(self.profile.negative_prompt),
                positions=temporal_positions(memory_count, shape[1] - memory_count, variant=take.variant, stride=take.stride),
                sampling=take.sampling,
                on_expert=watch.lap,
            )
        self.placer.rest()
        with watch.time("vae_decode"):
            video = self.latents.decode(latents[None, :, memory_count:])
            frames = condition.unpack(video[0]).cpu().numpy()
        return Clip(frames=frames, spans=tuple(watch.spans))

    def _condition(self, take: Take, from_text: bool) -> tuple[torch.Tensor | None, tuple[int, int, int, int]]:
        """Condition channels (None for a transformer without them) and the shape of the noise."""
        height, width = size = take.size or self.size
        stride, frames = self.latents.spatial_stride, self.profile.frames
        memory_count = 0 if take.memory is None else take.memory.shape[2]
        channels = condition.LATENT_CHANNELS
        shape = (channels, memory_count + condition.latent_frames(frames), height // stride, width // stride)
        if from_text:
            has_condition = in_channels(self.model.t2v) > channels
            return (condition.no_condition(torch.zeros(shape, device=self.device)) if has_condition else None), shape
        given = conditioning.channels(
            self.latents,
            frames=frames,
            size=size,
            memory=None if take.memory is None else take.memory[0],
            known=None if take.known is None else self._fit(take.known, size, take.variant),
            lost=take.known is not None and conditioning.first_is_lost(take.variant, len(take.known)),
        )
        return given, shape

    def _load(self, from_text: bool, *, adapter: bool, watch: Stopwatch | None = None) -> Experts:
        """The transformers for this kind of take, adapter switched on or off."""
        folder = self.model.t2v if from_text else self.model.m2v
        with_lora = bool(self.model.lora) and folder == self.model.m2v
        key = (folder, with_lora)
        if key not in self._experts:
            with (watch or Stopwatch(self.device)).time("load_experts"):
                self._experts[key] = [self._load_expert(folder, number, with_lora, from_text) for number in range(self.profile.experts)]
        models = self._experts[key]
        few_steps = self._lightning(from_text)
        if with_lora or few_steps:
            for model in models:
                lora.use_adapters(model, [lora.ADAPTER] * (with_lora and adapter) + [LIGHTNING_ADAPTER] * bool(few_steps))
        return Experts(high=models[0], low=models[1] if len(models) > 1 else None, ready=self.placer.ready)

    def _load_expert(self, folder: Path, number: int, with_lora: bool, from_text: bool) -> Any:
        model = checkpoints.load_component(folder, EXPERTS[number], dtype=getattr(torch, self.running.precision.transformer))
        if with_lora:
            state, spec, where = adapters.read(self.model, number)
            self.proofs.append(lora.attach(model, state, spec, where=where))
        if few_steps := self._lightning(from_text):
            self.proofs.append(attach_lightning(model, few_steps[number], self.running.lightning_weight))
        use_explicit_positions(model)
        use_backend(model, self.backend)
        parallel.split_sequence(model, self.world.size)
        if self.running.recipe == "fp8":
            quantise(model)
        if self.running.recipe == "cache":
            cache_blocks(model, self.running.cache_threshold)
        if self.running.compiled:
            model.compile_repeated_blocks()
        return self.placer.take(model)

    def _lightning(self, from_text: bool) -> tuple[Path, ...]:
        """The few-step adapters of a base, one per expert; none for other recipes."""
        if self.running.recipe != "lightning":
            return ()
        return lightning_of(self.model, "t2v" if from_text else "m2v")

    def retrying(self, work: Callable[[], T]) -> tuple[T, dict[str, Any]]:
        """Do some work; when the device is full, once more with the next lower placement. What it gave, and notes for the record.

        Processes that share a shot cannot retry: the others wait in the middle of it.
        """
        result, too_much = (work(), None) if self.world.size > 1 else self.placer.retrying(work)
        notes: dict[str, Any] = {"placement": self.placer.placement, "attention": self.backend}
        return result, notes if too_much is None else notes | {"out_of_memory_with": too_much}

    def serve(self) -> None:
        """Of a process that helps: compute with rank 0 until it has no more takes."""
        while (take := parallel.tell(None)) is not None:
            self.take(take)

    def dismiss(self) -> None:
        """Of rank 0: no more takes."""
        if self.world.size > 1 and self.world.rank == 0:
            parallel.tell(None)
