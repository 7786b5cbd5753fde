"""Text embeddings and the frame measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from storymem import checkpoints, text
from storymem.quality import contrast_score


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
