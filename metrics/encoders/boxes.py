"""Where an entity is in a frame. A detector is loaded like an encoder, has a digest like one, and answers with boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np

from metrics.base import NoValueError
from metrics.reading import reader_digest
from stbench.story import Shot


class Detector(Protocol):
    """Finds named entities."""

    def find(self, frames: np.ndarray, places: Sequence[int], total: int, shot: Shot, names: Sequence[str]) -> np.ndarray:
        """Boxes of N entities in K frames.

        Args:
            frames: (K, H, W, 3) uint8.
            places: Where in the clip they are.
            total: Frames of the clip.
            shot: What the script says about the shot.
            names: The entities that should be there.

        Returns:
            (K, N, 4) left, top, right, bottom in pixels; NaN where an entity is not seen.
        """
        ...


class WorldTruthBoxes:
    """Story World only: where the script's truth puts the character, whatever the film shows there."""

    id: ClassVar[str] = "world-truth-boxes"

    @classmethod
    def load(cls, device: str = "cpu") -> WorldTruthBoxes:
        """Nothing to load."""
        return cls()

    @classmethod
    def digest(cls) -> str:
        """sha256 of the renderer that knows."""
        return reader_digest()

    def find(self, frames: np.ndarray, places: Sequence[int], total: int, shot: Shot, names: Sequence[str]) -> np.ndarray:
        """The box around the character's pixels, as rendered; frames of another size are measured in proportion."""
        from stbench.world.render import render_shot
        from stbench.world.spec import FRAMES, HEIGHT, WIDTH, ShotTruth

        if shot.truth is None or total not in (FRAMES, FRAMES - 1):
            raise NoValueError(f"the shot is not Story World's ({total} frames): its boxes are not known")
        mask = render_shot(ShotTruth.from_json(shot.truth)).mask
        scale = np.array([frames.shape[2] / WIDTH, frames.shape[1] / HEIGHT] * 2)
        boxes = np.full((len(frames), len(names), 4), np.nan)
        for k, place in enumerate(places):
            rows, columns = np.nonzero(mask[place + FRAMES - total])  # a continuation has dropped its first frame
            if len(rows):
                boxes[k, :] = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) * scale
        return boxes
