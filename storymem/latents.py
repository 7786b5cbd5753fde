"""The VAE, thin: videos in -1 … 1 to normalised latents and back.

The mode of the posterior, no sampling; mean and standard deviation per channel come from the VAE's own config and are
applied here, once. Memory images are encoded one by one: a still image is one latent frame, with no temporal context.

Shapes: B batch, F frames, f latent frames, H, W pixels, h, w latent pixels.
"""

from __future__ import annotations

from typing import Any

import torch


def normalise(latents: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """(latents - mean) / std per channel; latents (B, C, f, h, w), mean and std (C,)."""
    return (latents - _per_channel(mean, latents)) / _per_channel(std, latents)


def denormalise(latents: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Latents * std + mean per channel; the inverse of `normalise`."""
    return latents * _per_channel(std, latents) + _per_channel(mean, latents)


def _per_channel(values: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    return values.to(latents).reshape(1, -1, 1, 1, 1)


class Latents:
    """Encode and decode with one `AutoencoderKLWan`.

    Args:
        vae: The VAE, already on its device.
    """

    def __init__(self, vae: Any):
        self.vae = vae
        self.mean = torch.tensor(vae.config.latents_mean, dtype=torch.float32)
        self.std = torch.tensor(vae.config.latents_std, dtype=torch.float32)
        self._blank: dict[tuple[int, ...], torch.Tensor] = {}

    @property
    def spatial_stride(self) -> int:
        """Pixels per latent pixel, per side."""
        halvings = len(self.vae.config.dim_mult) - 1
        return int(2**halvings * (self.vae.config.patch_size or 1))

    @torch.no_grad()
    def encode(self, video: torch.Tensor) -> torch.Tensor:
        """(B, 3, F, H, W) in -1 … 1 → normalised latents (B, 16, f, h, w), float32."""
        latents = self.vae.encode(video.to(self.vae.device, self.vae.dtype)).latent_dist.mode()
        return normalise(latents.float(), self.mean, self.std)

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """M images (M, 3, H, W) in -1 … 1 → (1, 16, M, h, w): one latent frame each."""
        return self.encode(images[:, :, None]).squeeze(2).transpose(0, 1)[None]

    def encode_blank(self, frames: int, height: int, width: int) -> torch.Tensor:
        """Latents of the all-zero video, (1, 16, f, h, w); computed once per size."""
        size = (frames, height, width)
        if size not in self._blank:
            self._blank[size] = self.encode(torch.zeros(1, 3, *size))
        return self._blank[size]

    def forget_blank(self) -> None:
        """Free the latents of all-zero videos."""
        self._blank.clear()

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Normalised latents (B, 16, f, h, w) → video (B, 3, F, H, W), clamped to -1 … 1."""
        raw = denormalise(latents.float(), self.mean, self.std)
        return self.vae.decode(raw.to(self.vae.device, self.vae.dtype), return_dict=False)[0].float().clamp(-1, 1)
