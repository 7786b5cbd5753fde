"""Protocols: named, versioned sets of metrics with all their settings. Two tables are comparable only under one protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from metrics.base import Metric
from metrics.cross_shot_appearance import CrossShotAppearance
from metrics.cross_shot_consistency import CrossShotConsistency
from metrics.cross_shot_consistency_top10 import CrossShotConsistencyTop10
from metrics.entity_consistency import EntityConsistency
from metrics.entity_crops import EntityAppearance
from metrics.gap_decay import GapDecay
from metrics.guarded_consistency import GuardedConsistency
from metrics.join_continuity import JoinAppearance, JoinMotion
from metrics.motion import MotionMagnitude, MotionSmoothness
from metrics.prompt_following_global import PromptFollowingGlobal
from metrics.prompt_following_single_shot import PromptFollowingSingleShot
from metrics.subject_consistency import SubjectConsistency
from metrics.temporal_flickering import TemporalFlickering
from metrics.truth_kept import TruthAccessoryKept, TruthColourKept
from metrics.truth_prompt import TruthAction, TruthPlace, TruthSize, TruthSpecies
from stbench.registry import Registry
from stbench.scores import Score


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A set of metrics, and what it decided where the literature is silent: for the caption of a table."""

    name: str
    version: int
    title: str
    metrics: tuple[Metric, ...]
    choices: Mapping[str, str]
    remarks: Callable[[Sequence[Score]], list[str]] | None = None  # what else is said once of its scores

    def caption(self) -> str:
        """One paragraph that a table's caption can carry.

        Example:
            >>> WORLD.caption().startswith("Protocol world v3: ")
            True
        """
        return f"Protocol {self.name} v{self.version}: {self.title}. " + " ".join(f"{key}: {value}." for key, value in self.choices.items())


WORLD = Protocol(
    name="world",
    version=3,
    title="Story World's own encoders and, for scripts with ground truth, what a reader finds in the pixels",
    metrics=(
        CrossShotConsistency(),
        CrossShotConsistencyTop10(),
        CrossShotAppearance(),
        GuardedConsistency(),
        EntityConsistency(),
        EntityAppearance(),
        GapDecay(),
        JoinAppearance(),
        JoinMotion(),
        PromptFollowingGlobal(),
        PromptFollowingSingleShot(),
        SubjectConsistency(),
        TemporalFlickering(),
        MotionMagnitude(),
        MotionSmoothness(),
        TruthPlace(),
        TruthSpecies(),
        TruthAction(),
        TruthSize(),
        TruthColourKept(),
        TruthAccessoryKept(),
    ),
    choices={
        "Video features": "world-clip, 4 frames at the middles of equal intervals of the decoded mp4, resized to 48x80",
        "Text": "words, at most 32 tokens; top-10 pairs are chosen by world-clip's text features of the prompts",
        "Film feature": "mean of the shots' unit vectors",
        "Frame features": "world-dino, every frame",
        "Entities": "who appears in a shot is the script's word; only pairs of shots that share an entity count; boxes are the renderer's",
        "Guard": "a pair of shots adds to guarded consistency only if both move, both fit their prompts best and neither is a copy",
        "Flow": "block matching on the grey picture, 8x8 blocks",
        "Kept look": "the reference is what is read in the character's first shot of the same film",
        "Averaging": "over scored units; intervals resample stories",
        "Missing shots": "per-shot metrics lose that shot, per-story metrics lose the story; both are counted",
    },
)

LITE = Protocol(
    name="lite",
    version=1,
    title="consistency of natural video without any download: EfficientNet-Lite0, whose weights pip installs",
    metrics=(
        CrossShotAppearance(encoder="efficientnet-lite0"),
        GuardedConsistency(encoder="efficientnet-lite0", prompts=None),
        GapDecay(encoder="efficientnet-lite0"),
        JoinAppearance(encoder="efficientnet-lite0"),
        JoinMotion(),
        SubjectConsistency(encoder="efficientnet-lite0"),
        TemporalFlickering(),
        MotionMagnitude(),
        MotionSmoothness(),
    ),
    choices={
        "Frame features": "EfficientNet-Lite0 trained on ImageNet (pip install 'stbench[lite]'), every frame, not cropped",
        "Consistency": "cosines of classification features: not comparable with ViCLIP's or DINO's, whose scales differ",
        "Guard": "a pair of shots adds to guarded consistency only if both move and neither is a copy; prompts are not checked",
        "Flow": "block matching on the grey picture of at most 96 rows, 8x8 blocks",
        "Prompt following": "none: it needs an encoder of texts, which no package on PyPI carries",
        "Averaging": "over scored units; intervals resample stories",
    },
)

PROTOCOLS: Registry[Protocol] = Registry("protocol")
PROTOCOLS.add("world", "metrics.protocols:WORLD")
PROTOCOLS.add("lite", "metrics.protocols:LITE")
PROTOCOLS.add("storymem-paper", "metrics.published_protocols:STORYMEM_PAPER")
PROTOCOLS.add("natural", "metrics.published_protocols:NATURAL")
PROTOCOLS.add("vbench-custom", "metrics.published_protocols:VBENCH_CUSTOM")
