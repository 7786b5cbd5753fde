"""What encoders are fed: frames of a clip, tokens of a text, decoded pixels, transformed pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from metrics.encoders import clip_tokens, sampling, vbench_transforms
from metrics.verify.material import Material, max_abs
from metrics.verify.tolerances import tolerance
from stbench.oracle import Check, Unchecked
from stbench.video import read_mp4, read_png

Checks = Iterator[Check | Unchecked]
FIELDS = ("viclip_tiny", "viclip_l14_n_params", "tokenizer", "preprocess", "lossless_mp4", "stub_config", "results", "edge")
TRANSFORMS = {"clip": "clip_input", "dino": "dino_input"}


def sampling_tables(material: Material) -> list[tuple[int, dict[str, list[int]]]]:
    """Tables of sampled frames: how many are taken, then indices by length of the clip."""
    named = [(re.fullmatch(r"sampling_middle(\d+)", key), value) for key, value in material.facts.items()]
    return [(int(name[1]), table) for name, table in named if name]


def sampling_checks(material: Material) -> Checks:
    """Which frames of a clip are taken, for every length in the tables."""

    def differences(length: int, wanted: int, expected: list[int]) -> float:
        return _differences(sampling.midpoints(length, wanted), expected)

    for wanted, table in sampling_tables(material):
        for length, expected in table.items():
            yield Check(name=f"sampling {wanted} of {length}", measure=partial(differences, int(length), wanted, expected))


def other_facts(material: Material) -> Checks:
    """Fields of oracle.json that nothing here reads."""
    for key in material.facts:
        if key not in FIELDS and not re.fullmatch(r"sampling_middle\d+", key):
            yield Unchecked(name=f"oracle.json {key}", reason="this field is not understood")


def tokens(material: Material) -> Checks:
    """Token ids of every text, at the context length that the file uses."""

    def differences(text: str, expected: list[int]) -> float:
        return _differences(clip_tokens.token_ids(text, len(expected)), expected)

    for number, case in enumerate(material.facts.get("tokenizer", {}).get("cases", [])):
        yield Check(name=f"tokens {number} {_short(case['text'])}", measure=partial(differences, case["text"], case["ids"]))


def videos(material: Material) -> Checks:
    """Lossless video files decode to the stored pixels, bit by bit."""
    if not material.mp4s:
        return
    if not material.folder.has("videos.safetensors"):
        yield Unchecked(name="videos", reason="needs videos.safetensors (the pixels), which is not in this folder")
        return

    def wrong(name: str) -> float:
        found, expected = read_mp4(material.mp4s[name])[0], material.folder.tensors("videos")[name].numpy()
        return float((found != expected).sum()) if found.shape == expected.shape else float(expected.size)

    for name in material.mp4s:
        yield Check(name=f"videos {name}.mp4", measure=partial(wrong, name))


def preprocess(material: Material) -> Checks:
    """Both transforms of every picture, read as uint8 and as float32: strided values, a corner, and statistics."""
    pictures, limit = Pictures(material), tolerance("preprocess", material.setting)
    stored, facts = pictures.stored, material.facts.get("preprocess", {})
    for name in sorted({key.partition(".")[0] for key in stored} | set(facts)):
        if name not in pictures.paths:
            yield Unchecked(name=f"preprocess {name}", reason=f"needs frame_{name}.png, which is not in this folder")
    for key in stored:
        if key.partition(".")[0] in pictures.paths and re.fullmatch(r"\w+\.(clip|dino)\.(u8|f32)\.(stride|corner)\d+", key):
            yield Check(name=f"preprocess {key}", kind="max_abs", tolerance=limit, measure=partial(pictures.values, key))
    for name in [name for name in facts if name in pictures.paths]:
        for field, fact in facts[name].items():
            title = f"preprocess {name} {field}"
            if one := re.fullmatch(r"(clip|dino)_(u8|f32)", field):
                yield Check(name=title, kind="max_abs", tolerance=limit, measure=partial(pictures.statistics, name, one[1], one[2], fact))
            elif both := re.fullmatch(r"(clip|dino)_u8_vs_f32_maxabs", field):
                yield Check(name=title, kind="abs", tolerance=2 * limit, measure=partial(pictures.apart, name, both[1], fact))


class Pictures:
    """The pictures of a folder, transformed.

    Args:
        material: Where they are, and on which device to work.
    """

    def __init__(self, material: Material):
        self._material = material
        self.paths = {path.stem.removeprefix("frame_"): path for path in sorted(material.folder.path.glob("frame_*.png"))}
        here = material.folder.has("preprocess.safetensors")
        self.stored: Mapping[str, Any] = material.folder.tensors("preprocess") if here else {}

    def transformed(self, name: str, transform: str, dtype: str) -> torch.Tensor:
        """(3, H, W) of one picture through "clip" or "dino", read as "u8" or "f32"."""

        def make() -> torch.Tensor:
            pixels = torch.from_numpy(np.array(read_png(self.paths[name])))
            image = pixels.permute(2, 0, 1)[None].contiguous().to(self._material.device)
            return torch.as_tensor(getattr(vbench_transforms, TRANSFORMS[transform])(image.float() if dtype == "f32" else image))[0].cpu()

        return torch.as_tensor(self._material.keep(("picture", name, transform, dtype), make))

    def values(self, key: str) -> float:
        """Error of stored values: every n-th of each side, or the last n × n."""
        name, transform, dtype, part = key.split(".")
        found, number = self.transformed(name, transform, dtype), int(re.findall(r"\d+", part)[0])
        return max_abs(found[:, ::number, ::number] if part.startswith("stride") else found[:, -number:, -number:], self.stored[key])

    def statistics(self, name: str, transform: str, dtype: str, fact: dict[str, Any]) -> float:
        """Error of mean, standard deviation, least and greatest per channel; another shape is infinitely wrong."""
        found = self.transformed(name, transform, dtype)
        if list(found.shape) != list(fact["shape"]):
            return float("inf")
        flat = found.double().flatten(1)
        ours = {"mean": flat.mean(1), "std": flat.std(1), "min": flat.amin(1), "max": flat.amax(1)}
        return max(max_abs(ours[field], fact[field]) for field in ours if field in fact)

    def apart(self, name: str, transform: str, expected: float) -> float:
        """Error of how far reading as bytes and as floats are apart."""
        return abs(max_abs(self.transformed(name, transform, "u8"), self.transformed(name, transform, "f32")) - expected)


def _differences(found: Any, expected: Any) -> float:
    return float(sum(a != b for a, b in zip(found, expected, strict=False)) + abs(len(found) - len(expected)))


def _short(text: str) -> str:
    words = "".join(char if char.isprintable() else " " for char in text)
    return repr(words if len(words) <= 24 else words[:21] + "…")
