"""How a model is run: where its weights wait, in which types, with which attention, whole or in tiles, compiled or not.

Only the placement leaves the picture as it is; the others change its last bits (tiling: more), so they are part of a run's identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from storymem import attention
from storymem.cost import Precision, Work
from storymem.peaks import peak
from storymem.placements import PLACEMENTS, Placement
from storymem.profiles import Model
from storymem.recipes import Recipe
from storymem.settings import Profile
from storymem.sizes import sizes_of

CONTEXT_BYTES = 1_500_000_000  # of a GPU's own: driver, libraries, what the allocator cannot reuse
MARGIN = 1.08  # predictions are of tensors, and allocators round up


@dataclass(frozen=True, kw_only=True)
class Running:
    """Choices of one run.

    Attributes:
        placement: See `storymem.placements`; "auto": the first that is predicted to fit.
        attention: See `storymem.attention`.
        precision: Types of the components. Modulation, norms and positions stay float32 or float64, as published.
        tiling: Whether the VAE works tile by tile: less memory, and seams that can show.
        compiled: Whether transformer blocks go through `torch.compile`.
        recipe: See `storymem.recipes`.
        cache_threshold: Relative change of the first block above which a step is computed in full (recipe "cache").
        lightning_weight: Of the few-step adapter (recipe "lightning").
        memory: The most memory frames that a shot will have, for "auto".
    """

    placement: Placement | Literal["auto"] = "auto"
    attention: str = attention.AUTO
    precision: Precision
    tiling: bool = False
    compiled: bool = False
    recipe: Recipe = "exact"
    cache_threshold: float = 0.05
    lightning_weight: float = 1.0
    memory: int = 0


def usual(profile: Profile) -> Running:
    """What a profile runs with when nothing else is asked for."""
    precision = Precision(transformer=profile.dtype, text_encoder=profile.dtype_text or profile.dtype, vae=profile.dtype_vae)
    return Running(precision=precision, memory=profile.memory_size)


def place(running: Running, model: Model, device: str) -> Placement:
    """The placement to start with: the one asked for, or the first whose predicted peak fits the device."""
    if running.placement != "auto":
        return running.placement
    if not device.startswith("cuda"):
        return "resident"
    import torch

    return first_that_fits(running, model, torch.cuda.get_device_properties(device).total_memory)


def first_that_fits(running: Running, model: Model, device_bytes: int) -> Placement:
    """The first placement whose predicted peak fits so many bytes; the last one if none does."""
    profile, sizes = model.profile, sizes_of(model)
    work = Work(
        frames=profile.frames,
        height=profile.height,
        width=profile.width,
        memory=running.memory,
        known=1,
        text_tokens=profile.text_length,
    )
    for placement in allowed(running.recipe):
        needed = peak(
            sizes, work, placement, precision=running.precision, batch_guidance=profile.batch_guidance, tiling=running.tiling
        ).device_bytes
        if MARGIN * needed + CONTEXT_BYTES <= device_bytes:
            return placement
    return allowed(running.recipe)[-1]


def allowed(recipe: Recipe) -> tuple[Placement, ...]:
    """Placements that a recipe can have: blocks of 8-bit floats cannot be fetched one by one."""
    return PLACEMENTS[:-1] if recipe == "fp8" else PLACEMENTS
