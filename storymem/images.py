"""Images that memory is made of, from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stbench.errors import UserError


def read_image(path: Path) -> np.ndarray:
    """RGB pixels (H, W, 3) uint8 of a PNG or JPEG.

    Raises:
        UserError: If the file is missing or no image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), np.uint8).copy()
    except (FileNotFoundError, UnidentifiedImageError, OSError) as error:
        raise UserError(f"cannot be read as an image ({error})", where=str(path), expected="a PNG or JPEG file") from error
