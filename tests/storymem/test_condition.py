"""Masks and condition channels, beyond what the published numbers cover."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from storymem import condition
from storymem.condition import CONDITION_CHANNELS, fold_mask, frame_mask, latent_frames


@given(memory=st.integers(0, 10), latent=st.integers(2, 21), known=st.sampled_from([0, 1, 5]))
def test_a_latent_frame_is_known_when_all_its_frames_are(memory: int, latent: int, known: int) -> None:
    frames = 4 * (latent - 1) + 1
    folded = fold_mask(frame_mask(memory, frames, known=known), memory)
    assert folded.shape == (4, memory + latent)
    given_latents = 0 if known == 0 else 1 + (known - 1) // 4
    expected = torch.zeros(4, memory + latent)
    expected[:, : memory + given_latents] = 1
    assert torch.equal(folded, expected)


@given(memory=st.integers(0, 3), known=st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_a_batch_of_masks_is_its_rows(memory: int, known: list[int]) -> None:
    rows = torch.stack([frame_mask(memory, 9, known=count) for count in known])
    assert torch.equal(fold_mask(rows, memory), torch.stack([fold_mask(row, memory) for row in rows]))


def test_a_batch_of_conditions_is_its_rows() -> None:
    video, memory = torch.randn(3, 16, 3, 2, 2), torch.randn(3, 16, 2, 2, 2)
    known = torch.tensor([0, 1, 5])
    together = condition.condition(video, memory_latents=memory, frames=9, known=known)
    assert together.shape == (3, CONDITION_CHANNELS, 5, 2, 2)
    for row in range(3):
        alone = condition.condition(video[row], memory_latents=memory[row], frames=9, known=int(known[row]))
        assert torch.equal(together[row], alone)


def test_text_to_video_is_told_nothing() -> None:
    given_channels = condition.no_condition(torch.randn(2, 16, 3, 4, 5))
    assert given_channels.shape == (2, CONDITION_CHANNELS, 3, 4, 5)
    assert not given_channels.any()


@pytest.mark.parametrize("frames", [0, 2, 80])
def test_frames_that_do_not_fold_are_refused(frames: int) -> None:
    with pytest.raises(ValueError, match=f"{frames} frames"):
        latent_frames(frames)


def test_pixels_survive_the_way_there_and_back() -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 6, 4, 3), np.uint8))
    there = condition.to_model_range(pixels)
    assert torch.equal(condition.resize(there, 6, 4), there)
    assert torch.equal(condition.unpack(there.transpose(0, 1)), pixels)
