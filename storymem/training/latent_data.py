"""Latents of the rendered clips, encoded once: what the transformer is trained on.

Per clip: the video's latents, the latents of "first frame, then zeros" and of "first five frames, then zeros" (the conditions as
Wan builds them), and single-frame latents of some of its frames (what memory holds). Half of those frames are taken from the
clip after encode-decode: a memory frame at test time is a picture that the VAE has made.
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
from storymem.training.precision import mixed
from storymem.training.vae import to_video
from storymem.whole_clip import decode_unclamped, encode_moments, use_whole_clips

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

MEMORY_FRAMES = (0, 5, 10, 16)  # of each clip, as candidates for memory: as rendered, and again as the VAE makes them
MOTION_FRAMES = 5


class LatentClips(NamedTuple):
    """Normalised latents, float32 in memory; N clips, K memory candidates each."""

    truths: list[ShotTruth]
    video: torch.Tensor  # (N, 16, 5, 6, 10)
    first: torch.Tensor  # (N, 16, 5, 6, 10): first frame known, the rest zero
    motion: torch.Tensor  # (N, 16, 5, 6, 10): the first five frames known, the rest zero
    memory: torch.Tensor  # (N, K, 16, 6, 10)
    mask: torch.Tensor  # (N, 5, 6, 10): share of each latent cell that the character covers
    blank: torch.Tensor  # (1, 16, 5, 6, 10): the all-zero video


def _encode(vae: AutoencoderKLWan, video: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor(vae.config.latents_mean), torch.tensor(vae.config.latents_std)
    with mixed():
        moments = encode_moments(vae, video).float()
    return normalise(moments.chunk(2, 1)[0], mean, std)


def _cover(masks: np.ndarray) -> torch.Tensor:
    """(B, 17, 48, 80) bool → (B, 5, 6, 10): mean over each latent cell's pixels and frames."""
    cells = torch.from_numpy(masks).float().unflatten(3, (10, 8)).unflatten(2, (6, 8)).mean((3, 5))
    return torch.cat([cells[:, :1], cells[:, 1:].unflatten(1, (4, 4)).mean(2)], 1)


def _known(video: torch.Tensor, count: int) -> torch.Tensor:
    return torch.cat([video[:, :, :count], torch.zeros_like(video[:, :, count:])], 2)


def _stills(vae: AutoencoderKLWan, video: torch.Tensor) -> torch.Tensor:
    """Latents of single frames, (B, K, 16, 6, 10): of the clip as it is, then of its reconstruction."""
    with mixed():
        again = decode_unclamped(vae, encode_moments(vae, video).chunk(2, 1)[0]).float().clamp(-1, 1)
    frames = torch.cat([part[:, :, list(MEMORY_FRAMES)] for part in (video, again)], 2)
    return _encode(vae, frames.transpose(1, 2).flatten(0, 1)[:, :, None])[:, :, 0].unflatten(0, (len(video), -1))


@torch.no_grad()
def latent_clips(vae: AutoencoderKLWan, folder: Path, count: int, *, seed: int = 0) -> LatentClips:
    """Encode `count` rendered clips with `vae`, or open what an earlier call left in `folder`."""
    clips = rendered_clips(folder, count, seed=seed)
    path = folder / f"latents-{count}-{seed}.safetensors"
    if not path.exists():
        use_whole_clips(vae)
        parts: dict[str, list[torch.Tensor]] = {"video": [], "first": [], "motion": [], "memory": [], "mask": []}
        for i in range(0, count, 16):
            video = to_video(clips.frames[i : i + 16])
            parts["video"].append(_encode(vae, video))
            parts["first"].append(_encode(vae, _known(video, 1)))
            parts["motion"].append(_encode(vae, _known(video, MOTION_FRAMES)))
            parts["memory"].append(_stills(vae, video))
            parts["mask"].append(_cover(clips.masks[i : i + 16]))
        blank = _encode(vae, torch.zeros_like(video[:1]))
        save_file({k: torch.cat(v).contiguous() for k, v in parts.items()} | {"blank": blank.contiguous()}, path)
    return LatentClips(clips.truths, **load_file(path))
