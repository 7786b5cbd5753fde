"""The VAE in one pass equals the VAE in chunks."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import AutoencoderKLWan

from storymem.whole_clip import decode_unclamped, encode_moments, use_whole_clips

SHAPES = {
    "residual, patched": {
        "dim_mult": [1, 1, 1],
        "num_res_blocks": 0,
        "temperal_downsample": [True, True],
        "is_residual": True,
        "patch_size": 2,
        "in_channels": 12,
        "out_channels": 12,
    },
    "as Wan2.1": {"dim_mult": [1, 2, 2, 2], "num_res_blocks": 1, "temperal_downsample": [False, True, True]},
}


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_one_pass_equals_chunks(kind: str) -> None:
    torch.manual_seed(0)
    vae = AutoencoderKLWan(base_dim=8, z_dim=4, attn_scales=[], latents_mean=[0.0] * 4, latents_std=[1.0] * 4, **SHAPES[kind]).eval()
    whole = use_whole_clips(copy.deepcopy(vae))
    video = torch.randn(2, 3, 17, 16, 32) * 0.3
    with torch.no_grad():
        mean = vae.encode(video).latent_dist.mode()
        torch.testing.assert_close(encode_moments(whole, video)[:, :4], mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(decode_unclamped(whole, mean).clamp(-1, 1), vae.decode(mean).sample, atol=1e-5, rtol=1e-4)
