"""What an encoder is: frames, clips or texts in, unit vectors out; with a name and a digest that enter every score's key.

`stbench` only names encoders; the classes live in `metrics`. The keyframe search of a method and the metrics share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from stbench.registry import Registry

if TYPE_CHECKING:
    import numpy as np


class Encoder(Protocol):
    """Common to all: built by `load(device)`, cheap facts before that."""

    id: str  # registry name

    def digest(self) -> str:
        """sha256 of weights and preprocessing settings: two equal digests give equal features."""
        ...


class FrameEncoder(Encoder, Protocol):
    """Frame by frame features."""

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F, D) float32, each row of length 1."""
        ...


class VideoEncoder(Encoder, Protocol):
    """Features of a whole clip.

    An encoder that looks at few frames may also have `pick(total) -> indices` and `encode_picked(frames)`: then a long clip need not be
    held in memory.
    """

    def encode_video(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8, any F ≥ 1 → (D,) float32 of length 1; the encoder chooses its frames."""
        ...


class TextEncoder(Encoder, Protocol):
    """Features of texts in the space of a video or frame encoder."""

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """N texts → (N, D) float32, each row of length 1."""
        ...


class QualityModel(Encoder, Protocol):
    """Scores single frames; the keyframe search keeps frames at or above a threshold."""

    def quality(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F,) float32; higher is better."""
        ...


ENCODERS: Registry[type] = Registry("encoder")
ENCODERS.add("world-clip", "metrics.encoders.world:WorldClip")
ENCODERS.add("world-dino", "metrics.encoders.world:WorldDino")
ENCODERS.add("clip-vit-b-32-openai", "metrics.encoders.vbench:ClipB32")
ENCODERS.add("dino-vit-b-16", "metrics.encoders.vbench:DinoB16")
ENCODERS.add("laion-aesthetic", "metrics.encoders.vbench:LaionAesthetic")
ENCODERS.add("viclip-l-14", "metrics.encoders.vbench:ViclipL14")
ENCODERS.add("dinov2-base", "metrics.encoders.dinov2:DinoV2Base")
ENCODERS.add("efficientnet-lite0", "metrics.encoders.lite:EfficientNetLite0")
ENCODERS.add("block-flow", "metrics.encoders.flow:BlockFlow")
ENCODERS.add("raft-large", "metrics.encoders.flow:RaftLarge")
ENCODERS.add("world-truth-boxes", "metrics.encoders.boxes:WorldTruthBoxes")
ENCODERS.add("owlv2", "metrics.encoders.owlv2:Owlv2")
