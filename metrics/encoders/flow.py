"""Optical flow on a coarse grid: by block matching, which needs no weights, or by RAFT, where its weights are on this machine.

Both give flow in frame heights per frame, so that sizes of videos can be compared. Shapes: F frames, h × w grid cells, (x, y) last.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

import numpy as np

from metrics.encoders.published import Published
from metrics.encoders.weights import Weights, fill

WORK_PX, CELL_PX, REACH_PX = 96, 8, 7  # block matching: greatest height worked on, block size, greatest step
REST = 0.25  # grey levels per pixel of a step: among equal matches the shortest wins, so flat areas rest
RAFT_PX, RAFT_CELLS = 256, 16


class BlockFlow:
    """For each 8x8 block of a picture of at most 96 rows, the step of at most 7 pixels after which the next frame fits best."""

    id: ClassVar[str] = "block-flow"

    @classmethod
    def load(cls, device: str = "cpu") -> BlockFlow:
        """Nothing to load."""
        return cls()

    @classmethod
    def digest(cls) -> str:
        """sha256 of its settings."""
        return hashlib.sha256(f"block-flow v1 {WORK_PX} {CELL_PX} {REACH_PX} {REST}".encode()).hexdigest()

    def flow(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F - 1, h, w, 2) float32."""
        grey = np.stack([_grey(frame) for frame in frames])
        return _match(grey[:-1], grey[1:])


def _grey(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 → grey levels as int16, at most `WORK_PX` rows, sides cut to whole blocks."""
    from PIL import Image

    image = Image.fromarray(frame).convert("L")
    if image.height > WORK_PX:
        image = image.resize((round(image.width * WORK_PX / image.height), WORK_PX), Image.Resampling.BOX)
    pixels = np.asarray(image, np.int16)
    if min(pixels.shape) < CELL_PX:
        pixels = np.pad(pixels, [(0, max(0, CELL_PX - side)) for side in pixels.shape], mode="edge")
    return pixels[: pixels.shape[0] // CELL_PX * CELL_PX, : pixels.shape[1] // CELL_PX * CELL_PX]


def _match(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(P, H, W) pairs of pictures → (P, h, w, 2) steps from `before` to `after`."""
    pairs, height, width = before.shape
    rows, columns = height // CELL_PX, width // CELL_PX
    padded = np.pad(after, [(0, 0), (REACH_PX, REACH_PX), (REACH_PX, REACH_PX)], mode="edge")
    steps = sorted(
        ((y, x) for y in range(-REACH_PX, REACH_PX + 1) for x in range(-REACH_PX, REACH_PX + 1)), key=lambda s: s[0] ** 2 + s[1] ** 2
    )
    best, chosen = np.full((pairs, rows, columns), np.inf, np.float32), np.zeros((pairs, rows, columns, 2), np.float32)
    for y, x in steps:
        moved = padded[:, REACH_PX + y : REACH_PX + y + height, REACH_PX + x : REACH_PX + x + width]
        apart = np.abs(before - moved).reshape(pairs, rows, CELL_PX, width).sum(axis=2, dtype=np.int16)  # whole numbers: exact in any order
        cost = apart.reshape(pairs, rows, columns, CELL_PX).sum(axis=3) / CELL_PX**2 + REST * np.hypot(x, y)
        better = cost < best
        best[better] = cost[better]
        chosen[better] = (x, y)
    return np.asarray(chosen / height, np.float32)


class RaftLarge(Published):
    """RAFT (large) of torchvision, with its published weights."""

    id = "raft-large"
    weights = Weights(
        files=("raft_large_C_T_SKHT_V2-ff5fadd5.pth",),
        licence="BSD-3-Clause",
        size="21 MB",
        url="https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth",
    )
    preprocessing = "height 256, width in proportion, whole eighths, bilinear antialias, -1..1; 12 updates; 16-pixel cells; v1"
    may_be_half = False  # twelve updates that build on each other

    @classmethod
    def build(cls, state: dict[str, Any]) -> Any:
        """The network of a state dict."""
        from torchvision.models.optical_flow import raft_large

        net = raft_large(weights=None)
        fill(net, state, cls.id)
        return net

    def flow(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F - 1, h, w, 2) float32; pair by pair."""
        import torch
        from torch.nn import functional

        images = torch.from_numpy(np.ascontiguousarray(frames)).to(self._device).permute(0, 3, 1, 2).float()
        width = max(128, round(RAFT_PX * images.shape[3] / images.shape[2] / 8) * 8)
        images = functional.interpolate(images, size=(RAFT_PX, width), mode="bilinear", antialias=True, align_corners=False) / 127.5 - 1
        with torch.inference_mode():
            steps = [self._net(images[i : i + 1], images[i + 1 : i + 2])[-1] for i in range(len(images) - 1)]
            cells = functional.avg_pool2d(torch.cat(steps), RAFT_CELLS).permute(0, 2, 3, 1) / RAFT_PX
        return np.asarray(cells.cpu().numpy(), np.float32)


def empty_flow() -> np.ndarray:
    """The flow of a clip of one frame."""
    return np.zeros((0, 1, 1, 2), np.float32)
