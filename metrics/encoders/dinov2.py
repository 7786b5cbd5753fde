"""DINOv2 ViT-B/14 on transformers' class: features of frames, and of what a detector cuts out of them.

Shapes: F frames, H, W pixels, D = 768.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from metrics.encoders.published import Published, batched, unit
from metrics.encoders.vbench_transforms import IMAGENET_MEAN, IMAGENET_STD, centre_crop, normalise
from metrics.encoders.weights import Weights, fill

HEAD_WIDTH = 64  # of every published DINOv2
RESIZE, CROP = 256, 224


class DinoV2Base(Published):
    """DINOv2 base: one vector per frame, the class token after the last norm."""

    id = "dinov2-base"
    weights = Weights(hub_id="facebook/dinov2-base", files=("model.safetensors", "pytorch_model.bin"), licence="Apache-2.0", size="0.35 GB")
    preprocessing = "shorter side 256 bicubic antialias on float32, clamped, centre crop 224, ImageNet statistics; class token; v1"

    @classmethod
    def build(cls, state: dict[str, Any]) -> Any:
        """The network that the shapes tell."""
        from transformers import Dinov2Model

        net = Dinov2Model(config_of(state))
        fill(net, as_named_in(net.state_dict(), state), cls.id)
        return net

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F, 768) float32 of length 1."""
        return unit(batched(lambda images: self._net(images).last_hidden_state[:, 0], dinov2_input, frames, self._device))


_RENAMED = {  # as stored on the hub → as recent versions of transformers name it in memory
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
}


def as_named_in(wanted: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Hub names, or those that the installed transformers uses where it does not know them."""
    out = {}
    for key, value in state.items():
        name = key
        for stored, held in _RENAMED.items():
            name = name if name in wanted else name.replace(stored, held)
        out[name] = value
    return out


def config_of(state: Mapping[str, Any]) -> Any:
    """The config of a checkpoint, from its names and shapes."""
    from transformers import Dinov2Config

    width, _, patch, _ = state["embeddings.patch_embeddings.projection.weight"].shape
    layers = 1 + max(int(found[1]) for key in state if (found := re.match(r"encoder\.layer\.(\d+)\.", key)))
    side = round((state["embeddings.position_embeddings"].shape[1] - 1) ** 0.5)
    mlp = state["encoder.layer.0.mlp.fc1.weight"].shape[0] // width
    return Dinov2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // HEAD_WIDTH),
        mlp_ratio=mlp,
        image_size=side * patch,
        patch_size=patch,
    )


def dinov2_input(images_FCHW: Any) -> Any:
    """(F, 3, H, W) float32 0..255 → (F, 3, 224, 224), as DINOv2's own evaluation prepares pictures."""
    from torch.nn import functional

    height, width = images_FCHW.shape[-2:]
    scale = RESIZE / min(height, width)
    size = (int(height * scale), int(width * scale))
    resized = functional.interpolate(images_FCHW, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 255)
    return normalise(centre_crop(resized, CROP), IMAGENET_MEAN, IMAGENET_STD)
