"""Overall consistency: does a shot show what its prompt says, by ViCLIP? VBench's name for what the paper calls prompt following."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from metrics.base import Expects
from metrics.prompt_following_single_shot import PromptFollowingSingleShot


@dataclass(frozen=True)
class OverallConsistency(PromptFollowingSingleShot):
    """Cosine of ViCLIP's features of a shot (8 frames) and of its prompt (the first 32 tokens)."""

    name: ClassVar[str] = "overall_consistency"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "VBench, overall_consistency"
    expects: ClassVar[Expects] = Expects()
    encoder: str = "viclip-l-14"
