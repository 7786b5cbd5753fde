"""The sampling loop: noise to latents.

Rectified flow, solved with UniPC (or DPM++) from diffusers. Wan2.2 has two experts: one for high noise (t at or above
`boundary` * 1000) and one for the rest, each with its own guidance. The memory slots carry noise and are denoised like
the video; the caller drops them before decoding.

The schedule is the published one: `linspace(0.999, 0)` (the 0.999 a float32), then the flow shift. diffusers' own default
for flow sigmas differs, and visibly so.

Shapes: C channels, T latent frames (memory, then video), h, w latent size, L text tokens, D text channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from storymem.positions import positions_set

Solver = Literal["unipc", "dpm++"]
TRAIN_TIMESTEPS = 1000


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to sample: everything but the models and the inputs."""

    steps: int
    shift: float
    guidance: tuple[float, float]  # low-noise expert, high-noise expert
    boundary: float | None = None  # of 1; None: one expert
    solver: Solver = "unipc"
    batch_guidance: bool = False  # with and without the prompt in one batch: faster for small models


@dataclass(frozen=True, kw_only=True)
class Experts:
    """The transformers: `low` is None where one does everything."""

    high: Any
    low: Any | None = None
    ready: Callable[[Any], AbstractContextManager[Any]] = nullcontext  # makes an expert usable, e.g. moves it to the GPU


def flow_schedule(steps: int, shift: float, solver: Solver = "unipc") -> Any:
    """A diffusers scheduler with the published sigmas and integer timesteps set.

    Example:
        >>> flow_schedule(4, 4.0).timesteps.tolist()
        [999, 922, 799, 571]
        >>> flow_schedule(4, 4.0, "dpm++").timesteps.tolist()
        [1000, 923, 800, 571]
    """
    from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

    common: dict[str, Any] = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "num_train_timesteps": TRAIN_TIMESTEPS}
    if solver == "unipc":
        scheduler = UniPCMultistepScheduler(**common, flow_shift=shift)
        scheduler.set_timesteps(sigmas=np.linspace(float(np.float32(0.999)), 0, steps + 1)[:-1])
        return scheduler
    scheduler = DPMSolverMultistepScheduler(**common, algorithm_type="dpmsolver++")
    scheduler.set_timesteps(steps)
    plain = np.linspace(1, 0, steps + 1)[:-1]
    shifted = shift * plain / (1 + (shift - 1) * plain)
    scheduler.sigmas = torch.from_numpy(np.append(shifted, 0.0).astype(np.float32))
    scheduler.timesteps = torch.from_numpy((shifted * TRAIN_TIMESTEPS).astype(np.int64))
    return scheduler


def draw_noise(shape: Sequence[int], seed: int) -> torch.Tensor:
    """Standard normal noise, float32, drawn on the CPU so that every device starts from the same."""
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)


def predict(transformer: Any, latents: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor, *, which: str = "given") -> torch.Tensor:
    """Velocity (B, 16, T, h, w) float32 for latents (B, C, T, h, w) and text (B, L, D).

    `which` pass it is ("given" or "free" of the prompt) tells a transformer that caches (`storymem.recipes`) what to compare with.
    """
    times = timestep.to(latents.device).expand(latents.shape[0])
    with transformer.cache_context(which) if _caches(transformer) else nullcontext():
        out = transformer(
            hidden_states=latents.to(transformer.dtype),
            timestep=times,
            encoder_hidden_states=text.to(transformer.dtype),
            return_dict=False,
        )
    return torch.as_tensor(out[0]).float()


def _caches(transformer: Any) -> bool:
    return bool(getattr(transformer, "is_cache_enabled", False))


@torch.no_grad()
def denoise(
    experts: Experts,
    noise: torch.Tensor,
    *,
    condition: torch.Tensor | None,
    text: torch.Tensor,
    negative: torch.Tensor,
    positions: Sequence[float],
    sampling: Sampling,
    on_step: Callable[[int, int, torch.Tensor], None] | None = None,
    on_expert: Callable[[str], None] | None = None,
) -> torch.Tensor:
    """Sample latents.

    Args:
        experts: The transformers.
        noise: (16, T, h, w), on the device to work on.
        condition: (20, T, h, w) mask and condition latents; None for a transformer that takes 16 channels.
        text: (L, D) prompt embedding, zero-padded; the padding is attended.
        negative: (L, D) negative prompt embedding.
        positions: T temporal positions.
        sampling: Steps, shift, guidance, boundary, solver.
        on_step: Called before each step with (step, steps, latents).
        on_expert: Called before each step with the expert that makes it: "high", "low", or "only" where there is one.

    Returns:
        (16, T, h, w) float32, memory slots included.
    """
    scheduler = flow_schedule(sampling.steps, sampling.shift, sampling.solver)
    latents = noise
    for one in (experts.high, experts.low):
        if one is not None and _caches(one):
            one._reset_stateful_cache()  # nothing of the shot before
    for step, timestep in enumerate(scheduler.timesteps):
        if on_step:
            on_step(step, sampling.steps, latents)
        is_low = experts.low is not None and sampling.boundary is not None and timestep < sampling.boundary * TRAIN_TIMESTEPS
        expert = experts.low if is_low else experts.high
        guidance = sampling.guidance[0 if is_low else 1]
        if on_expert:
            on_expert("only" if experts.low is None else "low" if is_low else "high")
        inputs = latents if condition is None else torch.cat([latents, condition.to(latents)], dim=0)
        with experts.ready(expert) as _, positions_set(expert, positions):
            if guidance == 1.0:
                velocity = predict(expert, inputs[None], timestep, text[None])[0]
            elif sampling.batch_guidance:
                given, free = predict(expert, torch.stack([inputs, inputs]), timestep, torch.stack([text, negative]))
                velocity = free + guidance * (given - free)
            else:
                given = predict(expert, inputs[None], timestep, text[None])[0]
                free = predict(expert, inputs[None], timestep, negative[None], which="free")[0]
                velocity = free + guidance * (given - free)
        latents = scheduler.step(velocity[None], timestep, latents[None], return_dict=False)[0][0]
    return latents
