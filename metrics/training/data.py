"""Training clips: groups of four shots that differ from the first in one or two facts, rendered once.

Random shots rarely differ in one small thing only, so a batch of them can be told apart by the large things. Groups of
near twins make accessory, colour and action count from the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stbench.errors import UserError
from stbench.world.data import held_out, random_truth
from stbench.world.render import render_shot
from stbench.world.spec import FRAMES, HEIGHT, WIDTH, ShotTruth

GROUP = 4
FACTS = ("species", "place", "action", "size", "colour", "accessory")
Split = Literal["train", "held-out"]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Rendered shots; entries GROUP*k .. GROUP*k+GROUP-1 are near twins."""

    truths: tuple[ShotTruth, ...]
    frames: np.ndarray  # (N, FRAMES, HEIGHT, WIDTH, 3) uint8

    def codes(self) -> np.ndarray:
        """(N, 6) small integers, one per fact: equal codes mean equal facts."""
        return np.array([[_CODE[f][getattr(t, f)] for f in FACTS] for t in self.truths])


def _codes() -> dict[str, dict[str, int]]:
    from stbench.world.spec import ALLOWED

    return {fact: {value: i for i, value in enumerate(ALLOWED[fact])} for fact in FACTS}


_CODE = _codes()


def twin(truth: ShotTruth, rng: np.random.Generator, split: Split) -> ShotTruth:
    """A legal shot that differs from `truth` in one or two facts, staging kept where it can be."""
    while True:
        other = random_truth(rng, split=split)
        picked = rng.choice(FACTS, size=int(rng.integers(1, 3)), replace=False)
        changes = {str(fact): getattr(other, str(fact)) for fact in picked}
        if "action" in changes:
            changes["station"] = other.station
        try:
            made = replace(truth, **changes)
        except UserError:  # an action that cannot start there, or a close-up that comes closer
            continue
        if held_out(made.species, made.colour, made.accessory) == (split == "held-out"):
            return made


def make_pool(n: int, *, seed: int, split: Split = "train", progress: Callable[[int, int], None] | None = None) -> Pool:
    """Render `n` shots (a multiple of GROUP); the same seed gives the same pool."""
    rng = np.random.default_rng([seed, n, split == "held-out"])
    truths: list[ShotTruth] = []
    while len(truths) < n:
        first = random_truth(rng, split=split)
        truths += [first, *(twin(first, rng, split) for _ in range(GROUP - 1))]
    frames = np.empty((n, FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    for i, truth in enumerate(truths):
        frames[i] = render_shot(truth).frames
        if progress and i % 512 == 0:
            progress(i, n)
    return Pool(truths=tuple(truths), frames=frames)


def pick_groups(n: int, batch: int, generator: torch.Generator) -> np.ndarray:
    """Indices of `batch // GROUP` random groups of a pool of `n`."""
    first = torch.randperm(n // GROUP, generator=generator)[: batch // GROUP].numpy()
    return np.asarray((GROUP * first[:, None] + np.arange(GROUP)).reshape(-1))


def augment(clips: Tensor, generator: torch.Generator, *, shift: float = 0.06, scale: float = 0.08, damage: float = 0.5) -> Tensor:
    """Move, zoom, blur and add noise, alike for all frames of a clip; never change colour: here colour is identity.

    Args:
        clips: (B, T, 3, H, W) in 0..1.
        generator: The only source of randomness.
        shift: Largest move, as a share of the picture.
        scale: Largest zoom, as a share.
        damage: Share of clips that are blurred, and of clips that get noise: decoded and generated films are not crisp.
    """
    b, t = clips.shape[:2]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    theta = torch.zeros(b, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 + uniform(-scale, scale, b)
    theta[:, :, 2] = 2 * uniform(-shift, shift, b, 2)
    flat = clips.flatten(1, 2)
    grid = functional.affine_grid(theta, [b, 1, *clips.shape[-2:]], align_corners=False)
    moved = functional.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    half = functional.interpolate(functional.avg_pool2d(moved, 2), size=moved.shape[-2:], mode="bilinear")
    strength = (uniform(0, 1, b) * (uniform(0, 1, b) < damage)).view(-1, 1, 1, 1)
    moved = torch.lerp(moved, half, strength)
    noise = (uniform(0, 0.06, b) * (uniform(0, 1, b) < damage)).view(-1, 1, 1, 1)
    moved = moved + noise * torch.randn(moved.shape, generator=generator)
    return moved.clamp(0, 1).unflatten(1, (t, 3))


def to_clips(frames: np.ndarray) -> Tensor:
    """(B, T, H, W, 3) uint8 → (B, T, 3, H, W) float32 in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 1, 4, 2, 3).float() / 255
