"""Features of every frame of every video, and DINO on pictures that are not square."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import partial

import torch

from metrics.verify.material import WEIGHTS, Material, max_abs, rel_l2
from metrics.verify.tolerances import tolerance
from stbench.oracle import Check, Unchecked

Checks = Iterator[Check | Unchecked]
_SEEDED = re.compile(r"dino_(?:sq)?(\d+)(?:x(\d+))?\.in_seed(\d+)")
_POSITIONS = re.compile(r"dino_(\d+)x(\d+)\.pos")


def features(material: Material) -> Checks:
    """Checks of features.safetensors."""
    if not material.folder.has("features.safetensors"):
        return
    stored, limit = material.folder.tensors("features"), tolerance("feature", material.setting)

    def of_video(video: str, name: str) -> float:
        return rel_l2(material.feature(video, name), stored[f"{video}.{name}"])

    def of_noise(height: int, width: int, seed: int, key: str) -> float:
        noise = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
        return rel_l2(material.encoder("dino")(noise.to(material.device)), stored[key])

    for key in stored:
        video, _, name = key.partition(".")
        if not material.can(name if video.startswith("video") else "dino"):
            yield Unchecked(
                name=f"features {key}", reason=f"needs oracle.json and its encoder in {WEIGHTS}.safetensors, which are not in this folder"
            )
        elif seeded := _SEEDED.fullmatch(key):
            height, width, seed = int(seeded[1]), int(seeded[2] or seeded[1]), int(seeded[3])
            yield Check(name=f"features {key}", kind="rel_l2", tolerance=limit, measure=partial(of_noise, height, width, seed, key))
        elif places := _POSITIONS.fullmatch(key):
            measure = partial(_positions, material, int(places[1]), int(places[2]), key)
            yield Check(name=f"features {key}", kind="max_abs", tolerance=limit, measure=measure)
        elif re.fullmatch(r"video\d+", video):
            yield Check(name=f"features {key}", kind="rel_l2", tolerance=limit, measure=partial(of_video, video, name))


def _positions(material: Material, height: int, width: int, key: str) -> float:
    """Error of DINO's resized position embedding, of which every n-th row is stored."""
    found, expected = material.dino().positions(height, width).detach().float(), material.folder.tensors("features")[key]
    step = math.ceil(found.shape[1] / expected.shape[1])
    return max_abs(found[:, ::step], expected)
