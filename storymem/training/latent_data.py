"""Latents of the rendered clips, encoded once: what the transformer is trained on.

Per clip: the video's latents, the latents of "first frame, then zeros" (the image-to-video condition as Wan builds it),
and single-frame latents of some of its frames (what memory holds).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from stbench.world.spec import ShotTruth
from storymem.latents import normalise
from storymem.training.data import rendered_clips
from storymem.training.vae import to_video
from storymem.whole_clip import encode_moments, use_whole_clips

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

MEMORY_FRAMES = (0, 5, 10, 16)  # of each clip, as candidates for memory


class LatentClips(NamedTuple):
    """Normalised latents, float32 in memory; N clips, K memory candidates each."""

    truths: list[ShotTruth]
    video: torch.Tensor  # (N, 16, 5, 6, 10)
    first: torch.Tensor  # (N, 16, 5, 6, 10): first frame known, the rest zero
    memory: torch.Tensor  # (N, K, 16, 6, 10)
    mask: torch.Tensor  # (N, 5, 6, 10): share of each latent cell that the character covers
    blank: torch.Tensor  # (1, 16, 5, 6, 10): the all-zero video


def _encode(vae: AutoencoderKLWan, video: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor(vae.config.latents_mean), torch.tensor(vae.config.latents_std)
    return normalise(encode_moments(vae, video).chunk(2, 1)[0], mean, std)


def _cover(masks: np.ndarray) -> torch.Tensor:
    """(B, 17, 48, 80) bool → (B, 5, 6, 10): mean over each latent cell's pixels and frames."""
    cells = torch.from_numpy(masks).float().unflatten(3, (10, 8)).unflatten(2, (6, 8)).mean((3, 5))
    return torch.cat([cells[:, :1], cells[:, 1:].unflatten(1, (4, 4)).mean(2)], 1)


@torch.no_grad()
def latent_clips(vae: AutoencoderKLWan, folder: Path, count: int, *, seed: int = 0) -> LatentClips:
    """Encode `count` rendered clips with `vae`, or open what an earlier call left in `folder`."""
    clips = rendered_clips(folder, count, seed=seed)
    path = folder / f"latents-{count}-{seed}.safetensors"
    if not path.exists():
        use_whole_clips(vae)
        parts: dict[str, list[torch.Tensor]] = {"video": [], "first": [], "memory": [], "mask": []}
        for i in range(0, count, 16):
            video = to_video(clips.frames[i : i + 16])
            known = torch.cat([video[:, :, :1], torch.zeros_like(video[:, :, 1:])], 2)
            stills = video[:, :, list(MEMORY_FRAMES)].transpose(1, 2).flatten(0, 1)[:, :, None]
            parts["video"].append(_encode(vae, video))
            parts["first"].append(_encode(vae, known))
            parts["memory"].append(_encode(vae, stills)[:, :, 0].unflatten(0, (-1, len(MEMORY_FRAMES))))
            parts["mask"].append(_cover(clips.masks[i : i + 16]))
        blank = _encode(vae, torch.zeros_like(video[:1]))
        save_file({k: torch.cat(v).contiguous() for k, v in parts.items()} | {"blank": blank.contiguous()}, path)
    return LatentClips(clips.truths, **load_file(path))
