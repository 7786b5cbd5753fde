"""The protocols that published tables were made under, as far as they are told; where a paper is silent, the choice is said.

They need published weights (`metrics.encoders.vbench`), which are looked for on this machine only. Scores under them are comparable
with each other; with a published table only as far as its own choices are known.
"""

from __future__ import annotations

from metrics.aesthetic_quality import AestheticQuality
from metrics.aggregates import published_remarks
from metrics.background_consistency import BackgroundConsistency
from metrics.cross_shot_appearance import CrossShotAppearance
from metrics.cross_shot_consistency import CrossShotConsistency
from metrics.cross_shot_consistency_top10 import CrossShotConsistencyTop10
from metrics.entity_consistency import EntityConsistency
from metrics.entity_crops import EntityAppearance
from metrics.gap_decay import GapDecay
from metrics.guarded_consistency import GuardedConsistency
from metrics.join_continuity import JoinAppearance, JoinMotion
from metrics.motion import MotionMagnitude, MotionSmoothness
from metrics.overall_consistency import OverallConsistency
from metrics.prompt_following_global import PromptFollowingGlobal
from metrics.prompt_following_single_shot import PromptFollowingSingleShot
from metrics.protocols import Protocol
from metrics.subject_consistency import SubjectConsistency
from metrics.temporal_flickering import TemporalFlickering

VICLIP, DINO, DINOV2, RAFT = "viclip-l-14", "dino-vit-b-16", "dinov2-base", "raft-large"
_VICLIP = "ViCLIP-L/14 (InternVid-10M-FLT), 8 frames at the middles of equal intervals, shorter side 224, centre crop"
_TEXT = "cut at 32 tokens, start and end included"

STORYMEM_PAPER = Protocol(
    name="storymem-paper",
    version=1,
    title="the metrics of arXiv 2512.19539, section 4.3, with VBench's encoders",
    metrics=(
        AestheticQuality(),
        PromptFollowingGlobal(encoder=VICLIP),
        PromptFollowingSingleShot(encoder=VICLIP),
        CrossShotConsistency(encoder=VICLIP),
        CrossShotConsistencyTop10(encoder=VICLIP),
    ),
    choices={
        "Video features": f"{_VICLIP}; the paper names no checkpoint and no frames",
        "Text": f"{_TEXT}; the paper does not say; ST-Bench prompts average 41 words, so most are cut",
        "Top-10 pairs": "chosen by ViCLIP's text features of the prompts; the paper does not name the text encoder",
        "Film feature": "mean of the shots' unit vectors; the paper does not say how a whole film is encoded",
        "Aesthetic": "LAION's linear head on CLIP ViT-L/14, every frame, rating / 10",
        "Averaging": "over scored units; the paper does not say",
    },
)

VBENCH_CUSTOM = Protocol(
    name="vbench-custom",
    version=1,
    title="VBench's metrics for custom videos, each shot a video",
    metrics=(
        SubjectConsistency(encoder=DINO),
        BackgroundConsistency(),
        AestheticQuality(),
        OverallConsistency(),
        TemporalFlickering(),
    ),
    choices={
        "Frame features": "DINO ViT-B/16 (subject) and CLIP ViT-B/32 (background), every frame, read as float32 before resizing",
        "Video features": f"{_VICLIP}, resized as bytes",
        "Text": f"{_TEXT}",
        "Averaging": "over shots; VBench averages background, and on one GPU subject, over frames (scoring says both)",
    },
    remarks=published_remarks,
)

NATURAL = Protocol(
    name="natural",
    version=1,
    title="what published protocols leave out, on natural video: guard, gap decay, joins, entities, motion",
    metrics=(
        GuardedConsistency(encoder=DINOV2, prompts=VICLIP),
        CrossShotAppearance(encoder=DINOV2),
        GapDecay(encoder=DINOV2),
        JoinAppearance(encoder=DINOV2),
        JoinMotion(),
        EntityConsistency(encoder=DINOV2),
        EntityAppearance(encoder=DINOV2, detector="owlv2"),
        PromptFollowingSingleShot(encoder=VICLIP),
        MotionMagnitude(encoder=RAFT),
        MotionSmoothness(encoder=RAFT),
    ),
    choices={
        "Frame features": "DINOv2-base, class token, every frame, shorter side 256, centre crop 224",
        "Video features": _VICLIP,
        "Text": _TEXT,
        "Entities": "who appears in a shot is the script's word; boxes by OWLv2 (base), the best of 0.1 or more in 5 frames",
        "Guard": "a pair of shots adds to guarded consistency only if both move, both fit their prompts best and neither is a copy",
        "Flow": "RAFT (large, C_T_SKHT_V2), height 256",
        "Averaging": "over scored units; intervals resample stories",
    },
)
