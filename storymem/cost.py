"""What a denoising step costs before it is made: operations and bytes, from sizes alone.

Operations are counted in closed form, two per multiply-add; a test holds them against torch's own counter on the full-size model.
Bytes come from running the very code on the meta device (`storymem.trace`). Memory frames cost what video frames cost: each is
one more latent frame that every other attends. How much memory a shot needs is in `storymem.peaks`.

Example:
    >>> from dataclasses import replace
    >>> from storymem.sizes import WAN_A14B
    >>> work = Work(frames=81, height=480, width=832)
    >>> plain = step_cost(WAN_A14B, work)
    >>> round(plain.flops / 1e12), plain.tokens
    (3357, 32760)
    >>> [round(step_cost(WAN_A14B, replace(work, memory=m)).flops / plain.flops, 2) for m in (5, 10)]
    [1.39, 1.84]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from storymem import condition, denoise, ghosts
from storymem.ghosts import Which
from storymem.sizes import Config, Sizes
from storymem.trace import Trace, trace

__all__ = ["Precision", "StepCost", "Work", "adapter_flops", "forward", "forward_flops", "step_cost"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One shot.

    Attributes:
        frames: F, 1 + a multiple of 4.
        height: In pixels.
        width: In pixels.
        memory: M, memory frames; 0: none.
        known: Frames given (1 for MI2V, 5 for MM2V).
        text_tokens: Length of the padded prompt.
    """

    frames: int
    height: int
    width: int
    memory: int = 0
    known: int = 0
    text_tokens: int = 512

    @property
    def base(self) -> Which:
        """Which base makes it: that of text-to-video, or that of memory shots."""
        return "m2v" if self.memory or self.known else "t2v"

    @property
    def latent_frames(self) -> int:
        """T: memory and video."""
        return self.memory + condition.latent_frames(self.frames)


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Types of weights and activations, by torch's names."""

    transformer: str = "bfloat16"
    text_encoder: str = "bfloat16"
    vae: str = "float32"


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """One denoising step, with and without the prompt where it is guided.

    Attributes:
        flops: Operations, two per multiply-add.
        moved_bytes: Bytes that its operations read and write, had each to go to memory.
        weight_bytes: Of these, weights.
        tokens: Length of the sequence.
    """

    flops: float
    moved_bytes: int
    weight_bytes: int
    tokens: int


def step_cost(sizes: Sizes, work: Work, *, guided: bool = True, precision: Precision | None = None, with_adapter: bool = False) -> StepCost:
    """Cost of one denoising step.

    Args:
        sizes: Of the model.
        work: The shot.
        guided: Whether the step runs without the prompt, too (guidance other than 1).
        precision: Types.
        with_adapter: Count the memory adapter's own products (it is not merged into the weights): 2% for A14B at rank 128.
    """
    precision = precision or Precision()
    with_adapter = with_adapter and work.base == "m2v"
    config, passes = getattr(sizes, work.base), 2 if guided else 1
    patch = ghosts.vae_stride(sizes) * 2
    tokens = work.latent_frames * (work.height // patch) * (work.width // patch)
    flops = forward_flops(config, tokens, work.text_tokens)
    if with_adapter:
        flops += adapter_flops(sizes, tokens, work.text_tokens)
    one, two = (forward(sizes, work, precision, layers=layers, with_adapter=with_adapter).moved_bytes for layers in (1, 2))
    blocks = ghosts.blocks_of(sizes, work.base)
    weights = ghosts.weights(sizes, work.base, precision.transformer, with_lora=with_adapter).total(blocks)
    moved = ghosts.Linear(first=one, block=two - one).total(blocks)
    return StepCost(flops=passes * flops, moved_bytes=passes * moved, weight_bytes=passes * weights, tokens=tokens)


def forward_flops(config: Config, tokens: int, text_tokens: int) -> float:
    """Operations of one forward pass of a `WanTransformer3DModel`: its matrix products and attentions.

    Args:
        config: Of the transformer.
        tokens: N, memory and video.
        text_tokens: L.
    """
    dim, ffn = _width(config), int(config["ffn_dim"])
    per_token = 6 * dim * dim + 2 * dim * ffn  # self-attention's four products, cross-attention's two, the feed-forward's
    block = tokens * per_token + 2 * text_tokens * dim * dim + 2 * tokens * dim * (tokens + text_tokens)
    ends = tokens * dim * math.prod(config.get("patch_size", (1, 2, 2))) * (int(config["in_channels"]) + int(config["out_channels"]))
    ends += text_tokens * dim * (int(config["text_dim"]) + dim) + int(config["freq_dim"]) * dim + 7 * dim * dim
    return 2.0 * (int(config["num_layers"]) * block + ends)


def adapter_flops(sizes: Sizes, tokens: int, text_tokens: int) -> float:
    """Operations that the memory adapter adds to one forward pass."""
    dim, ffn = _width(sizes.m2v), int(sizes.m2v["ffn_dim"])
    total = 0
    for target in sizes.lora_targets:
        if target.startswith(("attn", "ffn")):
            rows = text_tokens if target in ("attn2.to_k", "attn2.to_v") else tokens
            total += rows * (dim + ffn if target.startswith("ffn") else 2 * dim) * sizes.lora_rank
    return 2.0 * ghosts.blocks_of(sizes, "m2v") * total


def forward(
    sizes: Sizes, work: Work, precision: Precision, *, batch: int = 1, layers: int = 1, with_adapter: bool = False, on_cpu: bool = False
) -> Trace:
    """What one forward pass of a transformer with `layers` blocks allocates and moves, called as the sampling loop calls it."""
    model, stride = ghosts.model(sizes, work.base, precision.transformer, layers=layers, with_lora=with_adapter), ghosts.vae_stride(sizes)
    config = getattr(sizes, work.base)
    latents = (batch, int(config["in_channels"]), work.latent_frames, work.height // stride, work.width // stride)
    return _traced_pass(model, latents, (batch, work.text_tokens, int(config["text_dim"])), on_cpu)


@lru_cache(maxsize=256)
def _traced_pass(model: Any, latents: tuple[int, ...], text: tuple[int, ...], on_cpu: bool) -> Trace:
    """A pass of a model of `ghosts`, which are kept, so that the same one comes again."""
    noise, words = (torch.empty(shape, device="meta") for shape in (latents, text))
    return trace(lambda: denoise.predict(model, noise, torch.zeros((), device="meta"), words), on_cpu=on_cpu)


def _width(config: Config) -> int:
    return int(config["num_attention_heads"]) * int(config["attention_head_dim"])
