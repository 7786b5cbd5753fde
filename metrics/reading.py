"""What Story World's reader finds in a clip, as a feature (an array of strings, so that it is cached like any other), and metrics on it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from metrics.base import Metric, Need, NoValueError

READER = Need(kind="reading", encoder="world-reader")
FACTS = ("place", "species", "action", "size", "colour", "accessory")


def read_clip(frames: np.ndarray) -> np.ndarray:
    """(F, 48, 80, 3) uint8 → the six facts and the remaining error, as strings; other sizes have none (`NoValueError`)."""
    from stbench.world.reader import read_shot
    from stbench.world.spec import FRAMES, HEIGHT, WIDTH

    if frames.shape[1:3] != (HEIGHT, WIDTH):
        raise NoValueError(f"frames are {frames.shape[2]}x{frames.shape[1]}: Story World's reader needs {WIDTH}x{HEIGHT}")
    if len(frames) not in (FRAMES, FRAMES - 1):
        raise NoValueError(f"the shot has {len(frames)} frames: Story World's reader needs {FRAMES} or {FRAMES - 1}")
    found = read_shot(frames)
    return np.array([*(str(getattr(found, fact)) for fact in FACTS), repr(float(found.error))])


def read_fact(reading: np.ndarray, fact: str) -> str:
    """One fact of a reading."""
    return str(reading[FACTS.index(fact)])


def reading_detail(reading: np.ndarray) -> dict[str, Any]:
    """How well the reading explains the pixels."""
    return {"error": round(float(reading[-1]), 5)}


@dataclass(frozen=True)
class OfReading(Metric):
    """A metric on one fact that the reader finds: 1 where it is as it should be, else 0."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "share"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    source: ClassVar[str] = "Story World"
    fact: ClassVar[str]

    @property
    def need(self) -> Need:
        """What the reader finds."""
        return READER


@lru_cache(maxsize=1)
def reader_digest() -> str:
    """sha256 over the source of the reader and of the renderer that it searches with."""
    import stbench.world.spec as spec

    hasher = hashlib.sha256()
    for path in sorted(Path(spec.__file__).parent.glob("*.py")):
        hasher.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return hasher.hexdigest()
