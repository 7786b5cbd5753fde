"""Temporal positions of memory and video, and a rotary embedding that takes them as they are.

StoryMem puts M memory latents in front of the f video latents. The paper places them at negative temporal positions with
a stride, `-M*S, …, -S, 0, …, f-1` (arXiv 2512.19539, section 3; S = 5), so that the video keeps the positions it was
trained with and the gaps tell memory from motion. The first public release ran with contiguous positions `0 … M+f-1`.
Rotary attention only sees differences: shifting all positions together changes nothing, only the gaps do.

`TemporalRope` takes the place of `transformer.rope` in diffusers' `WanTransformer3DModel`. Attention code is untouched,
so it works under autograd, gradient checkpointing, peft and context parallelism. With default positions its output is
bit-equal to the module it replaces.

Shapes: B batch, T latent frames (memory and video), N tokens, D attention head dim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

Variant = Literal["paper", "release-2025-12"]
VARIANTS: tuple[Variant, ...] = ("paper", "release-2025-12")
STRIDE = 5  # S of the paper
THETA = 10000.0


def temporal_positions(memory: int, latent_frames: int, *, variant: Variant = "paper", stride: int = STRIDE) -> list[int]:
    """Temporal RoPE positions of `memory` memory latents followed by `latent_frames` video latents.

    Example:
        >>> temporal_positions(2, 3)
        [-10, -5, 0, 1, 2]
        >>> temporal_positions(2, 3, variant="release-2025-12")
        [0, 1, 2, 3, 4]
        >>> temporal_positions(0, 3)
        [0, 1, 2]
        >>> temporal_positions(2, 3, stride=0)  # an ablation: memory and the first frame share a position
        [0, 0, 0, 1, 2]
    """
    if variant == "release-2025-12":
        return list(range(memory + latent_frames))
    if variant != "paper":
        raise ValueError(f"variant {variant!r}; expected one of {VARIANTS}")
    return [-stride * back for back in range(memory, 0, -1)] + list(range(latent_frames))


def rope_axes(head_dim: int) -> tuple[int, int, int]:
    """How Wan splits a head's channels between time, height and width; the remainder goes to time.

    Example:
        >>> rope_axes(128)
        (44, 42, 42)
        >>> rope_axes(20)
        (8, 6, 6)
    """
    spatial = 2 * (head_dim // 6)
    return head_dim - 2 * spatial, spatial, spatial


def rope_angles(positions: torch.Tensor, dim: int, theta: float = THETA) -> torch.Tensor:
    """Angles `positions[..., None] * theta^(-2i/dim)`, each repeated twice: (..., dim), in the dtype of `positions`."""
    exponents = torch.arange(0, dim, 2, dtype=positions.dtype, device=positions.device)[: dim // 2] / dim
    angles = positions[..., None] * (1.0 / theta**exponents)
    return angles.repeat_interleave(2, dim=-1)


class TemporalRope(nn.Module):
    """Rotary embedding from explicit temporal positions; height and width count from 0 as always.

    `positions` is None (0, 1, …), a list of T numbers, or a (T,) or (B, T) tensor (one row per sample, for training with
    different positions in a batch). It is plain state: set it before the forward pass, or use `positions_set`.
    """

    def __init__(self, attention_head_dim: int, patch_size: Sequence[int]):
        super().__init__()
        self.attention_head_dim = attention_head_dim
        self.patch_size = tuple(patch_size)
        self.positions: Sequence[float] | torch.Tensor | None = None

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines for latents (B, C, T, H, W): each (1 or B, N, 1, D) float32.

        Raises:
            ValueError: If the number of positions is not the number of latent frames.
        """
        frames, height, width = (size // patch for size, patch in zip(hidden_states.shape[2:], self.patch_size, strict=True))
        device = hidden_states.device
        dtype = torch.float32 if device.type == "mps" else torch.float64
        given = range(frames) if self.positions is None else self.positions
        if not isinstance(given, torch.Tensor):
            given = torch.tensor(list(given))
        times = given.to(device=device, dtype=dtype)
        if times.shape[-1] != frames:
            raise ValueError(f"{times.shape[-1]} temporal positions for {frames} latent frames")
        times = times.reshape(-1, frames)
        dim_t, dim_h, dim_w = rope_axes(self.attention_head_dim)
        rows = times.shape[0]
        of_time = rope_angles(times, dim_t)[:, :, None, None, :]
        of_height = rope_angles(torch.arange(height, device=device, dtype=dtype), dim_h)[None, None, :, None, :]
        of_width = rope_angles(torch.arange(width, device=device, dtype=dtype), dim_w)[None, None, None, :, :]
        shape = (rows, frames, height, width)
        angles = torch.cat([part.expand(*shape, -1) for part in (of_time, of_height, of_width)], dim=-1)
        angles = angles.reshape(rows, frames * height * width, 1, self.attention_head_dim)
        return angles.cos().float(), angles.sin().float()


def bare(transformer: Any) -> Any:
    """The `WanTransformer3DModel` inside a peft or `torch.compile` wrapper (or itself)."""
    inner = getattr(transformer, "_orig_mod", transformer)
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


def use_explicit_positions(transformer: Any) -> TemporalRope:
    """Put a `TemporalRope` in place of the transformer's own (once); later calls return the one that is there."""
    model = bare(transformer)
    if not isinstance(model.rope, TemporalRope):
        model.rope = TemporalRope(model.config.attention_head_dim, model.config.patch_size)
    rope: TemporalRope = model.rope
    return rope


@contextmanager
def positions_set(transformer: Any, positions: Sequence[float] | torch.Tensor | None) -> Iterator[None]:
    """Run the transformer with these temporal positions inside the `with` block.

    Example:
        with positions_set(transformer, temporal_positions(memory=2, latent_frames=5)):
            velocity = transformer(hidden_states=x, timestep=t, encoder_hidden_states=text).sample
    """
    rope = use_explicit_positions(transformer)
    before, rope.positions = rope.positions, positions
    try:
        yield
    finally:
        rope.positions = before
