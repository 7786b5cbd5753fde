"""The networks of the world encoders: a convolutional stem and a few transformer layers each.

Shapes: B clips or images, T frames, N tokens, D width, E embedding. Images are 48x80 RGB in 0..1, channels first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE_HW = (48, 80)
GRID_HW = (6, 10)  # after the stem: one token per 8x8 pixels


@dataclass(frozen=True, kw_only=True)
class DinoConfig:
    """Size of the frame tower of world-dino."""

    width: int = 96
    layers: int = 3
    heads: int = 4


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Size of the two towers of world-clip."""

    frames: int = 4
    width: int = 96
    layers: int = 2
    heads: int = 4
    text_width: int = 96
    text_layers: int = 2
    text_heads: int = 4
    text_length: int = 32
    vocabulary: int = 64
    embedding: int = 64
    motion: bool = True  # without it a trained tower did not tell right from left (46% of 100 clips)


def _layers(width: int, heads: int, count: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, count, norm=nn.LayerNorm(width), enable_nested_tensor=False)


def stem(width: int) -> nn.Sequential:
    """(B, 3, 48, 80) → (B, width, 6, 10)."""
    return nn.Sequential(
        nn.PixelUnshuffle(4),
        nn.Conv2d(48, 64, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(64, width, 4, stride=2, padding=1),
        nn.GELU(),
    )


class FrameTower(nn.Module):
    """One frame → one vector: the class token of a small vision transformer with a convolutional stem."""

    def __init__(self, config: DinoConfig):
        super().__init__()
        self.stem = stem(config.width)
        self.place = nn.Parameter(0.02 * torch.randn(1, GRID_HW[0] * GRID_HW[1], config.width))
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, config.width))
        self.layers = _layers(config.width, config.heads, config.layers)
        self.register_buffer("centre", torch.zeros(config.width))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, 48, 80) → (B, D), before centring."""
        x = self.stem(2 * images - 1).flatten(2).transpose(1, 2) + self.place
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        out: Tensor = self.layers(x)[:, 0]
        return out

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, 48, 80) → (B, D), centred on the training data's mean and of length 1."""
        return functional.normalize(functional.normalize(self(images), dim=-1) - self.centre, dim=-1)


def motion_maps(clips: Tensor) -> Tensor:
    """Where each frame differs from the mean of its clip: (B, T, 3, 48, 80) → (B, T * 60), whatever moves looks like."""
    change = (clips - clips.mean(1, keepdim=True)).abs().mean(2)
    return functional.avg_pool2d(change, 8).flatten(1)


class VideoTower(nn.Module):
    """A few frames → one unit vector: what is seen, from a transformer over all frames, plus where and when it moves."""

    def __init__(self, config: ClipConfig):
        super().__init__()
        width = config.width
        self.stem = stem(width)
        self.reduce = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.place = nn.Parameter(0.02 * torch.randn(1, 1, 15, width))
        self.time = nn.Parameter(0.02 * torch.randn(1, config.frames, 1, width))
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.layers = _layers(width, config.heads, config.layers)
        self.project = nn.Linear(width, config.embedding, bias=False)
        self.motion: nn.Sequential | None = None
        if config.motion:
            maps = config.frames * GRID_HW[0] * GRID_HW[1]
            self.motion = nn.Sequential(nn.LayerNorm(maps), nn.Linear(maps, 128), nn.GELU(), nn.Linear(128, config.embedding, bias=False))

    def forward(self, clips: Tensor) -> Tensor:
        """(B, T, 3, 48, 80) → (B, E)."""
        b, t = clips.shape[:2]
        x = self.reduce(self.stem(2 * clips.flatten(0, 1) - 1))
        x = x.flatten(2).transpose(1, 2).unflatten(0, (b, t)) + self.place + self.time
        x = self.project(self.layers(torch.cat([self.token.expand(b, -1, -1), x.flatten(1, 2)], dim=1))[:, 0])
        if self.motion is not None:
            x = x + self.motion(motion_maps(clips))
        return functional.normalize(x, dim=-1)


class TextTower(nn.Module):
    """Token ids → one unit vector; padding (id 0) is masked."""

    def __init__(self, config: ClipConfig):
        super().__init__()
        width = config.text_width
        self.words = nn.Embedding(config.vocabulary, width)
        self.place = nn.Parameter(0.02 * torch.randn(1, config.text_length, width))
        self.layers = _layers(width, config.text_heads, config.text_layers)
        self.project = nn.Linear(width, config.embedding, bias=False)
        nn.init.normal_(self.words.weight, std=0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, N) int64 → (B, E)."""
        keep = ids != 0
        keep[:, 0] = True  # an empty text still has one token
        x = self.layers(self.words(ids) + self.place[:, : ids.shape[1]], src_key_padding_mask=~keep)
        weight = keep.unsqueeze(-1).to(x.dtype)
        pooled = (x * weight).sum(1) / weight.sum(1)
        return functional.normalize(self.project(pooled), dim=-1)


class WorldClipNet(nn.Module):
    """Both towers and the temperature of world-clip."""

    def __init__(self, config: ClipConfig):
        super().__init__()
        self.video = VideoTower(config)
        self.text = TextTower(config)
        self.log_scale = nn.Parameter(torch.tensor(2.3))
