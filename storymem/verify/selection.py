"""What is kept of a shot and what stands in memory: keyframe searches, the pixels they look at, and the bank."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from stbench.oracle import Check, Unchecked
from storymem import clip_frames, keyframes, memory
from storymem.verify.models import Models, max_abs, unequal
from storymem.verify.tolerances import tolerance

RELEASED: Any = "release-2025-12"


def memory_bank(models: Models) -> Iterator[Check | Unchecked]:
    """Checks of memory_bank.json: which keyframes stand in memory, quirks included."""
    for case in models.folder.json("memory_bank")["cases"]:
        name = f"memory_bank n {case['n']}, size {case['max_memory_size']}, sink {case['fix']}"
        yield Check(name=name, measure=partial(_bank, case))


def _bank(case: Mapping[str, Any]) -> float:
    found = memory.select(case["n"], size=case["max_memory_size"], sink=case["fix"], variant=RELEASED)
    return _differences(found, case["selected"])


def keyframe_searches(models: Models) -> Iterator[Check | Unchecked]:
    """Checks of keyframes.json: keyframes, thresholds tried, frames saved; never more questions than the published code asks."""
    fact = models.folder.json("keyframes")
    for name, case in fact["cases"].items():
        if case["result"].get("error"):
            yield Check(name=f"keyframes {name}", measure=partial(_answers, fact["constants"], case))
            continue
        yield Check(name=f"keyframes {name}", measure=partial(_wrong, fact["constants"], case))
        if "quality_calls" in case["result"]:
            yield Check(name=f"keyframes {name} calls", measure=partial(_too_many, fact["constants"], case))


def _answers(constants: Mapping[str, Any], case: Mapping[str, Any]) -> float:
    """Where the published code crashes, ours has to give an answer."""
    _search(constants, case)
    return 0.0


def _search(
    constants: Mapping[str, Any], case: Mapping[str, Any], maximum: int | None = None
) -> tuple[keyframes.KeyframeSearch, list[int]]:
    """Our search, and the frames whose quality it asked for."""
    asked: list[int] = []

    def passes(frame: int) -> bool:
        asked.append(frame)
        return bool(case["quality"][frame] >= constants["HPSV3_QUALITY_THRESHOLD"])

    found = keyframes.search(
        np.array(case["embeddings"], np.float64),
        passes,
        threshold=constants["MIN_FRAME_SIMILARITY"],
        step=constants["ADAPTIVE_ALPHA"],
        maximum=maximum or constants["MAX_KEYFRAME_NUM"],
        variant=RELEASED,
    )
    return found, asked


def _wrong(constants: Mapping[str, Any], case: Mapping[str, Any]) -> float:
    """Differences in indices, thresholds, saved frames and the first pass."""
    expected, embeddings = case["result"], np.array(case["embeddings"], np.float64)
    found, _ = _search(constants, case)
    wrong = _differences(found.indices, expected["final_indices"])
    wrong += _differences(
        [round(value, 8) + 0.0 for value in found.thresholds], [round(value, 8) + 0.0 for value in expected["thresholds"]]
    )
    if "n_iterations" in expected:
        wrong += len(found.thresholds) != expected["n_iterations"]
    if "first_pass_indices" in expected:
        wrong += _differences(_search(constants, case, maximum=len(embeddings) + 1)[0].indices, expected["first_pass_indices"])
    rows = (
        keyframes.new_to_memory(
            embeddings[list(found.indices)], np.array(case["memory_embeddings"]), threshold=constants["MIN_FRAME_SIMILARITY"]
        )
        if found.indices
        else []
    )
    return wrong + _differences([found.indices[row] for row in rows], sorted(expected["saved"].values()))


def _too_many(constants: Mapping[str, Any], case: Mapping[str, Any]) -> float:
    """Questions beyond one per frame, or beyond those of the published code."""
    _, asked = _search(constants, case)
    return float(len(asked) - len(set(asked)) + max(0, len(asked) - case["result"]["quality_calls"]))


def keyframe_pixels(models: Models) -> Iterator[Check | Unchecked]:
    """Checks of keyframes_pixels.*: sizes, resized bytes, what CLIP is fed, similarities and keyframes of a stub encoder."""
    fact, given = models.folder.json("keyframes_pixels"), models.folder.tensors("keyframes_pixels")
    limit = tolerance("pixels", models.setting)
    for size, expected in fact["smart_resize"].items():
        yield Check(name=f"keyframes_pixels size {size}", measure=partial(_size, size, expected))
    for key in given:
        if re.fullmatch(r"resized(\d+)_u8_sub(\d+)", key):
            yield Check(name=f"keyframes_pixels {key}", measure=partial(_part, models, key, unequal))
        elif re.fullmatch(r"pre(_raw)?(\d+)_sub(\d+)", key):
            yield Check(name=f"keyframes_pixels {key}", kind="max_abs", tolerance=limit, measure=partial(_part, models, key, max_abs))
    pool = re.search(r"avg_pool2d\(x, (\d+)\)", fact.get("stub", ""))
    if pool is None:
        yield Unchecked(name="keyframes_pixels similarities", reason="the stub encoder is not understood")
        return

    def embeddings() -> np.ndarray:
        pooled = torch.nn.functional.avg_pool2d(_pixels(models, raw=False), int(pool[1])).flatten(1)
        return np.asarray(pooled.cpu().numpy())

    def similarity() -> float:
        return max_abs(torch.from_numpy(keyframes.cosine(embeddings(), embeddings())), given["sim_matrix"])

    def indices(threshold: str, expected: list[int]) -> float:
        found = keyframes.search(embeddings(), lambda frame: True, threshold=float(threshold), variant=RELEASED)
        return _differences(found.indices, expected)

    yield Check(name="keyframes_pixels sim_matrix", kind="max_abs", tolerance=limit, measure=similarity)
    for threshold, expected in fact["indices"].items():
        yield Check(name=f"keyframes_pixels threshold {threshold}", measure=partial(indices, threshold, expected))


def _size(size: str, expected: list[int]) -> float:
    height, width = map(int, size.split("x"))
    return _differences(clip_frames.search_size(height, width), expected)


def _part(models: Models, key: str, error: Callable[[torch.Tensor, torch.Tensor], float]) -> float:
    """Error of a strided part of one frame, named like resized0_u8_sub4, pre0_sub8 or pre_raw0_sub8."""
    given = models.folder.tensors("keyframes_pixels")
    index, step = (int(number) for number in re.findall(r"(\d+)_(?:u8_)?sub(\d+)", key)[0])
    found = clip_frames.shrink(given["frames_u8"]) if key.startswith("resized") else _pixels(models, raw="_raw" in key)
    return error(found[index][:, ::step, ::step], given[key])


def _pixels(models: Models, *, raw: bool) -> torch.Tensor:
    """What CLIP is fed: of the frames as they are, or (as in a search) resized first."""

    def make() -> torch.Tensor:
        frames = models.folder.tensors("keyframes_pixels")["frames_u8"]
        return clip_frames.clip_pixels((frames if raw else clip_frames.shrink(frames)).to(models.device))

    return models.keep(("pixels", str(raw)), make)


def _differences(found: Any, expected: Any) -> float:
    """How many entries of two lists differ, a missing one counting as one."""
    found, expected = list(found), list(expected)
    return float(sum(a != b for a, b in zip(found, expected, strict=False)) + abs(len(found) - len(expected)))
