"""Drawing by Pillow: fonts, colours, wrapped text, chips, and frames enlarged by whole factors.

Small frames are enlarged without smoothing, so that a person sees the pixels that the model made and no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

PAGE = "#f6f6f3"
CARD = "#ffffff"
LINE = "#dcdcd6"
INK = "#1c1c1f"
MUTED = "#67676d"
KEPT = "#f0a000"  # frames kept in memory
LINKED = "#2563c9"  # continuations
WRONG = "#c02626"
RIGHT = "#1f7a3d"
EMPTY = "#ecece6"

FRAME_TAG_PX = 11


@lru_cache(maxsize=32)
def font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, from the data of matplotlib: the same letters on every machine."""
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size_px)


def text_width(text: str, face: ImageFont.FreeTypeFont) -> int:
    """Pixels from the start of `text` to its end."""
    return int(np.ceil(face.getlength(text)))


def line_height(face: ImageFont.FreeTypeFont) -> int:
    """Pixels from one line to the next."""
    return round(face.size * 1.35)


def clean(text: str) -> str:
    """`text` on one line, without what cannot be printed (control characters, broken surrogates)."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split()))


def wrap(text: str, face: ImageFont.FreeTypeFont, width_px: int, max_lines: int) -> list[str]:
    """Break `text` into lines of at most `width_px`; what does not fit in `max_lines` ends in an ellipsis."""
    lines: list[str] = []
    line = ""
    for word in _pieces(clean(text), face, width_px):
        longer = f"{line} {word}" if line else word
        if not line or text_width(longer, face) <= width_px:
            line = longer
        else:
            lines.append(line)
            line = word
    if line:
        lines.append(line)
    if len(lines) <= max_lines:
        return lines
    return [*lines[: max_lines - 1], shorten(lines[max_lines - 1] + " …", face, width_px)]


def _pieces(text: str, face: ImageFont.FreeTypeFont, width_px: int) -> list[str]:
    """Words, with those that are wider than a line cut up."""
    pieces = []
    for word in text.split(" "):
        while text_width(word, face) > width_px and len(word) > 1:
            fit = max(1, next((n for n in range(len(word), 0, -1) if text_width(word[:n], face) <= width_px), 1))
            pieces.append(word[:fit])
            word = word[fit:]
        pieces.append(word)
    return pieces


def shorten(text: str, face: ImageFont.FreeTypeFont, width_px: int) -> str:
    """`text` if it fits, else its beginning and an ellipsis."""
    text = clean(text)
    if text_width(text, face) <= width_px:
        return text
    text = text.rstrip("… ")
    while text and text_width(text + " …", face) > width_px:
        text = text[:-1].rstrip()
    return text + " …"


def draw_lines(draw: ImageDraw.ImageDraw, xy: tuple[int, int], lines: Sequence[str], face: ImageFont.FreeTypeFont, fill: str = INK) -> int:
    """Draw lines below one another; returns the y below the last."""
    x, y = xy
    for line in lines:
        draw.text((x, y), line, font=face, fill=fill)
        y += line_height(face)
    return y


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A short word on a rounded ground; with `outline`, on white."""

    text: str
    colour: str
    filled: bool = True


CHIP_FONT_PX, CHIP_HEIGHT = 12, 20


def chip_width(chip: Chip) -> int:
    """Pixels that `draw_chip` takes."""
    return text_width(chip.text, font(CHIP_FONT_PX, bold=True)) + 14


def draw_chip(draw: ImageDraw.ImageDraw, xy: tuple[int, int], chip: Chip) -> int:
    """Draw a chip; returns the x right of it."""
    x, y = xy
    right = x + chip_width(chip)
    fill = chip.colour if chip.filled else CARD
    draw.rounded_rectangle((x, y, right - 1, y + CHIP_HEIGHT - 1), radius=5, fill=fill, outline=chip.colour)
    ink = CARD if chip.filled else chip.colour
    draw.text((x + 7, y + CHIP_HEIGHT / 2), chip.text, font=font(CHIP_FONT_PX, bold=True), fill=ink, anchor="lm")
    return right


def thumb_size(width: int, height: int, target_px: int) -> tuple[int, int]:
    """Size of a frame on a sheet: enlarged by a whole factor up to `target_px` wide, or reduced to `target_px`.

    Example:
        >>> thumb_size(80, 48, 240), thumb_size(832, 480, 240)
        ((240, 144), (240, 138))
    """
    if width <= target_px:
        factor = target_px // width
        return width * factor, height * factor
    return target_px, max(1, round(height * target_px / width))


def thumbnail(frame: np.ndarray, target_px: int) -> Image.Image:
    """(H, W, 3) uint8 → an image of `thumb_size`."""
    image = Image.fromarray(np.ascontiguousarray(frame))
    size = thumb_size(image.width, image.height, target_px)
    return image.resize(size, Image.Resampling.NEAREST if size[0] >= image.width else Image.Resampling.LANCZOS)


def fitted(frame: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """(H, W, 3) uint8 → an image of at most `size`; films of several shapes then share a grid."""
    thumb = thumbnail(frame, size[0])
    return thumb if thumb.height <= size[1] else ImageOps.contain(thumb, size)


def draw_tag(image: Image.Image, xy: tuple[int, int], text: str, ground: str, ink: str, *, from_right: bool = False) -> None:
    """A small label inside a frame, at its lower edge: `xy` is the lower left corner, or the lower right one."""
    draw, face = ImageDraw.Draw(image), font(FRAME_TAG_PX, bold=True)
    width, height = text_width(text, face) + 8, FRAME_TAG_PX + 6
    x = xy[0] - width if from_right else xy[0]
    draw.rectangle((x, xy[1] - height, x + width - 1, xy[1] - 1), fill=ground)
    draw.text((x + 4, xy[1] - height / 2), text, font=face, fill=ink, anchor="lm")


def draw_frame(image: Image.Image, xy: tuple[int, int], frame: np.ndarray, target_px: int, *, index: int, kept: bool) -> None:
    """A frame with its number; one that was kept in memory has a thick outline and says so."""
    thumb = thumbnail(frame, target_px)
    x, y = xy
    if kept:
        ImageDraw.Draw(image).rectangle((x - 4, y - 4, x + thumb.width + 3, y + thumb.height + 3), fill=KEPT)
    image.paste(thumb, xy)
    draw_tag(image, (x, y + thumb.height), str(index), "#1c1c1fcc", "#ffffff")
    if kept:
        draw_tag(image, (x + thumb.width, y + thumb.height), "kept", KEPT, INK, from_right=True)


def draw_missing(image: Image.Image, box: tuple[int, int, int, int], reason: str) -> None:
    """A hatched field that says why there is no picture; `box` is (x, y, width, height)."""
    x, y, width, height = box
    field = Image.new("RGB", (width, height), EMPTY)
    pen = ImageDraw.Draw(field)
    for start in range(-height, width, 14):
        pen.line((start, height, start + height, 0), fill=LINE, width=2)
    face = font(13, bold=True)
    lines = wrap(reason, face, width - 24, 3)
    top = (height - len(lines) * line_height(face)) // 2
    draw_lines(pen, (12, top), lines, face, MUTED)
    pen.rectangle((0, 0, width - 1, height - 1), outline=LINE)
    image.paste(field, (x, y))
