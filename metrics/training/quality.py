"""How good the stored world encoders are, on shots with looks that training never saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from metrics.encoders.world import WorldClip, WorldDino
from metrics.training.data import FACTS, Split
from stbench.world.data import caption, random_look, random_staging, random_truth
from stbench.world.render import render_shot
from stbench.world.spec import ShotTruth

CANDIDATES, ROUNDS = 64, 4


def distinct_truths(n: int, rng: np.random.Generator, *, facts: tuple[str, ...], split: Split) -> list[ShotTruth]:
    """`n` random shots no two of which agree in all `facts`."""
    found: dict[tuple[str, ...], ShotTruth] = {}
    while len(found) < n:
        truth = random_truth(rng, split=split)
        found.setdefault(tuple(getattr(truth, fact) for fact in facts), truth)
    return list(found.values())


def retrieval_at_1(clip: WorldClip, *, appearance: bool, split: Split, seed: int) -> tuple[float, float]:
    """Share of clips whose own caption is nearest among 64 distinct ones, and the share of captions that find their clip."""
    rng = np.random.default_rng(seed)
    to_text, to_video = [], []
    for _ in range(ROUNDS):
        truths = distinct_truths(CANDIDATES, rng, facts=FACTS if appearance else FACTS[:4], split=split)
        video = np.stack([clip.encode_video(render_shot(t).frames) for t in truths])
        text = clip.encode_texts([caption(t, rng, appearance=appearance) for t in truths])
        similarity, own = video @ text.T, np.arange(CANDIDATES)
        to_text.append((similarity.argmax(1) == own).mean())
        to_video.append((similarity.argmax(0) == own).mean())
    return float(np.mean(to_text)), float(np.mean(to_video))


def direction_seen(clip: WorldClip, *, n: int = 100, seed: int = 5) -> float:
    """Share of clips moving right or left that are nearer to the caption with their direction than to its opposite."""
    rng, hits = np.random.default_rng(seed), list[bool]()
    turned = {"right": ("left", 2), "left": ("right", 0)}
    while len(hits) < n:
        truth = random_truth(rng, split="held-out")
        if truth.action in turned:
            action, station = turned[truth.action]
            told, other = clip.encode_texts([caption(truth), caption(replace(truth, action=action, station=station))])
            hits.append(float(clip.encode_video(render_shot(truth).frames) @ (told - other)) > 0)
    return float(np.mean(hits))


def clip_quality(folder: Path) -> dict[str, float]:
    """Retrieval among 64 distinct captions, chance 0.016."""
    clip, quality = WorldClip.load("cpu", folder), {}
    for split in ("held-out", "train"):
        for appearance in (True, False):
            text, video = retrieval_at_1(clip, appearance=appearance, split="held-out" if split == "held-out" else "train", seed=7)
            label = f"{split} looks, captions {'with' if appearance else 'without'} look"
            quality[f"retrieval@1 of 64, clip to caption, {label}"] = text
            quality[f"retrieval@1 of 64, caption to clip, {label}"] = video
    quality["right told from left, chance 0.5"] = direction_seen(clip)
    return quality


def identity_retrieval(dino: WorldDino, *, candidates: int = 20, rounds: int = 100, seed: int = 13) -> float:
    """Share of frames whose nearest among `candidates` is the same character in another place, action and shot size.

    The other candidates are as many characters as there are looks that training never saw; chance is 1 / candidates.
    """
    rng, hits = np.random.default_rng(seed), list[bool]()
    for _ in range(rounds):
        first = distinct_truths(candidates, rng, facts=("species", "colour", "accessory"), split="held-out")
        query = first[0]
        again = [random_staging(rng, species=t.species, colour=t.colour, accessory=t.accessory) for t in first]
        while again[0].place == query.place or again[0].action == query.action:
            again[0] = random_staging(rng, species=query.species, colour=query.colour, accessory=query.accessory)
        feats = dino.encode_frames(np.stack([render_shot(t).frames[8] for t in (query, *again)]))
        hits.append(int(np.argmax(feats[1:] @ feats[0])) == 0)
    return float(np.mean(hits))


def dino_quality(folder: Path, n: int = 96) -> dict[str, float]:
    """Cosines of frames within one shot, and between shots that differ in one known thing."""
    dino, rng = WorldDino.load("cpu", folder), np.random.default_rng(11)
    within: list[float] = []
    to_first: list[float] = []
    pairs: dict[str, list[float]] = {}
    for _ in range(n):
        truth = random_truth(rng, split="held-out")
        feats = dino.encode_frames(render_shot(truth).frames)
        to_first.append(float(np.mean(feats[1:] @ feats[0])))
        within.append(float(np.min(feats @ feats.T)))
        other = random_truth(rng, split="held-out")
        look = random_look(rng, other.species, "held-out")
        changed = {
            "another colour": replace(truth, colour=_other(rng, "colour", truth)),
            "another accessory": replace(truth, accessory=_other(rng, "accessory", truth)),
            "another species and look": replace(truth, species=_other(rng, "species", truth), colour=look[0], accessory=look[1]),
            "another place": replace(truth, place=_other(rng, "place", truth)),
            "unrelated shot": other,
        }
        for name, shot in changed.items():
            pairs.setdefault(name, []).append(float(feats[8] @ dino.encode_frames(render_shot(shot).frames[8:9])[0]))
    quality = {
        "cosine to the first frame of the same shot, mean": float(np.mean(to_first)),
        "the same, 10th percentile of shots": float(np.percentile(to_first, 10)),
        "least similar pair of frames of a shot, mean": float(np.mean(within)),
    }
    quality["identity retrieval@1 of 20 held-out looks, another place and action, chance 0.05"] = identity_retrieval(dino)
    for name, values in pairs.items():
        quality[f"cosine to the same frame with {name}, mean"] = float(np.mean(values))
        quality[f"the same with {name}, 90th percentile"] = float(np.percentile(values, 90))
    return quality


def _other(rng: np.random.Generator, fact: str, truth: ShotTruth) -> str:
    from stbench.world.spec import ALLOWED

    return str(rng.choice([value for value in ALLOWED[fact] if value != getattr(truth, fact)]))
