"""Keyframe search and the condition tensors of a memory shot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from storymem import condition, conditioning
from storymem.keyframes import search

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from storymem.method import StoryMemShots


def test_keyframe_search_in_81_frames(benchmark: BenchmarkFixture) -> None:
    steps = np.random.default_rng(0).normal(size=(81, 512)).cumsum(axis=0)
    found = benchmark(lambda: search(steps, lambda frame: frame % 7 != 0))
    assert 1 <= len(found.indices) <= 3


def test_keyframes_of_a_shot(benchmark: BenchmarkFixture, maker: StoryMemShots, frames: np.ndarray) -> None:
    """Encoder and quality filter of the world profile included."""
    kept, _ = benchmark.pedantic(lambda: maker._keyframes(frames, []), rounds=5, warmup_rounds=1)
    assert len(kept) == 1


def test_condition_tensors_with_6_memory_frames(benchmark: BenchmarkFixture, maker: StoryMemShots) -> None:
    """As the second M2V shot of a run has them: the blank video is encoded already."""
    generator = maker.generator
    height, width = generator.size
    stride, count = generator.latents.spatial_stride, generator.profile.frames
    memory = torch.zeros(condition.LATENT_CHANNELS, 6, height // stride, width // stride)
    made = benchmark.pedantic(
        lambda: conditioning.channels(generator.latents, frames=count, size=generator.size, memory=memory), rounds=5, warmup_rounds=1
    )
    assert made.shape[:2] == (20, 6 + condition.latent_frames(count))


def test_encode_a_memory_frame(benchmark: BenchmarkFixture, maker: StoryMemShots, frames: np.ndarray) -> None:
    assert benchmark.pedantic(lambda: maker.generator.encode_image(frames[0]), rounds=5, warmup_rounds=1).shape[2] == 1
