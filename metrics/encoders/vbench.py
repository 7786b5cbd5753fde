"""The encoders of VBench's metrics with their published weights: DINO, CLIP, LAION's aesthetic head on CLIP, ViCLIP.

Frames are read as VBench reads them: as float32 by DINO, CLIP
and the aesthetic head, as bytes by ViCLIP.

Shapes: F frames, H, W pixels, D feature width, N texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metrics.encoders.published import Published, batched, images_of, unit
from metrics.encoders.weights import Weights, fill


class DinoB16(Published):
    """DINO ViT-B/16: subject consistency."""

    id = "dino-vit-b-16"
    weights = Weights(hub_id="facebook/dino-vitb16", files=("model.safetensors", "pytorch_model.bin"), licence="Apache-2.0", size="0.3 GB")
    preprocessing = "shorter side 224 bilinear on float32, no crop, ImageNet statistics, positions scaled by (n + 0.1) / 14; v1"

    @classmethod
    def build(cls, state: dict[str, Any]) -> Any:
        """Accepts DINO's own names and transformers'."""
        from metrics.encoders.dino_vit import DinoVit, DinoVitConfig, from_transformers

        state = from_transformers({key.removeprefix("vit."): value for key, value in state.items()})
        net = DinoVit(DinoVitConfig.of(state))
        fill(net, state, cls.id)
        return net

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F, 768) float32 of length 1."""
        from metrics.encoders.vbench_transforms import dino_input

        return unit(batched(self._net, dino_input, frames, self._device))


class ClipB32(Published):
    """CLIP ViT-B/32: background consistency."""

    id = "clip-vit-b-32-openai"
    weights = Weights(
        hub_id="timm/vit_base_patch32_clip_224.openai",
        files=("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
        licence="Apache-2.0",
        size="0.6 GB",
    )
    preprocessing = "shorter side 224 bicubic on float32, centre crop, CLIP statistics; v1"

    @classmethod
    def build(cls, state: dict[str, Any]) -> Any:
        """The image tower of a whole CLIP."""
        from metrics.encoders.clip_visual import build

        return build({key: value.float() for key, value in state.items() if key.startswith("visual.")})

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F, 512) float32 of length 1."""
        from metrics.encoders.vbench_transforms import clip_input

        return unit(batched(self._net, clip_input, frames, self._device))


class LaionAesthetic(Published):
    """LAION's linear aesthetic predictor on CLIP ViT-L/14: its frame features are ratings, (F, 1), divided by ten."""

    id = "laion-aesthetic"
    weights = Weights(
        hub_id="timm/vit_large_patch14_clip_224.openai",
        files=("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
        licence="Apache-2.0",
        size="1.7 GB",
    )
    head = Weights(
        files=("sa_0_4_vit_l_14_linear.pth",),
        licence="MIT",
        size="4 KB",
        url="https://github.com/LAION-AI/aesthetic-predictor/raw/main/sa_0_4_vit_l_14_linear.pth",
    )
    preprocessing = "shorter side 224 bicubic on float32, centre crop, CLIP statistics, length 1, linear head / 10; v1"

    def __init__(self, net: Any, device: str, weight: np.ndarray, bias: float):
        super().__init__(net, device)
        self._weight, self._bias = weight, bias

    @classmethod
    def digest(cls) -> str:
        """sha256 of both weights and preprocessing."""
        return cls.head.digest(cls.weights.digest(cls.preprocessing))

    @classmethod
    def load(cls, device: str = "cpu") -> LaionAesthetic:
        """Load tower and head; UserError if one is not on this machine."""
        head, tower = cls.head.load(), ClipB32.build(cls.weights.load())
        return cls(tower.to(device), device, head["weight"].float().numpy()[0], float(head["bias"]))

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F, 1) float32, rating / 10."""
        from metrics.aesthetic_quality import frame_ratings
        from metrics.encoders.vbench_transforms import clip_input

        feats = batched(self._net, clip_input, frames, self._device).cpu().numpy()
        return frame_ratings(feats, self._weight, self._bias).astype(np.float32)[:, None]


class ViclipL14(Published):
    """ViCLIP-L/14 (InternVid-10M-FLT): clips and texts; overall consistency, and the paper's cross-shot and prompt metrics."""

    id = "viclip-l-14"
    weights = Weights(
        hub_id="OpenGVLab/VBench_Used_Models", files=("ViClip-InternVid-10M-FLT.pth",), licence="see the model page", size="1.7 GB"
    )
    preprocessing = "8 midpoints, shorter side 224 bicubic on bytes, centre crop, CLIP statistics; 32 tokens; v1"

    @classmethod
    def build(cls, state: dict[str, Any]) -> Any:
        """The network that the shapes tell."""
        import torch

        from metrics.encoders.viclip_net import Viclip, ViclipConfig, describe

        with torch.device("meta"):
            net = Viclip(ViclipConfig.of(describe(state)))
        net = net.to_empty(device="cpu")
        fill(net, {key: value.float() for key, value in state.items()}, cls.id)
        return net

    def encode_video(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8, any F ≥ 1 → (768,) float32 of length 1."""
        return self.encode_picked(frames[self.pick(len(frames))])

    def pick(self, total: int) -> list[int]:
        """The middles of 8 equal intervals."""
        from metrics.encoders.sampling import midpoints

        return midpoints(total, self._net.config.frames)

    def encode_picked(self, frames: np.ndarray) -> np.ndarray:
        """The picked frames → (768,) float32 of length 1."""
        import torch

        from metrics.encoders.vbench_transforms import clip_input

        images = images_of(frames, self._device)
        with torch.inference_mode():
            return unit(self._net.vision_encoder(clip_input(images, self._net.config.image)[None]))[0]

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """N texts → (N, 768) float32 of length 1; a text of more than 32 tokens is cut."""
        import torch

        from metrics.encoders.clip_tokens import token_ids

        ids = torch.tensor([token_ids(text, self._net.config.context) for text in texts], device=self._device)
        with torch.inference_mode():
            return unit(self._net.text_encoder(ids))
