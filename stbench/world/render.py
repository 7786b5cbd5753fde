"""Truth → pixels: 17 frames of one character in one place, with its mask. Deterministic, about a millisecond a frame at most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stbench.world.places import background
from stbench.world.spec import BODY_PX, FRAMES, GROUND_PX, HEIGHT, HOP_PX, REACH_PX, SIZES, WIDTH, ShotTruth
from stbench.world.sprites import sprite


@dataclass(frozen=True, kw_only=True)
class RenderedShot:
    """The picture and where the character is in it."""

    frames: np.ndarray  # (FRAMES, HEIGHT, WIDTH, 3) uint8
    mask: np.ndarray  # (FRAMES, HEIGHT, WIDTH) bool


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where a character stands in one frame."""

    height_px: int
    x_px: int  # middle
    y_px: int  # feet


def _ease(t: float) -> float:
    return t * t * (3 - 2 * t)


def pose(truth: ShotTruth, frame: int) -> Pose:
    """The pose at `frame` (0 .. FRAMES-1) of the shot's action."""
    t = frame / (FRAMES - 1)
    size, grow, station, lift = truth.size, 0.0, float(truth.station), 0.0
    if truth.action == "right":
        station = 2 * t
    elif truth.action == "left":
        station = 2 - 2 * t
    elif truth.action == "closer":
        grow = _ease(t)
    else:
        lift = HOP_PX[size] * abs(math.sin(2 * math.pi * t))
    if truth.action in ("right", "left") and 0 < frame < FRAMES - 1:
        lift = frame // 2 % 2
    to = SIZES[min(SIZES.index(size) + 1, 2)]
    mix = [(1 - grow) * table[size] + grow * table[to] for table in (BODY_PX, REACH_PX, GROUND_PX)]
    return Pose(height_px=round(mix[0]), x_px=round(WIDTH / 2 + (station - 1) * mix[1]), y_px=round(mix[2] - lift))


def draw(canvas: np.ndarray, truth: ShotTruth, at: Pose) -> np.ndarray:
    """Draw the character into `canvas` (HEIGHT, WIDTH, 3) float32, in place; returns its alpha (HEIGHT, WIDTH)."""
    s = sprite(truth.species, truth.colour, truth.accessory, at.height_px)
    h, w = s.alpha.shape
    y0, x0 = at.y_px - h, at.x_px - w // 2
    ys, xs = slice(max(y0, 0), min(y0 + h, HEIGHT)), slice(max(x0, 0), min(x0 + w, WIDTH))
    inside = (slice(ys.start - y0, ys.stop - y0), slice(xs.start - x0, xs.stop - x0))
    alpha = np.zeros((HEIGHT, WIDTH), np.float32)
    alpha[ys, xs] = s.alpha[inside]
    canvas[ys, xs] += s.alpha[inside][..., None] * (s.rgb[inside] - canvas[ys, xs])
    return alpha


def render_shot(truth: ShotTruth) -> RenderedShot:
    """Render all frames of a shot.

    Example:
        >>> shot = render_shot(ShotTruth(species="cat", place="snow", action="jump", size="wide", colour="red", accessory="hat"))
        >>> shot.frames.shape, bool(shot.mask.any(axis=(1, 2)).all())
        ((17, 48, 80, 3), True)
    """
    frames = np.repeat(background(truth.place, truth.scroll)[None], FRAMES, axis=0)
    alphas = [draw(frames[i], truth, pose(truth, i)) for i in range(FRAMES)]
    return RenderedShot(frames=np.rint(frames).clip(0, 255).astype(np.uint8), mask=np.stack(alphas) > 0.5)
