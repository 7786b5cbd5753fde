"""Preprocessing of the big model's keyframe encoder against the published search (tests/oracle)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from published import facts, tensors
from torch.nn import functional

from storymem import clip_frames, keyframes

FACT, GIVEN = facts("keyframes_pixels"), tensors("keyframes_pixels")


@pytest.mark.parametrize("size", FACT["smart_resize"])
def test_search_size(size: str) -> None:
    height, width = map(int, size.split("x"))
    assert clip_frames.search_size(height, width) == tuple(FACT["smart_resize"][size])


def test_pixels() -> None:
    frames = GIVEN["frames_u8"]
    small = clip_frames.shrink(frames)
    assert list(small.shape[2:]) == FACT["resized"]
    assert torch.equal(small[0][:, ::4, ::4], GIVEN["resized0_u8_sub4"])
    assert (clip_frames.clip_pixels(small)[0][:, ::8, ::8] - GIVEN["pre0_sub8"]).abs().max() <= 1e-5
    assert (clip_frames.clip_pixels(frames)[0][:, ::8, ::8] - GIVEN["pre_raw0_sub8"]).abs().max() <= 1e-5


@pytest.mark.parametrize("threshold", FACT["indices"])
def test_similarities_and_keyframes(threshold: str) -> None:
    pixels = clip_frames.clip_pixels(clip_frames.shrink(GIVEN["frames_u8"]))
    embeddings = functional.avg_pool2d(pixels, 32).flatten(1).numpy()
    assert np.abs(keyframes.cosine(embeddings, embeddings) - GIVEN["sim_matrix"].numpy()).max() <= 1e-5
    found = keyframes.search(embeddings, lambda frame: True, threshold=float(threshold), variant="release-2025-12")
    assert list(found.indices) == FACT["indices"][threshold]
