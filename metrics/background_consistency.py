"""Background consistency within a shot: VBench's formula, that of subject consistency, on CLIP features instead of DINO's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from metrics.base import Expects
from metrics.subject_consistency import SubjectConsistency


@dataclass(frozen=True)
class BackgroundConsistency(SubjectConsistency):
    """Similarity of a shot's frames, as CLIP sees them, to the frame before and to the first one. A frozen shot has 1."""

    name: ClassVar[str] = "background_consistency"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "VBench, background_consistency"
    expects: ClassVar[Expects] = Expects()
    encoder: str = "clip-vit-b-32-openai"
