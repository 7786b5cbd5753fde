"""Text embeddings and the frame measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_method import SHORT, film, storymem

from stbench.encoders import ENCODERS
from stbench.errors import UserError
from storymem import checkpoints, text
from storymem.method import StoryMem
from storymem.quality import QUALITY, THRESHOLDS, contrast_score, sharpness_score


def test_padding_is_zero_and_attends_as_zero(tiny_model: Path) -> None:
    tokenizer = checkpoints.load_tokenizer(tiny_model / "tokenizer")
    encoder = checkpoints.load_component(tiny_model / "text_encoder", "text_encoder", dtype=torch.float32)
    found = text.embed(tokenizer, encoder, ["a red cat", "", "a blue dog in the park on snow , a cat"], 8)
    assert found.shape == (3, 8, 16)
    assert found[0, :3].abs().sum(dim=1).min() > 0
    assert not found[0, 3:].any()
    assert not found[1].any()
    assert found[2].abs().sum(dim=1).min() > 0
    assert torch.isfinite(found).all()
    assert text.is_cut(tokenizer, "a blue dog in the park on snow , a cat", 8)
    assert not text.is_cut(tokenizer, "a red cat", 8)


def test_blank_and_noise_score_nothing_a_drawing_does() -> None:
    rng = np.random.default_rng(0)
    blank = np.full((48, 80, 3), 120, np.uint8)
    noise = np.repeat(rng.normal(128, 50, (48, 80, 1)).clip(0, 255), 3, axis=2).astype(np.uint8)
    drawing = blank.copy()
    drawing[10:40, 20:50] = (220, 60, 40)
    drawing[:12] = (90, 160, 250)
    scores = contrast_score(np.stack([blank, noise, drawing]))
    assert scores[0] == 0
    assert scores[1] < 1
    assert scores[2] > 5


def test_sharpness_sees_blur_and_neither_light_nor_scene() -> None:
    from PIL import Image, ImageFilter

    from stbench.suites import load_suite
    from stbench.world.render import render_shot
    from stbench.world.spec import ShotTruth

    truths = [shot.truth for story in load_suite("world-mini").stories for shot in story.shots]
    frames = np.stack([render_shot(ShotTruth.from_json(dict(truth or {}))).frames[0] for truth in truths])
    blurred = np.stack([np.asarray(Image.fromarray(frame).filter(ImageFilter.BoxBlur(1))) for frame in frames])
    sharp, soft = sharpness_score(frames), sharpness_score(blurred)
    limit = THRESHOLDS["sharpness"]
    assert sharp.min() > limit > soft.max()  # every scene passes as it is drawn, and none once it is blurred
    np.testing.assert_allclose(sharpness_score(frames // 2 + 20), sharp, rtol=0.05)
    noise = np.random.default_rng(0).integers(0, 256, (48, 80, 1), np.uint8).repeat(3, axis=2)
    assert sharpness_score(np.stack([np.full_like(noise, 120), noise])).max() < limit
    assert QUALITY.get("sharpness").load("cpu").quality(frames).tolist() == sharp.tolist()
    assert len({QUALITY.get(name).digest() for name in ("contrast", "sharpness", "none")}) == 3


def test_the_aesthetic_head_judges_when_its_threshold_is_given(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS._targets, "laion-aesthetic", "tiny:Ratings")
    kept = {limit: film(storymem(tiny_model, quality="laion", quality__threshold=limit), tmp_path, SHORT)[0] for limit in ("0", "0.999")}
    assert kept["0"].keyframes
    assert not kept["0.999"].keyframes
    assert np.array_equal(kept["0"].frames, kept["0.999"].frames)
    found = QUALITY.get("laion").load("cpu").quality(np.stack([np.full((4, 4, 3), level, np.uint8) for level in (0, 255)]))
    assert found.tolist() == [0.0, 1.0]
    with pytest.raises(UserError, match=r"no threshold is known for quality=laion; give quality\.threshold"):
        storymem(tiny_model, quality="laion")


def test_the_quality_model_and_its_threshold_are_part_of_the_identity(tiny_model: Path) -> None:
    found = [storymem(tiny_model, **options).identity() for options in ({}, {"quality": "none"}, {"quality__threshold": "4"})]
    assert [entry["quality"]["threshold"] for entry in found] == [0.0, THRESHOLDS["none"], 4.0]
    assert found[1]["quality"]["id"] == "none"
    assert len({str(entry) for entry in found}) == 3
    with pytest.raises(UserError, match=r"unknown quality model 'hpsv2'.*did you mean 'hpsv3'"):
        storymem(tiny_model, quality="hpsv2")


def test_judges_that_are_not_here_are_one_message(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("STBENCH_MODELS", raising=False)
    with pytest.raises(
        UserError, match=r"MizzenAI/HPSv3 \(MIT; about 17 GB\); .*Qwen2-VL.*hf download MizzenAI/HPSv3 .*&& hf download Qwen/"
    ):
        StoryMem.from_options(model=str(tiny_model), options={"quality": "hpsv3"})
