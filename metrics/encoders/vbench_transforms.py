"""Frames to network input, bit-equal to VBench's two transforms.

VBench reads frames as float32 in 0..255 for subject and background consistency and for aesthetic quality, so the bicubic resize may leave
that range; for overall consistency it resizes uint8, which clamps and rounds. Both are kept: the dtype of what comes in decides.

Shapes: F frames, H, W pixels. Always channels first.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SIDE = 224
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def resize_shorter(images_FCHW: Tensor, side: int, mode: str) -> Tensor:
    """Resize so that the shorter side is `side`, the longer one in proportion (rounded down); no antialias; same dtype.

    Bytes are resized in float32, then (bicubic) clamped, and rounded half to even.

    Example:
        >>> tuple(resize_shorter(torch.zeros(1, 3, 480, 832), 224, "bilinear").shape)
        (1, 3, 224, 388)
    """
    height, width = images_FCHW.shape[-2:]
    size = (side, int(side * width / height)) if height <= width else (int(side * height / width), side)
    if size == (height, width):
        return images_FCHW
    resized = functional.interpolate(images_FCHW.float(), size=size, mode=mode, align_corners=False, antialias=False)
    if images_FCHW.dtype == torch.uint8:
        return resized.clamp(0, 255).round().to(torch.uint8)
    return resized


def centre_crop(images_FCHW: Tensor, side: int) -> Tensor:
    """The middle side × side pixels; an odd remainder is halved by rounding half to even.

    Example:
        >>> centre_crop(torch.arange(5.0).expand(1, 3, 3, 5), 3)[0, 0, 0].tolist()
        [1.0, 2.0, 3.0]
    """
    height, width = images_FCHW.shape[-2:]
    top, left = round((height - side) / 2.0), round((width - side) / 2.0)
    return images_FCHW[..., top : top + side, left : left + side]


def normalise(images_FCHW: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """0..255 → 0..1, minus mean, over standard deviation, per channel."""
    centre, spread = (torch.tensor(values, device=images_FCHW.device).reshape(-1, 1, 1) for values in (mean, std))
    return (images_FCHW.float() / 255.0 - centre) / spread


def clip_input(images_FCHW: Tensor, side: int = SIDE) -> Tensor:
    """CLIP and ViCLIP: shorter side bicubic, centre crop, CLIP's statistics. (F, 3, H, W) uint8 or 0..255 → (F, 3, side, side)."""
    return normalise(centre_crop(resize_shorter(images_FCHW, side, "bicubic"), side), CLIP_MEAN, CLIP_STD)


def dino_input(images_FCHW: Tensor, side: int = SIDE) -> Tensor:
    """DINO: shorter side bilinear, no crop, ImageNet's statistics. (F, 3, H, W) uint8 or 0..255 → (F, 3, H', W')."""
    return normalise(resize_shorter(images_FCHW, side, "bilinear"), IMAGENET_MEAN, IMAGENET_STD)
