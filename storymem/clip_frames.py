"""CLIP ViT-B/32 as the keyframe encoder of the big model, fed as the published search feeds it.

Frames are first resized as a vision-language model would (multiples of 28 pixels, bounded area; bilinear with antialias,
on bytes), then to 224x224 (bilinear, aspect not kept), then normalised for CLIP. Memory images go through the second step
only. Weights: `storymem.hub.CLIP`, on this machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from storymem import hub
from storymem.checkpoints import file_digest

PATCH_PX, MIN_PIXELS, MAX_PIXELS = 28, 48 * 28 * 28, 256 * 28 * 28
CLIP_PX = 224
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_BATCH = 32


def search_size(height: int, width: int, *, least: int = MIN_PIXELS, most: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width, multiples of 28, at which the search looks at frames: between `least` and `most` pixels, as Qwen2-VL would.

    Example:
        >>> search_size(480, 832), search_size(48, 64), search_size(100, 400)
        ((336, 588), (168, 224), (112, 392))
    """
    rows, columns = (max(PATCH_PX, round(side / PATCH_PX) * PATCH_PX) for side in (height, width))
    if rows * columns > most:
        factor = math.sqrt(height * width / most)
        rows, columns = (math.floor(side / factor / PATCH_PX) * PATCH_PX for side in (height, width))
    elif rows * columns < least:
        factor = math.sqrt(least / (height * width))
        rows, columns = (math.ceil(side * factor / PATCH_PX) * PATCH_PX for side in (height, width))
    return rows, columns


def shrink(frames_FCHW: torch.Tensor) -> torch.Tensor:
    """uint8 (F, 3, H, W) → uint8 at the search size; antialiased, on bytes."""
    size = search_size(*frames_FCHW.shape[2:])
    return functional.interpolate(frames_FCHW, size=size, mode="bilinear", align_corners=False, antialias=True)


def clip_pixels(frames_FCHW: torch.Tensor) -> torch.Tensor:
    """uint8 (F, 3, H, W) → normalised float32 (F, 3, 224, 224)."""
    small = functional.interpolate(frames_FCHW.float() / 255.0, size=(CLIP_PX, CLIP_PX), mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(values, device=small.device).reshape(1, 3, 1, 1) for values in (_MEAN, _STD))
    return (small - mean) / std


class ClipFrames:
    """A `stbench.encoders.FrameEncoder`."""

    id = "clip-vit-b-32"

    def __init__(self, model: Any):
        self._model = model
        self._text: tuple[Any, Any] | None = None  # tokenizer and text tower, loaded when first needed

    @classmethod
    def load(cls, device: str) -> ClipFrames:
        """Load the image tower on `device`."""
        from transformers import CLIPVisionModelWithProjection

        return cls(_tower(CLIPVisionModelWithProjection, device))

    @classmethod
    def digest(cls) -> str:
        """sha256 of the weights and of the preprocessing's version."""
        folder = hub.need(hub.CLIP)
        weights = folder / ("model.safetensors" if _safetensors(folder) else "pytorch_model.bin")
        return hashlib.sha256(f"preprocessing 1 {file_digest(weights)}".encode()).hexdigest()

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """Frames of a new shot, (F, H, W, 3) uint8 → (F, 512) float32 of length 1."""
        return self._encode(frames, first=shrink)

    def encode_memory(self, frames: np.ndarray) -> np.ndarray:
        """Images that stand in memory, to compare new keyframes with: as `encode_frames`, without the first resize."""
        return self._encode(frames, first=lambda batch: batch)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """N texts → (N, 512) float32 of length 1; what is beyond CLIP's 77 tokens is not read."""
        if self._text is None:
            from transformers import CLIPTextModelWithProjection, CLIPTokenizerFast

            tokenizer = CLIPTokenizerFast.from_pretrained(hub.need(hub.CLIP), local_files_only=True)
            self._text = tokenizer, _tower(CLIPTextModelWithProjection, self._model.device)
        tokenizer, tower = self._text
        rows = []
        for text in texts:  # one by one: a text's vector does not depend on the others
            tokens = tokenizer([text], truncation=True, return_tensors="pt").to(tower.device)
            rows.append(functional.normalize(tower(**tokens).text_embeds.float(), dim=-1)[0].cpu().numpy())
        return np.stack(rows).astype(np.float32)

    @torch.no_grad()
    def _encode(self, frames: np.ndarray, *, first: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        parts = []
        for start in range(0, len(frames), _BATCH):
            batch = first(torch.from_numpy(frames[start : start + _BATCH]).permute(0, 3, 1, 2))  # on the CPU: CUDA cannot resize bytes
            embeds = self._model(pixel_values=clip_pixels(batch.to(self._model.device)).to(self._model.dtype)).image_embeds.float()
            parts.append(functional.normalize(embeds, dim=-1).cpu().numpy())
        return np.concatenate(parts).astype(np.float32)


def _tower(kind: Any, device: Any) -> Any:
    folder = hub.need(hub.CLIP)
    return kind.from_pretrained(folder, local_files_only=True, use_safetensors=_safetensors(folder)).to(device).eval().requires_grad_(False)


def _safetensors(folder: Path) -> bool:
    return (folder / "model.safetensors").is_file()
