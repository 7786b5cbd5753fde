"""Counted operations of a shot against what torch counts while the shot is really made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import storymem.generator
from stbench.errors import UserError
from storymem.generator import Take
from storymem.latents import Latents
from storymem.method import StoryMem


@pytest.mark.parametrize("memory", [0, 3])
def test_operations_of_a_shot_equal_what_torch_counts_while_it_is_made(
    tiny_model: Path, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text-to-video, and memory with the adapter on. A fused attention of the CPU is not counted by torch, so the plain one is used."""
    found: dict[str, int] = {}

    def counted(name: str, work: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            with FlopCounterMode(display=False) as counter:
                made = work(*args, **kwargs)
            found[name] = counter.get_total_flops()
            return made

        return run

    method = StoryMem.from_options(model=str(tiny_model), options={})
    with method.open("cpu") as maker, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        generator = maker.generator
        height, width = (side // generator.latents.spatial_stride for side in generator.size)
        sampling = method.options.sampling(generator.profile, from_text=memory == 0)
        given = torch.zeros(1, 16, memory, height, width) if memory else None
        monkeypatch.setattr(storymem.generator, "denoise", counted("denoise", storymem.generator.denoise))
        monkeypatch.setattr(Latents, "decode", counted("vae_decode", Latents.decode))
        clip = generator.take(Take(prompt="a red cat", seed=0, sampling=sampling, memory=given))
    detail = next(span.detail for span in clip.spans if span.stage == "denoise")
    monkeypatch.undo()
    work = method.work_counter().count(detail)
    assert {name: amount.flops for name, amount in work.items()} == pytest.approx(found, rel=0.01)
    assert all(amount.moved_bytes for amount in work.values())


def test_what_cannot_be_counted_is_refused(tiny_model: Path) -> None:
    counter = StoryMem.from_options(model=str(tiny_model), options={}).work_counter()
    with pytest.raises(UserError, match="the spans do not say enough"):
        counter.count({"steps": 2})
