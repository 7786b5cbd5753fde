"""The Wan VAE on a whole clip at once, without its chunk-by-chunk feature cache.

diffusers encodes and decodes in chunks of four frames so that long videos fit in memory. For short clips one pass is
faster and can be trained through. The result is the same: the causal convolutions pad the start with zeros either way,
and the temporal resamplers treat the first frame apart either way (tests hold the two against each other).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanResample, patchify, unpatchify

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan


class _WholeClipResample(WanResample):
    """`WanResample` as the chunked pass applies it to a whole clip: the first frame is never resampled in time."""

    def forward(self, x: torch.Tensor, feat_cache: object = None, feat_idx: object = None) -> torch.Tensor:
        if self.mode == "upsample3d" and x.shape[2] > 1:
            first, rest = x[:, :, :1], self.time_conv(x[:, :, 1:])
            b, c2, t, h, w = rest.shape
            rest = rest.reshape(b, 2, c2 // 2, t, h, w).permute(0, 2, 3, 1, 4, 5).reshape(b, c2 // 2, 2 * t, h, w)
            x = torch.cat([first, rest], 2)
        b, c, t, h, w = x.shape
        x = self.resample(x.permute(0, 2, 1, 3, 4).reshape(b * t, c, h, w))
        x = x.view(b, t, *x.shape[1:]).permute(0, 2, 1, 3, 4)
        if self.mode == "downsample3d" and x.shape[2] > 1:
            x = torch.cat([x[:, :, :1], self.time_conv(x)], 2)
        return x


def use_whole_clips(vae: AutoencoderKLWan) -> AutoencoderKLWan:
    """Switch the resamplers of `vae` to whole-clip mode, in place. Its own chunked `encode`/`decode` must not be used after."""
    for module in vae.modules():
        if isinstance(module, WanResample):
            module.__class__ = _WholeClipResample
    return vae


def encode_moments(vae: AutoencoderKLWan, video: torch.Tensor) -> torch.Tensor:
    """(B, 3, 1 + 4k, H, W) in -1..1 → (B, 2·z, 1 + k, h, w): mean and log-variance, not normalised."""
    if vae.config.patch_size is not None:
        video = patchify(video, vae.config.patch_size)
    return vae.quant_conv(vae.encoder(video))


def decode_unclamped(vae: AutoencoderKLWan, z: torch.Tensor) -> torch.Tensor:
    """(B, z, 1 + k, h, w) → (B, 3, 1 + 4k, H, W), not clamped (clamping stops gradients)."""
    video = vae.decoder(vae.post_quant_conv(z), first_chunk=True)
    return unpatchify(video, vae.config.patch_size) if vae.config.patch_size is not None else video
