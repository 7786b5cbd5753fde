"""Reads tests/oracle: tiny weights and the numbers that the published code computed with them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors.torch import load_file

from storymem import condition, layouts
from storymem.latents import Latents

FOLDER = Path(__file__).parent.parent / "oracle"


@cache
def tensors(name: str) -> dict[str, torch.Tensor]:
    return load_file(FOLDER / f"{name}.safetensors")


@cache
def facts(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def part(name: str, prefix: str) -> dict[str, torch.Tensor]:
    """The tensors of a file whose names start with `prefix.`, without it."""
    return {key.removeprefix(prefix + "."): value for key, value in tensors(name).items() if key.startswith(prefix + ".")}


def transformer(name: str, prefix: str, config: dict[str, Any]) -> WanTransformer3DModel:
    model = WanTransformer3DModel(**layouts.transformer_config(config)).eval()
    model.load_state_dict(layouts.transformer_from_original(part(name, prefix)), strict=True)
    return model


@cache
def latents() -> Latents:
    fact = facts("vae")
    vae = AutoencoderKLWan(
        base_dim=fact["dim"],
        z_dim=fact["z_dim"],
        dim_mult=fact["dim_mult"],
        num_res_blocks=fact["num_res_blocks"],
        temperal_downsample=fact["temperal_downsample"],
        latents_mean=fact["latents_mean"],
        latents_std=fact["latents_std"],
    ).eval()
    vae.load_state_dict(layouts.vae_from_original(part("vae", "sd"), num_res_blocks=fact["num_res_blocks"]), strict=True)
    return Latents(vae)


def padded(context: torch.Tensor, length: int) -> torch.Tensor:
    return torch.cat([context, context.new_zeros(length - context.shape[0], context.shape[1])])


def condition_channels(
    memory: list[torch.Tensor],
    first: torch.Tensor | None = None,
    *,
    frames: int,
    size: tuple[int, int],
    first_is_lost: bool = False,
    trusted: int | None = None,
) -> torch.Tensor:
    """Condition channels from images: memory (H, W, 3) each of its size, first (k, H, W, 3), all uint8."""
    vae = latents()
    images = torch.cat([condition.resize(condition.to_model_range(image[None]), *size) for image in memory])
    video = vae.encode_blank(frames, *size)
    if first is not None and not first_is_lost:
        known = condition.resize(condition.to_model_range(first), *size).transpose(0, 1)[None]
        video = vae.encode(condition.known_video(known, frames, *size))
    return condition.condition(
        video[0],
        memory_latents=vae.encode_images(images)[0],
        frames=frames,
        known=0 if first is None else len(first),
        trusted=trusted,
    )


def rel_l2(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float((found.double() - expected.double()).norm() / expected.double().norm())
