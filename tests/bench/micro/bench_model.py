"""The world model: a denoising step, decoding, and the paper's claim on cost: what shot k takes, against k.

StoryMem makes a film at the cost of single shots: from the shot on at which memory is full, every shot costs the same, however long the
film grows (arXiv 2512.19539, section 3). Shot k of a world film has min(k - 1, 6) memory frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from storymem import condition
from storymem.denoise import Sampling
from storymem.generator import Take

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from storymem.method import StoryMemShots

PROMPT = "Wide shot of a cat walking right on the beach."
PLACES = (1, 2, 4, 7, 10, 14)


def take(maker: StoryMemShots, memory: int, steps: int) -> Take:
    """A take with so many memory frames."""
    generator = maker.generator
    height, width = (side // generator.latents.spatial_stride for side in generator.size)
    usual = maker.options.sampling(generator.profile, from_text=memory == 0)
    return Take(
        prompt=PROMPT,
        seed=0,
        sampling=Sampling(**{**vars(usual), "steps": steps}),
        memory=torch.zeros(1, condition.LATENT_CHANNELS, memory, height, width) if memory else None,
    )


@pytest.mark.parametrize("memory", [0, 3, 6])
def test_a_denoising_step(benchmark: BenchmarkFixture, maker: StoryMemShots, memory: int) -> None:
    """The pass with and the pass without the prompt, in one batch as the profile says."""
    from storymem.denoise import denoise, draw_noise
    from storymem.positions import temporal_positions

    generator = maker.generator
    wanted = take(maker, memory, 1)
    given, shape = generator._condition(wanted, memory == 0)
    experts = generator._load(memory == 0, adapter=memory > 0)
    text, negative = generator._text(PROMPT), generator._text(generator.profile.negative_prompt)
    positions = temporal_positions(memory, shape[1] - memory)
    noise = draw_noise(shape, 0)

    def step() -> torch.Tensor:
        return denoise(experts, noise, condition=given, text=text, negative=negative, positions=positions, sampling=wanted.sampling)

    assert benchmark.pedantic(step, rounds=5, warmup_rounds=1).shape == noise.shape


def test_decode_a_shot(benchmark: BenchmarkFixture, maker: StoryMemShots) -> None:
    generator = maker.generator
    height, width = (side // generator.latents.spatial_stride for side in generator.size)
    latents = torch.zeros(1, condition.LATENT_CHANNELS, condition.latent_frames(generator.profile.frames), height, width)
    made = benchmark.pedantic(lambda: generator.latents.decode(latents), rounds=5, warmup_rounds=1)
    assert made.shape[2] == generator.profile.frames


@pytest.mark.parametrize("k", PLACES)
def test_shot_k(benchmark: BenchmarkFixture, maker: StoryMemShots, k: int) -> None:
    """The whole take with the profile's steps; the group shows the cost against k."""
    benchmark.group = "shot k against k"
    memory = min(k - 1, maker.options.memory_size)
    wanted = take(maker, memory, maker.options.steps)
    clip = benchmark.pedantic(lambda: maker.generator.take(wanted), rounds=3, warmup_rounds=1)
    benchmark.extra_info["memory"] = memory
    assert len(clip.frames) == maker.generator.profile.frames
