"""Is a frame good enough to be remembered? Quality models behind `stbench.encoders.QualityModel`.

    hpsv3     HPSv3 (`storymem.hpsv3`): the paper's, which keeps frames at or above 3.0
    laion     LAION's aesthetic head on CLIP ViT-L/14, ratings of 0 to 1 (`metrics`' own encoder); no threshold is published
    contrast  Story World's own, see below
    sharpness the same, and how far a frame is from being blurred, see below
    none      lets every frame pass: the ablation

Story World needs no aesthetic judgement, only protection against frames that went wrong, so its own model is a measure:
contrast, discounted where it is noise. A blank frame and white noise both score 0; ordinary cartoons score 5 to 30. No frame that the model
makes is that bad: what tells its frames from rendered ones is that they are blurred, which `sharpness` sees.

A model with weights too large to stay on the device has them in `net`, in main memory; whoever asks it places `net` first.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Self

import numpy as np

from stbench.encoders import ENCODERS, QualityModel
from stbench.registry import Registry

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BLUR_PX = 5
THRESHOLDS = {"contrast": 3.0, "sharpness": 53.5, "hpsv3": 3.0, "none": 0.0}  # unless one is set
_NOISE_ROUGHNESS = 1.128  # mean |difference of neighbours| / standard deviation, for white Gaussian noise


def contrast_score(frames: np.ndarray) -> np.ndarray:
    """100 * contrast * smoothness for frames (F, H, W, 3) uint8: (F,) float32, 0 for blank frames and for noise.

    Contrast is the standard deviation of luma over its range; smoothness is 1 - roughness, where roughness is the mean
    absolute difference of neighbours relative to what white noise of this contrast would have.

    Example:
        >>> contrast_score(np.full((1, 8, 8, 3), 90, np.uint8)).tolist()
        [0.0]
    """
    luma = frames.astype(np.float32) @ _LUMA / 255.0
    deviation = luma.std(axis=(1, 2))
    across, down = np.abs(np.diff(luma, axis=2)).mean(axis=(1, 2)), np.abs(np.diff(luma, axis=1)).mean(axis=(1, 2))
    roughness = (across + down) / 2 / np.maximum(deviation, 1e-6) / _NOISE_ROUGHNESS
    score = np.where(deviation > 1e-4, 100.0 * deviation * np.clip(1.0 - roughness, 0.0, 1.0), 0.0)
    return np.asarray(score, np.float32)


def sharpness_score(frames: np.ndarray) -> np.ndarray:
    """How far frames (F, H, W, 3) uint8 are from being blurred, 0 to 100: (F,) float32; 0 for blank frames and for noise.

    The share of luma's differences between neighbours that a blur of five pixels takes away: much of a sharp picture's, little of what
    was blurred before. By direction, the lower one counts. After Crete et al., "The blur effect" (2007). It does not change
    with brightness or contrast; below a `contrast_score` of 3 it falls to 0.

    Example:
        >>> edge = np.full((1, 16, 16, 3), 30, np.uint8)
        >>> edge[:, 4:12, 4:12] = 220
        >>> sharpness_score(edge).round().tolist()
        [80.0]
    """
    luma = frames.astype(np.float32) @ _LUMA
    kept = np.minimum(_lost_by_blur(luma, axis=1), _lost_by_blur(luma, axis=2))
    return np.asarray(100.0 * kept * np.clip(contrast_score(frames) / THRESHOLDS["contrast"], 0.0, 1.0), np.float32)


def _lost_by_blur(luma: np.ndarray, *, axis: int) -> np.ndarray:
    """Of the differences along an axis of (F, H, W), the share that a mean over `_BLUR_PX` pixels takes away: (F,)."""
    edge = _BLUR_PX // 2
    padded = np.pad(luma, [(edge, edge) if place == axis else (0, 0) for place in range(3)], mode="edge")
    blurred = np.lib.stride_tricks.sliding_window_view(padded, _BLUR_PX, axis=axis).mean(axis=-1)
    before, after = (np.abs(np.diff(part, axis=axis)) for part in (luma, blurred))
    lost: np.ndarray = np.maximum(before - after, 0).sum(axis=(1, 2)) / np.maximum(before.sum(axis=(1, 2)), 1e-6)
    return lost


class Formula:
    """A quality model without weights."""

    version: ClassVar[str]  # name of the formula; another one, another digest

    @classmethod
    def digest(cls) -> str:
        """Changes with the formula."""
        return hashlib.sha256(cls.version.encode()).hexdigest()

    @classmethod
    def load(cls, device: str) -> Self:
        """Nothing to load."""
        return cls()


class Contrast(Formula):
    """`contrast_score` as a quality model."""

    id = "contrast"
    version = "contrast 1"

    def quality(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F,) float32."""
        return contrast_score(frames)


class Sharpness(Formula):
    """`sharpness_score` as a quality model."""

    id = "sharpness"
    version = "sharpness 1"

    def quality(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F,) float32."""
        return sharpness_score(frames)


class Anything(Formula):
    """Lets every frame pass: the ablation without a quality filter."""

    id = "none"
    version = "none"

    def quality(self, frames: np.ndarray) -> np.ndarray:
        """Infinity for every frame."""
        return np.full(len(frames), np.inf, np.float32)


class Laion:
    """The aesthetic encoder of the metrics as a quality model.

    Args:
        encoder: Its frame features are ratings, (F, 1).
    """

    id = "laion"
    _encoder = "laion-aesthetic"

    def __init__(self, encoder: Any):
        self._ratings = encoder

    @classmethod
    def digest(cls) -> str:
        """That of the encoder."""
        encoder: Any = ENCODERS.get(cls._encoder)
        return str(encoder.digest())

    @classmethod
    def load(cls, device: str) -> Laion:
        """Tower and head; UserError if one is not on this machine."""
        encoder: Any = ENCODERS.get(cls._encoder)
        return cls(encoder.load(device))

    def quality(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F,) float32, 0 to 1."""
        return np.asarray(self._ratings.encode_frames(frames)[:, 0], np.float32)


QUALITY: Registry[Any] = Registry("quality model")
QUALITY.add("contrast", "storymem.quality:Contrast")
QUALITY.add("sharpness", "storymem.quality:Sharpness")
QUALITY.add("hpsv3", "storymem.hpsv3:Hpsv3")
QUALITY.add("laion", "storymem.quality:Laion")
QUALITY.add("none", "storymem.quality:Anything")

__all__ = ["QUALITY", "THRESHOLDS", "Anything", "Contrast", "Laion", "QualityModel", "Sharpness", "contrast_score", "sharpness_score"]
