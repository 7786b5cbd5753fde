"""The encoders of Story World: world-clip (clips and texts) and world-dino (frames).

Small networks trained by `metrics.training`; weights, settings and vocabulary lie in `metrics/models/<id>/`. They see
48x80 pixels; frames of other sizes are resized (bilinear, antialiased). torch is imported when weights are loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from metrics.encoders.sampling import midpoints
from metrics.encoders.words import UNKNOWN, Vocabulary
from stbench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from metrics.encoders.nets import FrameTower, WorldClipNet

MODELS = Path(__file__).parent.parent / "models"
PREPROCESSING = "48x80 bilinear antialias; 0..1; v1"
FRAMES_PER_BATCH = 64


def model_digest(folder: Path) -> str:
    """sha256 over weights, settings and the description of the preprocessing."""
    hasher = hashlib.sha256(PREPROCESSING.encode())
    for name in ("config.json", "model.safetensors"):
        path = folder / name
        if not path.is_file():
            hint = "reinstall, or train them with `python -m metrics.training`"
            raise UserError("is missing", where=str(path), expected="the weights of an installed stbench", hint=hint)
        hasher.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return hasher.hexdigest()


def to_images(frames: np.ndarray, device: str) -> Tensor:
    """(F, H, W, 3) uint8 → (F, 3, 48, 80) float32 in 0..1 on `device`."""
    import torch
    from torch.nn import functional

    from metrics.encoders.nets import IMAGE_HW

    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}, expected uint8 (F, H, W, 3) with F >= 1")
    images = torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2).float() / 255
    if tuple(images.shape[-2:]) != IMAGE_HW:
        images = functional.interpolate(images, size=IMAGE_HW, mode="bilinear", antialias=True, align_corners=False)
    return images


def _config(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return data


def _load_weights(net: Any, folder: Path, device: str) -> None:
    """Fill `net` from float16 weights; every name must match."""
    from safetensors.torch import load_file

    state = {name: tensor.float() for name, tensor in load_file(str(folder / "model.safetensors")).items()}
    net.load_state_dict(state, strict=True)
    net.to(device).eval().requires_grad_(False)


class WorldDino:
    """Frame encoder: one vector per frame, centred on the training data, so that unrelated frames are near 0."""

    id: ClassVar[str] = "world-dino"
    folder: ClassVar[Path] = MODELS / "world-dino"

    def __init__(self, tower: FrameTower, device: str):
        self._tower, self._device = tower, device

    @classmethod
    def load(cls, device: str = "cpu", folder: Path | None = None) -> WorldDino:
        """Load the weights on `device`."""
        from metrics.encoders.nets import DinoConfig, FrameTower

        where = folder or cls.folder
        tower = FrameTower(DinoConfig(**_config(where)["network"]))
        _load_weights(tower, where, device)
        return cls(tower, device)

    @classmethod
    def digest(cls) -> str:
        """sha256 of weights and preprocessing."""
        return model_digest(cls.folder)

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F, D) float32 of length 1."""
        import torch

        with torch.inference_mode():
            parts = [
                self._tower.features(to_images(frames[i : i + FRAMES_PER_BATCH], self._device)).cpu().numpy()
                for i in range(0, len(frames), FRAMES_PER_BATCH)
            ]
        return np.concatenate(parts).astype(np.float32)


class WorldClip:
    """Video and text encoder. Video: the middles of 4 equal intervals; text: word tokens, at most 32."""

    id: ClassVar[str] = "world-clip"
    folder: ClassVar[Path] = MODELS / "world-clip"

    def __init__(self, net: WorldClipNet, words: Vocabulary, frames: int, text_length: int, device: str):
        self._net, self._words, self._frames, self._length, self._device = net, words, frames, text_length, device

    @classmethod
    def load(cls, device: str = "cpu", folder: Path | None = None) -> WorldClip:
        """Load the weights on `device`."""
        from metrics.encoders.nets import ClipConfig, WorldClipNet

        where = folder or cls.folder
        data = _config(where)
        config = ClipConfig(**data["network"])
        net = WorldClipNet(config)
        _load_weights(net, where, device)
        return cls(net, Vocabulary(tuple(data["vocabulary"])), config.frames, config.text_length, device)

    @classmethod
    def digest(cls) -> str:
        """sha256 of weights, vocabulary and preprocessing."""
        return model_digest(cls.folder)

    def encode_video(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8, any F ≥ 1 → (D,) float32 of length 1."""
        return self.encode_picked(frames[self.pick(len(frames))])

    def pick(self, total: int) -> list[int]:
        """Which frames of a clip it looks at."""
        return midpoints(total, self._frames)

    def encode_picked(self, frames: np.ndarray) -> np.ndarray:
        """The picked frames → (D,) float32 of length 1."""
        import torch

        images = to_images(frames, self._device)
        with torch.inference_mode():
            feature: np.ndarray = self._net.video(images[None])[0].cpu().numpy().astype(np.float32)
        return feature

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F, D) float32 of length 1: each frame as a clip that stands still."""
        import torch

        with torch.inference_mode():
            still = [
                self._net.video(to_images(frames[i : i + 1], self._device)[None].repeat(1, self._frames, 1, 1, 1))[0].cpu().numpy()
                for i in range(len(frames))
            ]
        return np.stack(still).astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """N texts → (N, D) float32 of length 1; each text alone, so that its feature does not depend on the others."""
        import torch

        with torch.inference_mode():
            rows = [self._net.text(torch.tensor([self._ids(text)], device=self._device))[0].cpu().numpy() for text in texts]
        return np.stack(rows).astype(np.float32)

    def _ids(self, text: str) -> list[int]:
        ids = self._words.ids(text, length=self._length)
        return [i for i in ids if i] or [UNKNOWN]
