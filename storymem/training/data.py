"""Rendered clips for training, made once and kept on disk; deterministic for (count, seed)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stbench.world.data import random_truth
from stbench.world.render import render_shot
from stbench.world.spec import FRAMES, HEIGHT, WIDTH, ShotTruth


class Clips(NamedTuple):
    """`count` clips: truths, frames (N, 17, 48, 80, 3) uint8 and character masks (N, 17, 48, 80) bool, memory-mapped."""

    truths: list[ShotTruth]
    frames: np.ndarray
    masks: np.ndarray


def rendered_clips(folder: Path, count: int, *, seed: int = 0, split: str = "train") -> Clips:
    """Render `count` random clips into `folder`, or open those already there."""
    stem = folder / f"clips-{split}-{count}-{seed}"
    done = stem.with_suffix(".json")
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng((seed, 77))
        truths = [random_truth(rng, split=split) for _ in range(count)]  # type: ignore[arg-type]
        frames = np.lib.format.open_memmap(f"{stem}.frames.npy", mode="w+", dtype=np.uint8, shape=(count, FRAMES, HEIGHT, WIDTH, 3))
        masks = np.lib.format.open_memmap(f"{stem}.masks.npy", mode="w+", dtype=bool, shape=(count, FRAMES, HEIGHT, WIDTH))
        for i, truth in enumerate(truths):
            shot = render_shot(truth)
            frames[i], masks[i] = shot.frames, shot.mask
        frames.flush()
        masks.flush()
        done.write_text(json.dumps([t.to_json() for t in truths]))
    truths = [ShotTruth.from_json(t) for t in json.loads(done.read_text())]
    return Clips(truths, np.load(f"{stem}.frames.npy", mmap_mode="r"), np.load(f"{stem}.masks.npy", mmap_mode="r"))
