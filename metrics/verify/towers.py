"""ViCLIP: the tiny one number by number, the full-size one name by name and shape by shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from metrics.encoders import clip_tokens, vbench_transforms, viclip_net
from metrics.verify.material import VICLIP, VICLIP_IO, Material, max_abs, rel_l2
from metrics.verify.tolerances import tolerance
from stbench.oracle import Check, Unchecked

Checks = Iterator[Check | Unchecked]


def viclip(material: Material) -> Checks:
    """Tokens, both embeddings, raw and of length 1, their similarity, and a clip of one frame."""
    files = ("oracle.json", f"{VICLIP}.safetensors", f"{VICLIP_IO}.safetensors")
    lacking = [name for name in files if not material.folder.has(name)]
    if lacking or "viclip_tiny" not in material.facts:
        if files[1] not in lacking or files[2] not in lacking:
            yield Unchecked(
                name="viclip", reason=f"needs {', '.join(lacking) or 'viclip_tiny in oracle.json'}, which is not in this folder"
            )
        return
    tiny, limit = TinyViclip(material), tolerance("feature", material.setting)
    yield Check(name="viclip token_ids", measure=tiny.wrong_tokens)
    for key in tiny.given:
        if re.fullmatch(r"(vision|text)_(embed|norm)(_T1)?", key):
            yield Check(name=f"viclip {key}", kind="rel_l2", tolerance=limit, measure=partial(tiny.error, key))
    for name, expected in (("sim", tiny.given.get("sim")), ("sim in oracle.json", tiny.fact.get("sim"))):
        if expected is not None:
            yield Check(name=f"viclip {name}", kind="max_abs", tolerance=limit, measure=partial(tiny.similarity, expected))


class TinyViclip:
    """The tiny ViCLIP's stored inputs and outputs, and our errors.

    Args:
        material: Files and networks.
    """

    def __init__(self, material: Material):
        self._material = material
        self.given, self.fact = material.folder.tensors(VICLIP_IO), material.facts["viclip_tiny"]

    def clips(self) -> torch.Tensor:
        """(B, T, 3, P, P): small stored bytes, normalised, each pixel repeated."""
        small = self.given["frames_small_u8"]
        images = vbench_transforms.normalise(small, vbench_transforms.CLIP_MEAN, vbench_transforms.CLIP_STD)
        factor = int(self.fact["config"]["vision"]["input_resolution"]) // small.shape[-1]
        return images.repeat_interleave(factor, -1).repeat_interleave(factor, -2)

    def embedding(self, key: str) -> torch.Tensor:
        """Of the texts, of the clips, or ("…_T1") of their first frames."""
        if key.startswith("text"):
            return self._material.text_embedding(self.given["token_ids"])
        return self._material.video_embedding(self.clips()[:, :1] if key.endswith("T1") else self.clips())

    def error(self, key: str) -> float:
        """Error of one embedding."""
        found = self.embedding(key)
        return rel_l2(torch.nn.functional.normalize(found, dim=-1) if key.endswith("_norm") else found, self.given[key])

    def similarity(self, expected: object) -> float:
        """Error of the cosines of all clips and texts."""
        video, text = (torch.nn.functional.normalize(self.embedding(key), dim=-1) for key in ("vision", "text"))
        return max_abs(video @ text.T, expected)

    def wrong_tokens(self) -> float:
        """How many token ids differ."""
        expected = self.given["token_ids"].tolist()
        ours = [clip_tokens.token_ids(text, len(row)) for text, row in zip(self.fact["texts"], expected, strict=True)]
        return float(np.sum(np.asarray(ours) != np.asarray(expected)))


def full_size(material: Material) -> Checks:
    """Names and shapes of the published checkpoint against a network without memory, built from what they tell."""
    if not material.folder.has("viclip_l14_keys.json"):
        return
    expected = {name: tuple(shape) for name, shape in material.folder.json("viclip_l14_keys").items()}

    def network() -> viclip_net.Viclip:
        with torch.device("meta"):
            return viclip_net.Viclip(viclip_net.ViclipConfig.of(expected))

    def wrong() -> float:
        ours = viclip_net.shapes_of(network())
        return float(len(set(ours.items()) ^ set(expected.items())))

    def parameters(stated: int) -> float:
        return abs(float(sum(value.numel() for value in network().parameters())) - stated)

    yield Check(name="viclip full size, names and shapes", measure=wrong)
    if "viclip_l14_n_params" in material.facts:
        yield Check(name="viclip full size, parameters", measure=partial(parameters, material.facts["viclip_l14_n_params"]))
