"""The world's VAE: `AutoencoderKLWan`, stride 4×8×8, 16 latent channels, half a million parameters.

What limits everything after it: a look that does not survive encode-decode cannot be remembered. So the loss counts the
character's pixels more than the place's, the KL weight is only there to keep the latents bounded, and training sees
short windows first (cheap steps) and whole clips later.

A second stage (`refine_decoder`) trains the decoder alone. The latents stay as they are, so it can run beside the training of the
base model, and it blurs its input a little, since what the decoder gets at test time was made by a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from storymem.training.data import Clips, rendered_clips
from storymem.training.loop import LoopSettings, draw_curve, run_loop
from storymem.training.optim import Optimizers
from storymem.training.precision import mixed
from storymem.whole_clip import decode_unclamped, encode_moments, use_whole_clips

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

    from storymem.training.latent_data import LatentClips

CONFIG = {
    "base_dim": 32,
    "z_dim": 16,
    "dim_mult": [1, 1, 1],
    "num_res_blocks": 0,
    "attn_scales": [],
    "temperal_downsample": [True, True],
    "is_residual": True,
    "patch_size": 2,
    "in_channels": 12,
    "out_channels": 12,
    "scale_factor_spatial": 8,
    "scale_factor_temporal": 4,
    "latents_mean": [0.0] * 16,
    "latents_std": [1.0] * 16,
}
KL_WEIGHT, MASK_WEIGHT = 1e-5, 3.0
REFINE_NOISE = 0.1  # standard deviations of a latent that the refined decoder should forgive
REFINE_PREFIXES = (1, 2, 3, 5)  # latent frames decoded: the decoder is causal, so the first ones stand alone


def build_vae(seed: int = 0) -> AutoencoderKLWan:
    """A fresh VAE; the log-variance starts low, so that early steps are not drowned in noise."""
    from diffusers import AutoencoderKLWan

    torch.manual_seed(seed)
    vae = AutoencoderKLWan(**CONFIG)
    z = vae.config.z_dim
    with torch.no_grad():
        vae.quant_conv.bias[z:] = -6.0
        vae.quant_conv.weight[z:] *= 0.1
        vae.quant_conv.weight[:z] *= 2.0
    return vae


def to_video(frames: np.ndarray) -> torch.Tensor:
    """(B, F, H, W, 3) uint8 → (B, 3, F, H, W) float in -1..1."""
    return torch.from_numpy(np.array(frames)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def _batch(clips: Clips, rng: np.random.Generator, *, window: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    index = rng.integers(len(clips.truths), size=size)
    start = rng.integers(0, 17 - window + 1, size=size)
    frames = np.stack([clips.frames[i, s : s + window] for i, s in zip(index, start, strict=True)])
    masks = np.stack([clips.masks[i, s : s + window] for i, s in zip(index, start, strict=True)])
    return to_video(frames), torch.from_numpy(masks)[:, None].float()


def train_vae(out: Path, *, steps: int, seed: int = 0, clips: int = 6000, data: Path) -> AutoencoderKLWan:
    """Train, then measure the latents' mean and deviation into the config. Returns the VAE in whole-clip mode."""
    vae = use_whole_clips(build_vae(seed))
    source = rendered_clips(data, clips)
    optim = Optimizers(vae, muon_lr=0.02, adam_lr=2.5e-3, steps=steps, decay=0.6)

    def step(k: int, rng: np.random.Generator, noise: torch.Generator) -> tuple[torch.Tensor, Mapping[str, float]]:
        whole = k > 0.3 * steps and rng.random() < 0.35
        video, mask = _batch(source, rng, window=17 if whole else 5, size=3 if whole else 8)
        mean, logvar = encode_moments(vae, video).chunk(2, dim=1)
        logvar = logvar.clamp(-20, 10)
        z = mean + (0.5 * logvar).exp() * torch.randn(mean.shape, generator=noise)
        error = decode_unclamped(vae, z) - video
        weight = 1 + MASK_WEIGHT * mask
        loss = (weight * (error.abs() + error.square())).mean()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        psnr = _decibels(error.detach().square().mean() / 4)
        return loss + KL_WEIGHT * kl, {"psnr": psnr, "kl": float(kl.detach()), "z_std": float(mean.detach().std())}

    run_loop(vae, optim, step, LoopSettings(out=out, steps=steps, seed=seed))
    draw_curve(out, title="world VAE")
    measure_latents(vae, source)
    return vae


def refine_decoder(
    vae: AutoencoderKLWan, out: Path, latents: LatentClips, *, steps: int, seed: int = 0, data: Path, pixels: int = 48
) -> AutoencoderKLWan:
    """Train the decoder of `vae` further on fixed latents; `pixels` is about the video frames in a batch."""
    vae = use_whole_clips(vae)
    vae.requires_grad_(False)
    vae.decoder.requires_grad_(True)
    vae.post_quant_conv.requires_grad_(True)
    source = rendered_clips(data, len(latents.truths))
    mean, std = (torch.tensor(values).view(1, -1, 1, 1, 1) for values in (vae.config.latents_mean, vae.config.latents_std))
    optim = Optimizers(vae, muon_lr=0.01, adam_lr=1e-3, steps=steps, decay=0.7)

    def step(k: int, rng: np.random.Generator, noise: torch.Generator) -> tuple[torch.Tensor, Mapping[str, float]]:
        prefix = int(rng.choice(REFINE_PREFIXES))
        frames = 4 * (prefix - 1) + 1
        index = np.sort(rng.integers(len(latents.truths), size=max(2, pixels // frames)))
        z = latents.video[index][:, :, :prefix]
        z = z + REFINE_NOISE * torch.rand(len(index), 1, 1, 1, 1, generator=noise) * torch.randn(z.shape, generator=noise)
        video, mask = to_video(source.frames[index, :frames]), torch.from_numpy(source.masks[index, :frames])[:, None].float()
        with mixed():
            error = decode_unclamped(vae, z * std + mean).float() - video
        loss = ((1 + MASK_WEIGHT * mask) * (error.abs() + error.square())).mean()
        squares = error.detach().square() / 4
        return loss, {"psnr": _decibels(squares.mean()), "psnr_character": _decibels(_masked_mean(squares, mask))}

    run_loop(vae, optim, step, LoopSettings(out=out, steps=steps, seed=seed))
    draw_curve(out, title="world VAE, decoder alone")
    return vae


def _decibels(mean_square: torch.Tensor) -> float:
    return float(-10 * torch.log10(mean_square))


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (values * mask).sum() / (mask.sum() * values.shape[1]).clamp(min=1)


@torch.no_grad()
def measure_latents(vae: AutoencoderKLWan, clips: Clips, count: int = 256) -> None:
    """Write the per-channel mean and standard deviation of latents into the VAE's config."""
    z = torch.cat(
        [encode_moments(vae, to_video(clips.frames[i : i + 16])).chunk(2, 1)[0] for i in range(0, min(count, len(clips.truths)), 16)]
    )
    vae.register_to_config(latents_mean=z.mean((0, 2, 3, 4)).tolist(), latents_std=z.std((0, 2, 3, 4)).tolist())
