"""Where it happens: five panoramas, two pictures wide and closed to a ring; `scroll` chooses the window."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from stbench.world.spec import HEIGHT, SCROLLS, WIDTH

_SCALE = 4
_RING = 2 * WIDTH
RGB = tuple[int, int, int]


class _Brush:
    """Draws in picture pixels; whatever crosses the seam of the ring is drawn on both sides."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (_RING * _SCALE, HEIGHT * _SCALE))
        self.draw = ImageDraw.Draw(self.image)

    def _around(self, points: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
        return [[((x + turn) * _SCALE, y * _SCALE) for x, y in points] for turn in (-_RING, 0, _RING)]

    def band(self, y0: float, y1: float, fill: RGB) -> None:
        self.draw.rectangle([0, y0 * _SCALE, _RING * _SCALE, y1 * _SCALE], fill=fill)

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: RGB) -> None:
        for box in self._around([(x0, y0), (x1, y1)]):
            self.draw.rectangle(box, fill=fill)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: RGB) -> None:
        for box in self._around([(x - rx, y - ry), (x + rx, y + ry)]):
            self.draw.ellipse(box, fill=fill)

    def poly(self, points: list[tuple[float, float]], fill: RGB) -> None:
        for shape in self._around(points):
            self.draw.polygon(shape, fill=fill)


def _beach(b: _Brush) -> None:
    b.band(0, 22, (138, 208, 244))
    b.band(20, 31, (28, 128, 178))
    b.band(30, 48, (240, 214, 150))
    b.oval(30, 9, 7, 7, (255, 240, 130))
    for x in (70, 118):
        b.rect(x, 12, x + 3, 34, (128, 84, 46))
        b.oval(x + 1, 11, 13, 4, (46, 150, 66))
    b.poly([(136, 21), (148, 21), (142, 10)], (250, 250, 250))


def _forest(b: _Brush) -> None:
    b.band(0, 48, (150, 196, 128))
    b.band(34, 48, (82, 116, 52))
    for x in (4, 42, 84, 122):
        b.rect(x + 8, 16, x + 15, 38, (94, 62, 36))
        b.oval(x + 12, 9, 17, 12, (24, 92, 52))


def _city(b: _Brush) -> None:
    b.band(0, 38, (246, 190, 160))
    b.band(36, 48, (92, 92, 100))
    for i, (x, top, w) in enumerate(((2, 12, 24), (30, 3, 20), (54, 16, 26), (86, 6, 22), (112, 14, 18), (134, 2, 22))):
        b.rect(x, top, x + w, 36, ((108, 96, 130), (136, 120, 148), (84, 84, 118))[i % 3])
        for wx in (x + 4, x + w - 9):
            b.rect(wx, top + 5, wx + 5, top + 11, (255, 226, 120))
    b.band(41, 42.5, (230, 230, 220))


def _night(b: _Brush) -> None:
    b.band(0, 48, (22, 24, 66))
    b.oval(24, 11, 8, 8, (250, 244, 205))
    b.oval(28, 9, 7, 7, (22, 24, 66))
    for x, y in ((50, 6), (66, 17), (90, 5), (104, 14), (130, 8), (146, 20)):
        b.oval(x, y, 1.3, 1.3, (240, 240, 220))
    b.oval(20, 46, 44, 14, (62, 46, 104))
    b.oval(100, 48, 52, 16, (62, 46, 104))
    b.band(41, 48, (46, 34, 84))


def _snow(b: _Brush) -> None:
    b.band(0, 48, (188, 212, 236))
    for x, top in ((2, 6), (56, 12), (104, 4)):
        b.poly([(x, 34), (x + 50, 34), (x + 25, top)], (122, 142, 176))
        b.poly([(x + 16.5, top + 9.5), (x + 33.5, top + 9.5), (x + 25, top)], (250, 252, 255))
    b.band(32, 48, (242, 247, 252))
    for x in (46, 98, 150):
        b.poly([(x - 7, 34), (x + 7, 34), (x, 14)], (38, 96, 84))


_PAINTERS: dict[str, Callable[[_Brush], None]] = {"beach": _beach, "forest": _forest, "city": _city, "night": _night, "snow": _snow}


@cache
def background(place: str, scroll: int) -> np.ndarray:
    """The empty place, (HEIGHT, WIDTH, 3) float32 in 0..255."""
    brush = _Brush()
    _PAINTERS[place](brush)
    wide = np.asarray(brush.image, dtype=np.float32).reshape(HEIGHT, _SCALE, _RING, _SCALE, 3).mean((1, 3))
    return np.roll(wide, -scroll * _RING // len(SCROLLS), axis=1)[:, :WIDTH].copy()
