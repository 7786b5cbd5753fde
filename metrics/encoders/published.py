"""What encoders with published weights share: loading by digest, frames in small batches, features of length 1.

Weights are looked for on this machine only (`metrics.encoders.weights`). Features do not depend on the batch size beyond the last bits.

Shapes: F frames, H, W pixels, D feature width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from metrics.encoders.weights import Weights

FRAMES_PER_BATCH = 8  # 16 took a CPU a tenth longer: what a layer makes of them no longer fits its cache


def images_of(frames: np.ndarray, device: str) -> Any:
    """(F, H, W, 3) uint8 → (F, 3, H, W) uint8 on the device."""
    import torch

    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}, expected uint8 (F, H, W, 3) with F >= 1")
    return torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2).contiguous()


def batched(net: Callable[[Any], Any], transform: Callable[[Any], Any], frames: np.ndarray, device: str) -> Any:
    """Frames as float32 through a transform and a network, a few at a time: (F, D) float32."""
    import torch

    with torch.inference_mode():
        starts = range(0, len(frames), FRAMES_PER_BATCH)
        parts = [net(transform(images_of(frames[start : start + FRAMES_PER_BATCH], device).float())).float() for start in starts]
    return torch.cat(parts)


def unit(rows: Any) -> np.ndarray:
    """Rows brought to length 1, as float32 on the CPU."""
    from torch.nn import functional

    return np.asarray(functional.normalize(rows.float(), dim=-1).cpu().numpy(), np.float32)


class Published:
    """An encoder with published weights.

    Args:
        net: The network, on its device.
        device: Where it is.
    """

    id: ClassVar[str]
    weights: ClassVar[Weights]
    preprocessing: ClassVar[str]
    may_be_half: ClassVar[bool] = True  # pictures may be seen in half precision (`metrics.encoders.half`)

    def __init__(self, net: Any, device: str):
        self._net, self._device = net, device

    @classmethod
    def digest(cls) -> str:
        """sha256 of weights and preprocessing."""
        return cls.weights.digest(cls.preprocessing)

    @classmethod
    def load(cls, device: str = "cpu") -> Self:
        """Load the weights on `device`; UserError if they are not on this machine or do not fit."""
        return cls(cls.build(cls.weights.load()).to(device), device)

    @classmethod
    def build(cls, state: dict[str, Any]) -> Any:
        """The network of a state dict."""
        raise NotImplementedError
