"""What the transformer is told about known frames: masks, and the condition latents that stand beside the noise.

The transformer reads 36 channels: 16 noisy ones, 4 of mask, 16 of condition, in this order. Along time the M memory
latents come first, each holding one image, then the f = (F-1)/4 + 1 latents of the F video frames:

    time        | memory 1 … M         | video 0 … f-1
    mask        | 1                    | 1 on known first (MI2V) or motion (MM2V) frames, else 0
    condition   | latents of memory    | latents of a video that is zero but for the known frames
    noisy       | noise, dropped after | noise, becomes the video

Text-to-video on a 36-channel transformer is a zero mask and a zero condition. Everything here is arithmetic on tensors;
encoding is `latents.py`. Source: arXiv 2512.19539, section 3; the mask layout is Wan's image-to-video.

Shapes: B batch, C channels, F video frames, f latent frames, M memory frames, T = M + f, h, w latent height and width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

TEMPORAL_STRIDE = 4  # video frames per latent frame
LATENT_CHANNELS = 16
CONDITION_CHANNELS = TEMPORAL_STRIDE + LATENT_CHANNELS


def latent_frames(frames: int) -> int:
    """Latent frames of `frames` video frames.

    Raises:
        ValueError: If frames is not 1 + 4k.

    Example:
        >>> latent_frames(81), latent_frames(17), latent_frames(1)
        (21, 5, 1)
    """
    if frames < 1 or (frames - 1) % TEMPORAL_STRIDE:
        raise ValueError(f"{frames} frames; expected 1 + a multiple of {TEMPORAL_STRIDE}")
    return (frames - 1) // TEMPORAL_STRIDE + 1


def frame_mask(memory: int, frames: int, *, known: int = 0, trusted: int | None = None) -> torch.Tensor:
    """Mask per frame, (M + F,): 1 on memory and on the first `known` video frames, 0 elsewhere.

    Args:
        memory: M, number of memory frames.
        frames: F, number of video frames.
        known: Video frames that are given: 0 (M2V), 1 (MI2V), 5 (MM2V).
        trusted: If given, memory from this index on is marked 2 instead of 1 (an unused mode of the first release).

    Example:
        >>> frame_mask(2, 5, known=1).tolist()
        [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    mask = torch.zeros(memory + frames)
    mask[: memory + known] = 1.0
    if trusted is not None:
        mask[trusted:memory] = 2.0
    return mask


def fold_mask(mask_BF: torch.Tensor, memory: int) -> torch.Tensor:
    """Fold a mask per frame into one per latent frame: (B, M + F) → (B, 4, T); (M + F,) → (4, T).

    Memory frames and the first video frame fill a latent frame alone, so their entries are repeated 4 times.

    Example:
        >>> fold_mask(frame_mask(1, 5, known=1), memory=1).tolist()[0]
        [1.0, 1.0, 0.0]
    """
    alone = memory + 1
    unfolded = torch.cat([mask_BF[..., :alone].repeat_interleave(TEMPORAL_STRIDE, dim=-1), mask_BF[..., alone:]], dim=-1)
    return unfolded.unflatten(-1, (-1, TEMPORAL_STRIDE)).transpose(-1, -2)


def spread_mask(mask_BcT: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Repeat a folded mask over the latent picture: (…, 4, T) → (…, 4, T, h, w)."""
    return mask_BcT[..., None, None].expand(*mask_BcT.shape, height, width)


def condition(
    video_latents: torch.Tensor,
    *,
    memory_latents: torch.Tensor | None = None,
    frames: int,
    known: int | torch.Tensor = 0,
    trusted: int | None = None,
) -> torch.Tensor:
    """The 20 condition channels of M2V, MI2V, MM2V and I2V, batched or not.

    Args:
        video_latents: (B, 16, f, h, w) or (16, f, h, w): normalised latents of the video that is zero but for known frames.
        memory_latents: (B, 16, M, h, w) or (16, M, h, w): normalised latents of the memory images, oldest first; or None.
        frames: F, video frames.
        known: How many first video frames are given; one number, or (B,) integers for a mixed training batch.
        trusted: See `frame_mask`.

    Returns:
        (B, 20, T, h, w) or (20, T, h, w): mask, then latents; memory before video.
    """
    latents = video_latents if memory_latents is None else torch.cat([memory_latents.to(video_latents), video_latents], dim=-3)
    memory = 0 if memory_latents is None else memory_latents.shape[-3]
    if isinstance(known, torch.Tensor):
        mask = torch.stack([frame_mask(memory, frames, known=int(count), trusted=trusted) for count in known])
    else:
        mask = frame_mask(memory, frames, known=known, trusted=trusted)
        if latents.ndim == 5:
            mask = mask.expand(latents.shape[0], -1)
    folded = spread_mask(fold_mask(mask, memory), *latents.shape[-2:])
    return torch.cat([folded.to(latents), latents], dim=-4)


def no_condition(like: torch.Tensor) -> torch.Tensor:
    """The 20 condition channels of text-to-video: zeros beside latents (…, 16, f, h, w)."""
    return like.new_zeros(*like.shape[:-4], CONDITION_CHANNELS, *like.shape[-3:])


def known_video(first: torch.Tensor | None, frames: int, height: int, width: int) -> torch.Tensor:
    """The video that is zero (mid-grey) but for the given first frames, ready for the VAE.

    Args:
        first: (B, 3, k, H, W) in -1 … 1: one frame (MI2V) or the motion frames (MM2V); None for M2V (then B is 1).
        frames: F ≥ k.
        height: H in pixels.
        width: W in pixels.

    Returns:
        (B, 3, F, H, W).
    """
    if first is None:
        return torch.zeros(1, 3, frames, height, width)
    rest = first.new_zeros(first.shape[0], 3, frames - first.shape[2], height, width)
    return torch.cat([first, rest], dim=2)


def to_model_range(images_FHWC: torch.Tensor) -> torch.Tensor:
    """uint8 (F, H, W, 3) → float32 (F, 3, H, W) in -1 … 1."""
    return images_FHWC.permute(0, 3, 1, 2).to(torch.float32).div(255.0).sub(0.5).div(0.5)


def resize(images_FCHW: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bicubic, no antialias, no clamp: as published, and the identity when the size is right already."""
    return functional.interpolate(images_FCHW, size=(height, width), mode="bicubic", align_corners=False, antialias=False)


def crop_to_aspect(images_FHWC: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of pictures (F, H', W', 3) with the shape of `height` to `width`, so that a resize does not distort.

    Example:
        >>> crop_to_aspect(np.zeros((1, 100, 100, 3), np.uint8), 48, 80).shape
        (1, 60, 100, 3)
    """
    rows, columns = images_FHWC.shape[1:3]
    kept_rows, kept_columns = min(rows, round(columns * height / width)), min(columns, round(rows * width / height))
    top, left = (rows - kept_rows) // 2, (columns - kept_columns) // 2
    return images_FHWC[:, top : top + max(kept_rows, 1), left : left + max(kept_columns, 1)]


def fit_area(height: int, width: int, max_area: int, *, spatial_stride: int = 8, patch: int = 2) -> tuple[int, int]:
    """Video size for an image of this aspect ratio: near `max_area` pixels, a whole number of patches.

    Source: Wan's image-to-video, which the published code applies to the first memory image.

    Example:
        >>> fit_area(48, 64, 3072)
        (48, 64)
        >>> fit_area(720, 1280, 832 * 480)
        (464, 832)
    """
    aspect = height / width
    unit = spatial_stride * patch
    rows = round((max_area * aspect) ** 0.5 // spatial_stride // patch) * unit
    columns = round((max_area / aspect) ** 0.5 // spatial_stride // patch) * unit
    return int(rows), int(columns)


def unpack(frames_CFHW: torch.Tensor) -> torch.Tensor:
    """Decoded video (3, F, H, W) in -1 … 1 → uint8 (F, H, W, 3), rounded."""
    return frames_CFHW.permute(1, 2, 3, 0).float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
