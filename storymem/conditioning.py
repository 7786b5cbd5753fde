"""From images to condition channels: the VAE and `condition.py` put together, and the one quirk of the first release.

The generator makes every shot's channels here, and `stbench verify` holds exactly this against the published numbers.

Shapes: M memory images, k known frames, F frames, H, W pixels, T = M + f latent frames, h, w latent size.
"""

from __future__ import annotations

import torch

from storymem import condition
from storymem.latents import Latents
from storymem.positions import Variant


def first_is_lost(variant: Variant, known: int) -> bool:
    """Whether a single known first frame is forgotten: the first release encodes it, then overwrites it, but keeps its mask.

    Example:
        >>> first_is_lost("release-2025-12", 1), first_is_lost("release-2025-12", 5), first_is_lost("paper", 1)
        (True, False, False)
    """
    return variant == "release-2025-12" and known == 1


def channels(
    latents: Latents,
    *,
    frames: int,
    size: tuple[int, int],
    memory: torch.Tensor | None = None,
    known: torch.Tensor | None = None,
    lost: bool = False,
    trusted: int | None = None,
) -> torch.Tensor:
    """The 20 condition channels of one shot.

    Args:
        latents: The VAE.
        frames: F.
        size: Height and width in pixels.
        memory: (16, M, h, w) latents of the memory images, oldest first; None: no memory.
        known: (k, 3, H, W) in -1 … 1: the first frame or the motion frames, at the right size; None: none.
        lost: See `first_is_lost`.
        trusted: See `condition.frame_mask`.

    Returns:
        (20, T, h, w) float32: mask, then latents; memory before video.
    """
    if known is None or lost:
        video = latents.encode_blank(frames, *size)
    else:
        video = latents.encode(condition.known_video(known.transpose(0, 1)[None], frames, *size))
    count = 0 if known is None else len(known)
    return condition.condition(video[0], memory_latents=memory, frames=frames, known=count, trusted=trusted)
