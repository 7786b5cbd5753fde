"""DINO's vision transformer, under the names of its published checkpoints, for pictures of any size and shape.

The position embedding is resized with a scale of (patches + 0.1) / 14, as DINO's own code does and VBench with it. Resizing to a target
size instead, as other libraries do, gives other features: 832×480 frames become 14×24 patches, and the scale decides where the
bicubic looks.

Shapes: B images, H, W pixels, h, w patches, N tokens (class token first), D width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

HEAD_WIDTH = 64  # of every published DINO ViT


@dataclass(frozen=True, kw_only=True)
class DinoVitConfig:
    """Size of the network; the default is ViT-B/16."""

    image: int = 224
    patch: int = 16
    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    eps: float = 1e-6

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> DinoVitConfig:
        """The config that a published checkpoint's shapes tell."""
        width, _, patch, _ = state["patch_embed.proj.weight"].shape
        layers = 1 + max(int(found[1]) for key in state if (found := re.match(r"blocks\.(\d+)\.", key)))
        side = round((state["pos_embed"].shape[1] - 1) ** 0.5)
        return cls(image=side * patch, patch=patch, width=width, layers=layers, heads=max(1, width // HEAD_WIDTH))


class Attention(nn.Module):
    """Self-attention of all tokens."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        out: Tensor = self.proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out

    def first(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, 1, D): what `forward` gives for the first token, without the work for the others."""
        width = x.shape[-1]
        weight, bias = self.qkv.weight, self.qkv.bias
        q = functional.linear(x[:, :1], weight[:width], bias[:width]).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = functional.linear(x, weight[width:], bias[width:]).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        out: Tensor = self.proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Attention, then MLP, each after a LayerNorm and added."""

    def __init__(self, config: DinoVitConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.eps)
        self.attn = Attention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width, eps=config.eps)
        self.mlp = Mlp(config.width, int(config.width * config.mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def first(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, 1, D): the first token after this block, enough where no block follows."""
        first = x[:, :1] + self.attn.first(self.norm1(x))
        return first + self.mlp(self.norm2(first))


class PatchEmbed(nn.Module):
    """Patches to tokens; what does not fill a patch at the right and bottom is not seen."""

    def __init__(self, config: DinoVitConfig):
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch, stride=config.patch)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, h w, D)."""
        return self.proj(images).flatten(2).transpose(1, 2)


class DinoVit(nn.Module):
    """Images → features of the class token."""

    def __init__(self, config: DinoVitConfig):
        super().__init__()
        self.config = config
        grid = config.image // config.patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid * grid, config.width))
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=config.eps)

    def positions(self, height: int, width: int) -> Tensor:
        """Position embedding (1, 1 + h w, D) for a picture of height × width pixels."""
        patch, grid = self.config.patch, self.config.image // self.config.patch
        rows, columns = height // patch, width // patch
        if rows * columns == grid * grid and height == width:
            return self.pos_embed
        places = self.pos_embed[:, 1:].unflatten(1, (grid, grid)).permute(0, 3, 1, 2)
        scale = ((rows + 0.1) / grid, (columns + 0.1) / grid)  # the 0.1 keeps floor() from losing a row
        resized = functional.interpolate(places, scale_factor=scale, mode="bicubic", align_corners=False)
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, D)."""
        x = torch.cat([self.cls_token.expand(len(images), -1, -1), self.patch_embed(images)], dim=1)
        x = x + self.positions(*images.shape[-2:])
        for block in self.blocks[:-1]:
            x = block(x)
        return self.norm(self.blocks[-1].first(x)[:, 0])


_FROM_TRANSFORMERS = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
}
_LAYER_FROM_TRANSFORMERS = {  # as stored on the hub, then as recent versions name it in memory
    "attention.output.dense": "attn.proj",
    "attention.o_proj": "attn.proj",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "mlp.fc1": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "mlp.fc2": "mlp.fc2",
}
_QKV = ("attention.attention.{}", "attention.{}_proj")


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of transformers' `ViTModel` (as in the hub's facebook/dino-vitb16) under DINO's names; the pooler is left out."""
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        name, _, kind = key.rpartition(".")
        layer = re.fullmatch(r"(?:encoder\.layer|layers)\.(\d+)\.(.+)", name)
        if layer and (part := re.fullmatch(r"attention\.(?:attention\.(?:query|key|value)|[qkv]_proj)", layer[2])):
            if part[0].endswith(("query", "q_proj")):
                words = ("query", "key", "value") if "query" in part[0] else ("q", "k", "v")
                stem = key.removesuffix(f"{part[0]}.{kind}")
                parts = [state[f"{stem}{_QKV[words[0] == 'q'].format(word)}.{kind}"] for word in words]
                out[f"blocks.{layer[1]}.attn.qkv.{kind}"] = torch.cat(parts)
        elif layer:
            out[f"blocks.{layer[1]}.{_LAYER_FROM_TRANSFORMERS.get(layer[2], layer[2])}.{kind}"] = value
        elif key in _FROM_TRANSFORMERS:
            out[_FROM_TRANSFORMERS[key]] = value
        elif name in _FROM_TRANSFORMERS:
            out[f"{_FROM_TRANSFORMERS[name]}.{kind}"] = value
        elif not key.startswith("pooler."):
            out[key] = value
    return out
