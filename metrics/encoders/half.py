"""Half precision: an encoder's matrix products in 16 bits, and how far its features are from those in 32.

float16 on a GPU; bfloat16 on a CPU, where it is the type that has instructions. Weights, resizing and normalising stay in 32 bits, so do
the encoders' texts. What the first pictures give in full precision is computed too: the distance is kept and stands in every score.

Shapes: F frames, H, W pixels, D feature width.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import numpy as np

SEES = ("encode_frames", "encode_video", "encode_picked")  # what is given pictures


def half_type(device: str) -> str:
    """The 16-bit type of a device.

    Example:
        >>> half_type("cuda:1"), half_type("cpu")
        ('float16', 'bfloat16')
    """
    return "bfloat16" if device == "cpu" else "float16"


class InHalf:
    """An encoder that sees pictures in half precision; all else is as the encoder has it.

    Args:
        encoder: The encoder, with weights in 32 bits.
        device: Where it is.

    Attributes:
        deviation: Largest distance between a feature in half and in full precision, over the first pictures; None before them. Between
            features of length 1, a cosine is off by at most twice that.
    """

    def __init__(self, encoder: Any, device: str):
        self._encoder, self._device = encoder, device
        self._lock = threading.Lock()
        self.deviation: float | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._encoder, name)
        return partial(self._see, found) if name in SEES else found

    def _see(self, encode: Any, frames: np.ndarray) -> np.ndarray:
        import torch

        with torch.autocast(self._device.partition(":")[0], dtype=getattr(torch, half_type(self._device))):
            found = np.asarray(encode(frames))
        with self._lock:
            if self.deviation is None:
                self.deviation = float(np.linalg.norm(found - np.asarray(encode(frames)), axis=-1).max())
        return found
