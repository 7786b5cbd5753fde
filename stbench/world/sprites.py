"""How a character looks: five species, eight colours, four accessories, drawn bold so that 18 pixels are enough.

Drawn with Pillow at `SUPERSAMPLE` times the size and reduced, so edges are smooth. Coordinates of a character: x from
-0.8 to 0.8, y from 0 (feet) to 1 (top of the head), 1.4 with a hat; one unit is the body height.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from stbench.world.spec import COLOURS

SUPERSAMPLE = 4
HALF_WIDTH, TOP = 1.0, 1.42  # of the drawing, in body heights
INK, WHITE, BLACK = (28, 26, 38), (250, 250, 245), (20, 20, 24)
RGB = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Sprite:
    """A drawn character; its feet stand at the middle of the bottom row."""

    rgb: np.ndarray  # (h, w, 3) float32, 0..255
    alpha: np.ndarray  # (h, w) float32, 0..1


class _Pen:
    """Draws in body units with a dark outline around every shape."""

    def __init__(self, height_px: int):
        self.unit = height_px * SUPERSAMPLE
        self.size = (round(2 * HALF_WIDTH * height_px) * SUPERSAMPLE, round(TOP * height_px) * SUPERSAMPLE)
        self.image = Image.new("RGBA", self.size, (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.image)
        self.line = max(SUPERSAMPLE, round(0.045 * self.unit))

    def xy(self, *points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(self.size[0] / 2 + x * self.unit, self.size[1] - y * self.unit) for x, y in points]

    def box(self, x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
        return self.xy((x0, y1), (x1, y0))

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: RGB, radius: float = 0.04) -> None:
        self.draw.rounded_rectangle(self.box(x0, y0, x1, y1), radius * self.unit, fill=fill, outline=INK, width=self.line)

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: RGB, outline: bool = True) -> None:
        self.draw.ellipse(self.box(x0, y0, x1, y1), fill=fill, outline=INK if outline else None, width=self.line)

    def poly(self, points: list[tuple[float, float]], fill: RGB) -> None:
        outline = self.xy(*points)
        self.draw.polygon(outline, fill=fill)
        self.draw.line([*outline, outline[0], outline[1]], fill=INK, width=self.line, joint="curve")

    def stroke(self, points: list[tuple[float, float]], fill: RGB, width: float) -> None:
        self.draw.line(self.xy(*points), fill=fill, width=max(1, round(width * self.unit)), joint="curve")

    def eye(self, x: float, y: float, r: float) -> None:
        self.oval(x - r, y - r, x + r, y + r, WHITE)
        self.oval(x - 0.45 * r, y - 0.45 * r, x + 0.55 * r, y + 0.55 * r, BLACK, outline=False)


def _shade(colour: RGB, factor: float) -> RGB:
    return (round(colour[0] * factor), round(colour[1] * factor), round(colour[2] * factor))


def _robot(pen: _Pen, c: RGB) -> None:
    pen.stroke([(0, 0.9), (0, 1.0)], INK, 0.05)
    for side in (-1, 1):
        pen.rect(min(side * 0.1, side * 0.3), 0.0, max(side * 0.1, side * 0.3), 0.2, _shade(c, 0.6))
        pen.rect(min(side * 0.38, side * 0.56), 0.2, max(side * 0.38, side * 0.56), 0.52, _shade(c, 0.75))
    pen.rect(-0.4, 0.14, 0.4, 0.58, c)
    pen.rect(-0.34, 0.54, 0.34, 0.94, c)
    for x in (-0.17, 0.17):
        pen.rect(x - 0.11, 0.67, x + 0.11, 0.85, WHITE, 0.01)
        pen.rect(x - 0.03, 0.71, x + 0.05, 0.8, BLACK, 0.01)


def _cat(pen: _Pen, c: RGB) -> None:
    pen.stroke([(-0.3, 0.12), (-0.6, 0.2), (-0.62, 0.55)], INK, 0.17)
    pen.stroke([(-0.3, 0.12), (-0.6, 0.2), (-0.62, 0.53)], c, 0.1)
    pen.oval(-0.36, 0.0, 0.36, 0.55, c)
    for side in (-1, 1):
        pen.poly([(side * 0.4, 1.0), (side * 0.42, 0.6), (side * 0.06, 0.82)], c)
    pen.oval(-0.44, 0.38, 0.44, 0.92, c)
    pen.eye(-0.18, 0.68, 0.1)
    pen.eye(0.18, 0.68, 0.1)
    pen.poly([(-0.06, 0.56), (0.06, 0.56), (0, 0.49)], (250, 130, 150))


def _bird(pen: _Pen, c: RGB) -> None:
    for x in (-0.12, 0.12):
        pen.stroke([(x, 0.25), (x, 0.02), (x + 0.12, 0.02)], (236, 130, 20), 0.07)
    pen.poly([(-0.35, 0.5), (-0.78, 0.72), (-0.72, 0.4)], _shade(c, 0.7))
    pen.oval(-0.46, 0.16, 0.42, 0.8, c)
    pen.poly([(0.36, 0.84), (0.8, 0.68), (0.36, 0.58)], (246, 150, 20))
    pen.oval(-0.06, 0.5, 0.5, 1.0, c)
    pen.eye(0.24, 0.8, 0.1)
    pen.oval(-0.34, 0.3, 0.08, 0.58, _shade(c, 0.7))


def _car(pen: _Pen, c: RGB) -> None:
    pen.poly([(-0.46, 0.5), (-0.32, 0.9), (0.28, 0.9), (0.46, 0.5)], c)
    pen.poly([(-0.32, 0.54), (-0.23, 0.8), (-0.03, 0.8), (-0.03, 0.54)], (200, 236, 250))
    pen.poly([(0.05, 0.54), (0.05, 0.8), (0.2, 0.8), (0.31, 0.54)], (200, 236, 250))
    pen.rect(-0.78, 0.14, 0.78, 0.54, c, 0.1)
    pen.rect(0.62, 0.3, 0.78, 0.44, (255, 240, 150))
    for x in (-0.42, 0.42):
        pen.oval(x - 0.19, 0.0, x + 0.19, 0.36, BLACK)
        pen.oval(x - 0.07, 0.11, x + 0.07, 0.25, (200, 200, 205))


def _ghost(pen: _Pen, c: RGB) -> None:
    dome = [(0.44 * np.cos(a), 0.56 + 0.42 * np.sin(a)) for a in np.linspace(0, np.pi, 24)]
    skirt = [(-0.5, 0.02), (-0.34, 0.16), (-0.17, 0.02), (0, 0.16), (0.17, 0.02), (0.34, 0.16), (0.5, 0.02)]
    pen.poly([*dome, *skirt], c)
    for x in (-0.16, 0.18):
        pen.oval(x - 0.09, 0.56, x + 0.09, 0.82, BLACK, outline=False)
    pen.oval(-0.08, 0.36, 0.1, 0.5, BLACK, outline=False)


def _hat(pen: _Pen, x: float) -> None:
    pen.rect(x - 0.24, 0.98, x + 0.24, 1.4, BLACK, 0.02)
    pen.rect(x - 0.24, 1.0, x + 0.24, 1.12, WHITE, 0.01)
    pen.rect(x - 0.42, 0.88, x + 0.42, 1.0, BLACK, 0.02)


def _scarf(pen: _Pen, y: float) -> None:
    pen.rect(-0.46, y - 0.1, 0.46, y + 0.1, WHITE, 0.05)
    pen.rect(0.12, y - 0.4, 0.34, y + 0.04, WHITE, 0.03)


def _balloon(pen: _Pen) -> None:
    pen.stroke([(0.42, 0.3), (0.7, 0.5), (0.72, 0.85)], INK, 0.05)
    pen.oval(0.46, 0.78, 0.98, 1.38, WHITE)
    pen.oval(0.56, 1.06, 0.7, 1.22, (200, 210, 225), outline=False)


def _backpack(pen: _Pen) -> None:
    pen.rect(-0.94, 0.12, -0.4, 0.78, (120, 72, 34), 0.1)
    pen.rect(-0.88, 0.2, -0.56, 0.42, (176, 120, 66), 0.04)


_BODIES = {"robot": _robot, "cat": _cat, "bird": _bird, "car": _car, "ghost": _ghost}
_HEAD_X = {"bird": 0.2}
_NECK_Y = {"robot": 0.56, "cat": 0.4, "bird": 0.46, "car": 0.5, "ghost": 0.3}


@cache
def sprite(species: str, colour: str, accessory: str, height_px: int) -> Sprite:
    """Draw one character `height_px` pixels tall (without what its accessory adds)."""
    pen = _Pen(height_px)
    if accessory == "backpack":
        _backpack(pen)
    if accessory == "balloon":
        _balloon(pen)
    _BODIES[species](pen, COLOURS[colour])
    if accessory == "hat":
        _hat(pen, _HEAD_X.get(species, 0.0))
    if accessory == "scarf":
        _scarf(pen, _NECK_Y[species])
    wide = np.asarray(pen.image, dtype=np.float32)
    h, w = wide.shape[0] // SUPERSAMPLE, wide.shape[1] // SUPERSAMPLE
    cells = wide.reshape(h, SUPERSAMPLE, w, SUPERSAMPLE, 4)
    weight = cells[..., 3:] / 255
    alpha = weight.mean((1, 3))
    rgb = (cells[..., :3] * weight).mean((1, 3)) / np.maximum(alpha, 1e-6)
    return Sprite(rgb=rgb, alpha=alpha[..., 0])
