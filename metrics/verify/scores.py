"""Scores of every video, their aggregates, and what happens where there is nothing to score."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from metrics import aesthetic_quality, aggregates, prompt_following_single_shot, subject_consistency, temporal_flickering
from metrics.base import NoValueError
from metrics.encoders import clip_tokens, sampling, vbench_transforms
from metrics.verify.material import VICLIP, WEIGHTS, Material
from metrics.verify.tolerances import tolerance
from stbench.errors import UserError
from stbench.oracle import Check, Unchecked

Checks = Iterator[Check | Unchecked]
TRANSFORM_OF = {"subject": "dino", "background": "clip", "aesthetic": "clip"}  # what a linear stub looks through


def feature_name(metric: str, encoder: str) -> str:
    """The stored feature that a result like "subject.linear" was computed from.

    Example:
        >>> feature_name("subject", "linear"), feature_name("aesthetic", "clip_tiny")
        ('linear_dino', 'clip_tiny')
    """
    return f"linear_{TRANSFORM_OF[metric]}" if encoder == "linear" else encoder


def score(material: Material, metric: str, feats: np.ndarray) -> float:
    """One video's score from its frame features (F, D)."""
    if metric in ("subject", "background"):
        return subject_consistency.frame_consistency(feats)
    weight, bias = material.head(feats.shape[1])
    return aesthetic_quality.aesthetic_quality(aesthetic_quality.frame_ratings(feats, weight, bias))


def results(material: Material) -> Checks:
    """Checks of "results" in oracle.json: per video from pixels, per video from stored features, and aggregates."""
    for name, fact in material.facts.get("results", {}).items():
        metric = name.partition(".")[0]
        if not isinstance(fact, dict):
            yield from _extra(material, name, fact)
        elif metric == "flicker":
            yield from Result(material, name, fact, lambda number, row: _flicker(material, number)).checks("arithmetic")
        elif metric == "overall":
            if material.folder.has(f"{VICLIP}.safetensors"):
                yield from Result(material, name, fact, partial(_overall, material)).checks("score")
            else:
                yield Unchecked(name=f"scores {name}", reason=f"needs {VICLIP}.safetensors, which is not in this folder")
        elif metric in TRANSFORM_OF:
            yield from _from_features(material, name, fact)
        else:
            yield Unchecked(name=f"scores {name}", reason="this metric is not understood")


def _from_features(material: Material, name: str, fact: dict[str, Any]) -> Checks:
    metric, _, encoder = name.partition(".")
    feature = feature_name(metric, encoder)

    def one(number: int, row: Mapping[str, Any]) -> float:
        return score(material, metric, material.feature(material.videos[number], feature))

    result = Result(material, name, fact, one)
    if material.can(feature):
        yield from result.checks("score")
    else:
        yield Unchecked(name=f"scores {name}", reason=f"{feature} needs its encoder in {WEIGHTS}.safetensors, which is not in this folder")
    has_head = metric != "aesthetic" or material.can("aes")
    if not material.folder.has("features.safetensors") or not has_head:
        return
    stored = material.folder.tensors("features")

    def error(key: str, expected: float) -> float:
        return abs(score(material, metric, stored[key].numpy()) - expected)

    limit = tolerance("arithmetic", material.setting)
    for number, row in result.rows:
        if (key := f"video{number}.{feature}") in stored:
            title, measure = f"scores {name} video{number} of stored features", partial(error, key, float(row["video_results"]))
            yield Check(name=title, kind="abs", tolerance=limit, measure=measure)


class Result:
    """One entry of "results".

    Args:
        material: Files and networks.
        name: "subject.dino_tiny", …
        fact: Its values per video, and aggregates.
        one: Our value of video i, given its row.
    """

    def __init__(self, material: Material, name: str, fact: Mapping[str, Any], one: Callable[[int, Mapping[str, Any]], float]):
        self._material, self._name, self._fact, self._one = material, name, fact, one
        names = material.facts.get("stub_config", {}).get("names", [])
        self.rows = [  # (number of the video, row): by the name of its file where the file is listed, else by order
            (names.index(row["video_path"]) if row.get("video_path") in names else at, row) for at, row in enumerate(fact["per_video"])
        ]

    def value(self, number: int, row: Mapping[str, Any]) -> float:
        """Our value of a video, computed once."""
        return float(self._material.keep(("value", self._name, number), lambda: self._one(number, row)))

    def comparisons(self, number: int) -> int:
        """How many frames of a video have one before them."""
        return len(self._material.frames(self._material.videos[number])) - 1

    def checks(self, what: str) -> Checks:
        """Each video, then the aggregates."""
        limit, metric = tolerance(what, self._material.setting), self._name.partition(".")[0]
        if not self._material.videos:
            yield Unchecked(name=f"scores {self._name}", reason="needs the videos, which are not in this folder")
            return
        for number, row in self.rows:
            title = f"scores {self._name} video{number}"
            yield Check(name=title, kind="abs", tolerance=limit, measure=partial(self._error, number, row))
            if "video_sim" in row:
                many = limit * max(1, int(row.get("cnt_per_video", 1)))
                yield Check(name=f"{title} sum", kind="abs", tolerance=many, measure=partial(self._sum_error, number, row))
            if "cnt_per_video" in row:
                yield Check(name=f"{title} comparisons", measure=partial(self._count_error, number, row))
        ways = aggregates.OVER_FRAMES.get(f"{metric}_consistency", (False, False))
        for field, by_frames in zip(("aggregate", "multi_rank_aggregate"), ways, strict=True):
            if field in self._fact:
                title, measure = f"scores {self._name} {field}", partial(self._aggregate_error, by_frames, float(self._fact[field]))
                yield Check(name=title, kind="abs", tolerance=limit, measure=measure)

    def _error(self, number: int, row: Mapping[str, Any]) -> float:
        return abs(self.value(number, row) - float(row["video_results"]))

    def _sum_error(self, number: int, row: Mapping[str, Any]) -> float:
        return abs(self.value(number, row) * self.comparisons(number) - float(row["video_sim"]))

    def _count_error(self, number: int, row: Mapping[str, Any]) -> float:
        return float(abs(self.comparisons(number) - int(row["cnt_per_video"])))

    def _aggregate_error(self, by_frames: bool, expected: float) -> float:
        values = [self.value(number, row) for number, row in self.rows]
        counts = [self.comparisons(number) for number, _ in self.rows]
        return abs((aggregates.over_frames(values, counts) if by_frames else aggregates.over_videos(values)) - expected)


def _flicker(material: Material, number: int) -> float:
    frames = material.frames(material.videos[number])
    return temporal_flickering.steadiness(temporal_flickering.frame_differences(frames))


def prompt_of(name: str) -> str:
    """The prompt in the name of a video file.

    Example:
        >>> prompt_of("sunset over the sea-1.mp4")
        'sunset over the sea'
    """
    return re.sub(r"-\d+\.\w+$", "", name)


def _overall(material: Material, number: int, row: Mapping[str, Any]) -> float:
    """ViCLIP: bytes are resized as bytes, a few frames are taken, the text is cut."""
    config = material.facts["viclip_tiny"]["config"]
    wanted, side = config["vision"]["num_frames"], config["vision"]["input_resolution"]
    images = material.images(material.videos[number], as_float=False)
    clip = vbench_transforms.clip_input(images[sampling.midpoints(len(images), wanted)], side)
    ids = clip_tokens.token_ids(prompt_of(row["video_path"]), config["text"]["context_length"])
    video, text = material.video_embedding(clip[None])[0], material.text_embedding(torch.tensor([ids]))[0]
    return prompt_following_single_shot.cosine(video.numpy(), text.numpy())


def _extra(material: Material, name: str, fact: Any) -> Checks:
    """Single numbers that explain a quirk: the lowest cosine, or ratings of frames that were resized as bytes."""
    limit = tolerance("score", material.setting)
    needed = {"raw_cos_linear_min": "linear_clip", "aesthetic_if_u8_resize": "clip_tiny"}.get(name, "")
    if needed and not (material.can(needed) and material.videos):
        yield Unchecked(
            name=f"scores {name}", reason=f"{needed} needs its encoder in {WEIGHTS}.safetensors and videos, which are not in this folder"
        )
        return

    def lowest(number: int, expected: float) -> float:
        x = material.feature(material.videos[number], "linear_clip").astype(np.float64)
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        return abs(float((x[1:] @ x[0]).min()) - expected)

    def bytes_resized(number: int, expected: float) -> float:
        feats = material.feature(material.videos[number], "clip_tiny", as_float=False)
        return abs(score(material, "aesthetic", feats) - expected)

    measures = {"raw_cos_linear_min": lowest, "aesthetic_if_u8_resize": bytes_resized}
    if name not in measures:
        yield Unchecked(name=f"scores {name}", reason="this number is not understood")
        return
    for number, expected in enumerate(fact):
        measure = partial(measures[name], number, float(expected))
        yield Check(name=f"scores {name} video{number}", kind="abs", tolerance=limit, measure=measure)


def edges(material: Material) -> Checks:
    """Checks of "edge": where VBench divides by zero or gives NaN, ours gives a reason; where it gives a number, ours gives that number."""
    for name, said in material.facts.get("edge", {}).items():
        text = str(said)
        number = re.match(r"\(([-+.\de]+),", text)
        if name == "text_cache_after_run":
            continue  # VBench's cache is keyed by the text alone; ours by the encoder's digest too (metrics.features)
        if name.startswith("empty_list"):
            yield Check(name=f"edge {name}", measure=partial(_has_reason, lambda: aggregates.over_videos([])))
        elif (known := re.fullmatch(r"(\w+)_1frame", name)) is None:
            yield Unchecked(name=f"edge {name}", reason="this case is not understood")
        elif number and not (material.can("linear") and material.can("aes") and material.videos):
            yield Unchecked(name=f"edge {name}", reason=f"needs {WEIGHTS}.safetensors and the videos, which are not in this folder")
        elif number:
            limit = tolerance("score", material.setting)
            yield Check(name=f"edge {name}", kind="abs", tolerance=limit, measure=partial(_one_frame, material, known[1], float(number[1])))
        else:
            yield Check(name=f"edge {name}", measure=partial(_has_reason, partial(_score_one_frame, material, known[1])))


def _has_reason(compute: Callable[[], Any]) -> float:
    """0 if it refuses with a reason, 1 if it gives a number."""
    try:
        compute()
    except NoValueError:
        return 0.0
    return 1.0


def _score_one_frame(material: Material, metric: str) -> float:
    if metric == "flicker":
        return temporal_flickering.steadiness(temporal_flickering.frame_differences(np.zeros((1, 4, 4, 3), np.uint8)))
    if metric not in ("subject", "background"):
        raise UserError(f"metric {metric!r} is not understood")
    return score(material, metric, np.ones((1, 4)))


def _one_frame(material: Material, metric: str, expected: float) -> float:
    """The file does not say which frame it was: the nearest of the first frames of its videos, under each of its encoders."""
    errors = []
    for encoder in [encoder for encoder in ("linear", "clip_tiny") if material.can(encoder)]:
        for video in material.videos:
            feats = material.feature(video, feature_name(metric, encoder))[:1]
            errors.append(abs(score(material, metric, feats) - expected))
    return min(errors)
