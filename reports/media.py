"""Films and pictures of the page: hard links beside it, so that the folder can be moved and sent, or data URIs inside it.

A link costs no space. A run that is filmed again writes new files by rename, so an old report keeps its old films.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from stbench.files import loud

FOLDER = "media"
POSTER_PX = 320  # widest thumbnail
TINY_PX = 160  # up to here frames stay as they are, without loss, and the page enlarges them pixel by pixel
JPEG_QUALITY = 82


class Media:
    """Where the page's films and pictures go; every method returns the URL for the page.

    Args:
        out: Folder of the page.
        embed: Put everything into the page.
    """

    def __init__(self, out: Path, *, embed: bool):
        self.out, self.embed = out, embed

    def video(self, name: str, path: Path) -> str:
        """An mp4 of a run; "" if it is gone."""
        if not path.is_file():
            return ""
        if self.embed:
            return _data_uri("video/mp4", path.read_bytes())
        target = self.out / FOLDER / f"{name}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(path, target)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, target)
        return _relative(target, self.out)

    def picture(self, name: str, frame: np.ndarray) -> str:
        """(H, W, 3) uint8 as a thumbnail."""
        image = Image.fromarray(np.ascontiguousarray(frame))
        if image.width > POSTER_PX:
            image = image.resize((POSTER_PX, max(1, round(image.height * POSTER_PX / image.width))), Image.Resampling.LANCZOS)
        tiny = is_tiny(frame.shape[1])
        buffer = io.BytesIO()
        image.save(buffer, format="PNG" if tiny else "JPEG", optimize=True, quality=JPEG_QUALITY)
        if self.embed:
            return _data_uri("image/png" if tiny else "image/jpeg", buffer.getvalue())
        target = self.out / FOLDER / f"{name}.{'png' if tiny else 'jpg'}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with loud(target):
            target.write_bytes(buffer.getvalue())  # thousands of them, and made again with the report: not worth a sync each
        return _relative(target, self.out)


def is_tiny(width_px: int) -> bool:
    """Frames this small are enlarged without smoothing."""
    return width_px <= TINY_PX


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _relative(path: Path, out: Path) -> str:
    return quote(path.relative_to(out).as_posix())
