"""Background consistency within a shot: VBench's formula, that of subject consistency, on CLIP features instead of DINO's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from metrics.base import Features, Found, Metric, Need, StoryClips, Unit, each_shot
from metrics.frames import consistency, taken


@dataclass(frozen=True)
class BackgroundConsistency(Metric):
    """Similarity of a shot's frames, as CLIP sees them, to the frame before and to the first one. A frozen shot has 1."""

    name: ClassVar[str] = "background_consistency"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    source: ClassVar[str] = "VBench, background_consistency"
    encoder: str = "clip-vit-b-32-openai"

    @property
    def need(self) -> Need:
        """Features of all frames."""
        return Need(kind="frames", encoder=self.encoder)

    def units(self, film: StoryClips) -> list[Unit]:
        """Every shot."""
        return each_shot(film)

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """VBench's formula."""
        frames = features.frames(self.need, film.clips[unit.clips[0]])
        return Found(value=consistency(frames), detail=taken([frames]))
