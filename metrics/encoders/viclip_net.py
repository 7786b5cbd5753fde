"""ViCLIP's two towers, under the names and shapes of the published checkpoints.

Vision: every frame's patches become tokens (a 3D convolution over one frame at a time), with a place in the picture and, except for
the class token, a place in time; all tokens of all frames attend each other. Text: CLIP's causal transformer, read at the end token.
Both use QuickGELU. Source: ViCLIP (InternVid, arXiv 2307.06942), as VBench uses it.

Shapes: B clips or texts, T frames, P pixels per side, p patches per frame, N tokens, W width, E embedding.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

HEAD_WIDTH = 64  # of every published ViCLIP


@dataclass(frozen=True, kw_only=True)
class ViclipConfig:
    """Sizes; the defaults are those of ViCLIP-L/14."""

    image: int = 224
    patch: int = 14
    width: int = 1024
    layers: int = 24
    heads: int = 16
    frames: int = 8
    tubelet: int = 1  # frames per token
    embedding: int = 768
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    context: int = 32
    vocabulary: int = 49408

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]]) -> ViclipConfig:
        """The config that a checkpoint's names and shapes tell (heads are 64 wide, as in every published one)."""

        def layers(tower: str) -> int:
            numbers = [re.match(rf"{tower}\.transformer\.resblocks\.(\d+)\.", key) for key in shapes]
            return 1 + max(int(found[1]) for found in numbers if found)

        width, _, tubelet, patch, _ = shapes["vision_encoder.conv1.weight"]
        side = round((shapes["vision_encoder.positional_embedding"][0] - 1) ** 0.5)
        vocabulary, text_width = shapes["text_encoder.token_embedding.weight"]
        return cls(
            image=side * patch,
            patch=patch,
            width=width,
            layers=layers("vision_encoder"),
            heads=max(1, width // HEAD_WIDTH),
            frames=shapes["vision_encoder.temporal_positional_embedding"][1],
            tubelet=tubelet,
            embedding=shapes["vision_encoder.proj"][1],
            text_width=text_width,
            text_layers=layers("text_encoder"),
            text_heads=max(1, text_width // HEAD_WIDTH),
            context=shapes["text_encoder.positional_embedding"][0],
            vocabulary=vocabulary,
        )


class QuickGelu(nn.Module):
    """CLIP's approximation of GELU."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x * torch.sigmoid(1.702 * x)


class ResidualBlock(nn.Module):
    """Attention, then MLP, each after a LayerNorm and added."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(width)
        layers = [("c_fc", nn.Linear(width, 4 * width)), ("gelu", QuickGelu()), ("c_proj", nn.Linear(4 * width, width))]
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, N, W) → (B, N, W)."""
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """A stack of blocks."""

    def __init__(self, width: int, heads: int, layers: int):
        super().__init__()
        self.resblocks = nn.ModuleList(ResidualBlock(width, heads) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, N, W) → (B, N, W)."""
        for block in self.resblocks:
            x = block(x, mask)
        return x


class VisionEncoder(nn.Module):
    """Clips → embeddings, not normalised."""

    def __init__(self, config: ViclipConfig):
        super().__init__()
        self.config = config
        width, kernel = config.width, (config.tubelet, config.patch, config.patch)
        self.conv1 = nn.Conv3d(3, width, kernel, stride=kernel, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(1 + (config.image // config.patch) ** 2, width))
        self.temporal_positional_embedding = nn.Parameter(torch.zeros(1, config.frames // config.tubelet, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, config.heads, config.layers)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, config.embedding))

    def forward(self, clips: Tensor) -> Tensor:
        """(B, T, 3, P, P) with T as trained, or 1 → (B, E).

        Raises:
            ValueError: Another number of frames.
        """
        patches = self.conv1(clips.transpose(1, 2)).flatten(3).permute(0, 2, 3, 1)  # (B, T, p, W)
        times = self.temporal_positional_embedding
        if patches.shape[1] == 1:  # one still picture stands at the mean of all times
            times = times.mean(dim=1, keepdim=True)
        if times.shape[1] != patches.shape[1]:
            raise ValueError(f"{clips.shape[1]} frames; expected {self.config.frames} or 1")
        tokens = (patches + self.positional_embedding[1:] + times[:, :, None]).flatten(1, 2)
        first = (self.class_embedding + self.positional_embedding[0]).expand(len(clips), 1, -1)
        x = self.transformer(self.ln_pre(torch.cat([first, tokens], dim=1)))
        return self.ln_post(x[:, 0]) @ self.proj


class TextEncoder(nn.Module):
    """Token ids → embeddings, not normalised."""

    def __init__(self, config: ViclipConfig):
        super().__init__()
        width = config.text_width
        self.token_embedding = nn.Embedding(config.vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.zeros(config.context, width))
        self.transformer = Transformer(width, config.text_heads, config.text_layers)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, config.embedding))

    def forward(self, ids: Tensor) -> Tensor:
        """(B, N) → (B, E); the end token, the largest id, is the one that is read."""
        x = self.token_embedding(ids) + self.positional_embedding
        mask = torch.full((ids.shape[1], ids.shape[1]), float("-inf"), device=x.device, dtype=x.dtype).triu(1)
        x = self.ln_final(self.transformer(x, mask))
        return x[torch.arange(len(x), device=x.device), ids.argmax(dim=-1)] @ self.text_projection


class Viclip(nn.Module):
    """Both towers and the temperature of the published checkpoints."""

    def __init__(self, config: ViclipConfig):
        super().__init__()
        self.config = config
        self.vision_encoder = VisionEncoder(config)
        self.text_encoder = TextEncoder(config)
        self.temp = nn.Parameter(torch.tensor(1 / 100.0))


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def describe(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a checkpoint."""
    return {name: tuple(value.shape) for name, value in state.items()}
