"""Entity appearance: does each entity look the same wherever it appears, seen alone, without the place around it?

A detector finds each entity of a shot in a few frames, what is inside its box is cut out and encoded, and the same entity is compared
across the shots in which the script has it appear. On Story World the true boxes stand in for the detector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Expects, Features, Found, Metric, Need, NoValueError, StoryClips, Unit
from metrics.entity_consistency import entities

ENTITY_FRAMES = 5  # of a shot, at the middles of equal intervals, as in EntityBench
LEAST_PX = 4  # a smaller box shows nothing
CROP_HW = (224, 224)


def entity_features(frames: np.ndarray, boxes_KN4: np.ndarray, encode: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(N, D) mean direction of what is inside each entity's boxes; a row of zeros for an entity that is in no frame.

    Args:
        frames: (K, H, W, 3) uint8.
        boxes_KN4: Left, top, right, bottom in pixels of N entities; NaN where an entity is not seen.
        encode: Pictures to unit vectors.
    """
    from metrics.frames import FrameSet, mean_feature

    rows: list[np.ndarray | None] = []
    for boxes_K4 in np.moveaxis(boxes_KN4, 1, 0):
        crops = [crop for frame, box in zip(frames, boxes_K4, strict=True) if (crop := cut_out(frame, box)) is not None]
        if not crops:
            rows.append(None)
            continue
        feats = encode(np.stack(crops))
        rows.append(mean_feature(FrameSet(features=feats, index=np.arange(len(feats)), total=len(feats)), unit=True))
    width = next((len(row) for row in rows if row is not None), 1)
    return np.stack([np.zeros(width) if row is None else row for row in rows]) if rows else np.zeros((0, 1))


def cut_out(frame: np.ndarray, box_4: np.ndarray) -> np.ndarray | None:
    """The inside of a box at one size for all; None where there is no box, or one of a few pixels."""
    from PIL import Image

    if not np.isfinite(box_4).all():
        return None
    height, width = frame.shape[:2]
    left, top = (max(0, int(np.floor(value))) for value in box_4[:2])
    right, bottom = min(width, int(np.ceil(box_4[2]))), min(height, int(np.ceil(box_4[3])))
    if min(right - left, bottom - top) < LEAST_PX:
        return None
    inside = Image.fromarray(frame[top:bottom, left:right])
    return np.asarray(inside.resize((CROP_HW[1], CROP_HW[0]), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class EntityAppearance(Metric):
    """Mean similarity of each entity to itself over the pairs of shots in which it appears and is found."""

    name: ClassVar[str] = "entity_appearance"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    source: ClassVar[str] = "of this project; crops as in EntityBench (arXiv 2605.15199)"
    expects: ClassVar[Expects] = Expects(
        falls=("colour_drift", "style_drift"), detects=("identity_swap",), keeps=("background_swap", "prompt_swap")
    )
    encoder: str = "world-dino"
    detector: str = "world-truth-boxes"

    @property
    def need(self) -> Need:
        """Features of the entities' boxes."""
        return Need(kind="entities", encoder=self.encoder, detector=self.detector)

    def units(self, film: StoryClips) -> list[Unit]:
        """The film, with who should be where; nothing for films in which nobody appears twice, or boxes cannot be known."""
        if self.detector == "world-truth-boxes" and any(clip.shot.truth is None for clip in film.clips):
            return []
        cast = [entities(clip.shot) for clip in film.clips]
        twice = {name for name in {name for names in cast for name in names} if sum(name in names for names in cast) > 1}
        used = tuple(i for i, names in enumerate(cast) if twice & set(names))
        return [Unit(shot=None, clips=used, facts={"cast": [list(cast[i]) for i in used]})] if used else []

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Each entity against itself."""
        seen: dict[str, list[np.ndarray]] = {}
        lost = 0
        for index, names in zip(unit.clips, unit.facts["cast"], strict=True):
            rows = features.clip(self.need, film.clips[index])
            for name, row in zip(names, rows, strict=True):
                if np.linalg.norm(row) > 0:
                    seen.setdefault(name, []).append(row / np.linalg.norm(row))
                else:
                    lost += 1
        value, pairs = self_similarity(seen)
        return Found(value=value, detail={"pairs": pairs, "found": sum(map(len, seen.values())), "not_found": lost})


def self_similarity(seen: dict[str, Sequence[np.ndarray]] | dict[str, list[np.ndarray]]) -> tuple[float, int]:
    """Mean cosine over all pairs of appearances of the same entity, and how many pairs; none is a `NoValueError`.

    Example:
        >>> self_similarity({"cat": [np.array([1.0, 0.0]), np.array([0.6, 0.8])], "dog": [np.array([0.0, 1.0])]})
        (0.6, 1)
    """
    values = [float(rows[i] @ rows[j]) for rows in seen.values() for i in range(len(rows)) for j in range(i)]
    if not values:
        raise NoValueError("no entity was found in two shots")
    return float(np.mean(values)), len(values)
