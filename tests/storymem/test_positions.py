"""Temporal positions and the rotary embedding that takes them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel
from hypothesis import given, settings
from hypothesis import strategies as st

from storymem.positions import TemporalRope, positions_set, rope_axes, temporal_positions, use_explicit_positions


def small(head_dim: int = 12) -> Any:
    torch.manual_seed(1)
    return WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=head_dim,
        in_channels=4,
        out_channels=4,
        text_dim=8,
        freq_dim=16,
        ffn_dim=16,
        num_layers=1,
        rope_max_seq_len=64,
    )


def run(model: Any, positions: Any, batch: int = 1, frames: int = 4) -> torch.Tensor:
    draw = torch.Generator().manual_seed(2)
    latents, text = torch.randn(1, 4, frames, 4, 4, generator=draw), torch.randn(1, 3, 8, generator=draw)
    with positions_set(model, positions):
        return model(
            hidden_states=latents.expand(batch, -1, -1, -1, -1),
            timestep=torch.tensor([500] * batch),
            encoder_hidden_states=text.expand(batch, -1, -1),
            return_dict=False,
        )[0]


@pytest.mark.parametrize("head_dim", [12, 20, 32, 64, 128])
def test_default_positions_are_bit_equal_to_diffusers(head_dim: int) -> None:
    model, latents = small(head_dim), torch.zeros(1, 4, 5, 6, 8)
    own = TemporalRope(head_dim, (1, 2, 2))
    for found, expected in zip(own(latents), model.rope(latents), strict=True):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)


@given(memory=st.integers(0, 12), frames=st.integers(1, 25), stride=st.integers(1, 9))
def test_paper_positions_leave_the_video_where_it_was_trained(memory: int, frames: int, stride: int) -> None:
    positions = temporal_positions(memory, frames, stride=stride)
    assert positions[memory:] == list(range(frames))
    assert positions == sorted(set(positions))
    assert all(later - earlier == stride for earlier, later in pairwise(positions[: memory + 1]))


def test_without_a_stride_all_memory_stands_where_the_video_begins() -> None:
    assert temporal_positions(3, 2, stride=0) == [0, 0, 0, 0, 1]


@given(head_dim=st.integers(3, 128).map(lambda half: 2 * half))
def test_axes_fill_the_head(head_dim: int) -> None:
    axes = rope_axes(head_dim)
    assert sum(axes) == head_dim
    assert all(axis > 0 and axis % 2 == 0 for axis in axes)


@settings(max_examples=5, deadline=None)
@given(shift=st.integers(-40, 40))
def test_only_gaps_matter(shift: int) -> None:
    model, positions = small(), [-10, -5, 0, 1]
    with torch.no_grad():
        assert torch.allclose(run(model, positions), run(model, [place + shift for place in positions]), atol=1e-5)
        assert not torch.allclose(run(model, positions), run(model, None), atol=1e-4)


def test_rows_of_a_batch_may_have_their_own_positions() -> None:
    model, rows = small(), torch.tensor([[-10, -5, 0, 1], [0, 1, 2, 3]])
    with torch.no_grad():
        together = run(model, rows, batch=2)
        for row in range(2):
            assert torch.allclose(together[row], run(model, rows[row])[0], atol=1e-6)


def test_it_trains_under_peft_with_checkpointing() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(small(), LoraConfig(r=2, target_modules=["to_q", "to_k"]))
    model.get_base_model().enable_gradient_checkpointing()
    rope = use_explicit_positions(model)
    assert use_explicit_positions(model) is rope
    run(model, [-10, -5, 0, 1]).square().mean().backward()
    gradients = [parameter.grad for name, parameter in model.named_parameters() if "lora_B" in name]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


def test_positions_last_only_for_their_block() -> None:
    model = small()
    with torch.no_grad():
        before = run(model, None)
        run(model, [-10, -5, 0, 1])
        assert torch.equal(run(model, None), before)


def test_a_wrong_number_of_positions_is_refused() -> None:
    with pytest.raises(ValueError, match="3 temporal positions for 4 latent frames"):
        run(small(), [0, 1, 2])
