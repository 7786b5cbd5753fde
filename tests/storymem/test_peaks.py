"""Predicted memory against what torch's allocator reports, for the world model at three sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from storymem.cost import Precision, Work
from storymem.generator import Generator, Take
from storymem.options import MemoryOptions, parse
from storymem.peaks import peak
from storymem.profiles import Model, resolve
from storymem.sizes import bytes_of, sizes_of

WITHIN = 0.15
SIZES = [(48, 80, 17, 6), (96, 160, 33, 3), (144, 240, 17, 2)]  # height, width, frames, memory frames


def allocated(call: Callable[[], Any]) -> int:
    """The most bytes of tensors that were alive at once during the call, as the allocator of the CPU reports them."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        call()
    events = [(event.start_ns(), event.nbytes()) for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = np.cumsum([size for _, size in sorted(events, key=lambda event: event[0])])
    return int(live.max())


def resized(height: int, width: int, frames: int) -> Model:
    world = resolve("world")
    return replace(world, profile=world.profile.model_copy(update={"height": height, "width": width, "frames": frames}))


@pytest.mark.parametrize(("height", "width", "frames", "memory"), SIZES)
def test_prediction_is_within_15_percent(height: int, width: int, frames: int, memory: int) -> None:
    model = resized(height, width, frames)
    generator = Generator(model, "cpu")
    sampling = parse(MemoryOptions, {"steps": "2"}, model.profile).sampling(model.profile, from_text=False)
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    latents = torch.cat([generator.encode_image(picture)] * memory, dim=2)
    experts = generator._load(False, adapter=True)
    weights = bytes_of(experts.high) + bytes_of(generator.latents.vae)
    measured = weights + allocated(lambda: generator.take(Take(prompt="a cat", seed=0, sampling=sampling, memory=latents)))
    work = Work(frames=frames, height=height, width=width, memory=memory, text_tokens=model.profile.text_length)
    precision = Precision(transformer="float32", text_encoder="float32")
    predicted = peak(sizes_of(model), work, "resident", precision=precision, batch_guidance=model.profile.batch_guidance, on_cpu=True)
    assert predicted.device_bytes == pytest.approx(measured, rel=WITHIN)
    assert predicted.phases[2].weights_bytes == weights


def test_the_forward_pass_alone_is_predicted_too() -> None:
    """The VAE needs most at these sizes; this is the part that needs most at full size."""
    from storymem import cost, denoise

    model = resized(96, 160, 33)
    generator = Generator(model, "cpu")
    expert = generator._load(False, adapter=True).high
    inputs, text = torch.randn(2, 36, 12, 12, 20), torch.randn(2, 16, expert.config.text_dim)
    with torch.no_grad():
        measured = allocated(lambda: denoise.predict(expert, inputs, torch.tensor(500), text))
    work = Work(frames=33, height=96, width=160, memory=3, text_tokens=16)
    precision = Precision(transformer="float32", text_encoder="float32")
    predicted = cost.forward(sizes_of(model), work, precision, batch=2, with_adapter=True, on_cpu=True).peak_bytes
    assert predicted == pytest.approx(measured, rel=WITHIN)


def test_sizes_of_a_folder_are_read_without_its_weights(tiny_model: Path) -> None:
    found = sizes_of(resolve(str(tiny_model)))
    assert (found.lora_rank, found.experts, found.shared) == (2, 1, True)
    assert set(found.lora_targets) == {"attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ffn.net.2"}
