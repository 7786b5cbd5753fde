"""Wan2.2 A14B at full size, on the meta device: every name of both layouts, the adapter, operations, bytes, memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from storymem import ghosts, lora, peaks, sizes
from storymem.cost import Precision, Work, adapter_flops, forward, forward_flops, step_cost
from storymem.layouts import LINEARS, to_diffusers, to_original
from storymem.sizes import WAN_A14B, bytes_of, on_meta
from storymem.trace import trace

WORK = Work(frames=81, height=480, width=832)


@pytest.fixture(scope="module")
def expert() -> Any:
    """One I2V expert; the two differ in numbers only."""
    return on_meta("transformer", WAN_A14B.m2v, "bfloat16")


def test_an_expert_has_the_published_size(expert: Any) -> None:
    assert sum(value.numel() for value in expert.parameters()) == pytest.approx(14.29e9, rel=1e-3)
    text_to_video = on_meta("transformer", WAN_A14B.t2v, "bfloat16", layers=1)
    assert text_to_video.patch_embedding.weight.shape == (5120, 16, 1, 2, 2)
    assert bytes_of(on_meta("vae", WAN_A14B.vae, "bfloat16")) == pytest.approx(0.254e9, rel=0.01)
    assert bytes_of(on_meta("text_encoder", WAN_A14B.text_encoder, "bfloat16")) == pytest.approx(2 * 5.68e9, rel=0.01)


@pytest.mark.parametrize("kind", ["transformer", "vae", "text_encoder"])
def test_every_name_of_both_layouts_is_mapped(kind: str, expert: Any) -> None:
    model = expert if kind == "transformer" else on_meta(kind, getattr(WAN_A14B, kind), "bfloat16")
    names = [name for name in model.state_dict() if name != "encoder.embed_tokens.weight"]  # tied, stored once
    original = [to_original(kind, name) for name in names]
    assert len(set(original)) == len(names) == {"transformer": 1095, "vae": 194, "text_encoder": 242}[kind]
    assert not set(original) & set(names) - {name for name in names if name.startswith("patch_embedding.")}
    assert [to_diffusers(kind, name) for name in original] == names


def test_modulation_and_norms_stay_float32(expert: Any) -> None:
    kept = {
        name.split(".")[-1] if "scale" in name else name.split(".")[-2] for name, v in expert.named_parameters() if v.dtype == torch.float32
    }
    assert kept == {"scale_shift_table", "norm2", "linear_1", "linear_2"}  # of the time embedding
    linears = [name for name, v in expert.named_parameters() if v.dtype == torch.float32 and "linear" in name]
    assert all("time_embedder" in name for name in linears)


def test_the_adapter_of_rank_128_fits_and_has_the_published_size(expert: Any) -> None:
    state = {}
    for block in range(40):
        for name in LINEARS:
            base = expert.get_submodule(to_diffusers("transformer", f"blocks.{block}.{name}"))
            for half, shape in (("A", (128, base.in_features)), ("B", (base.out_features, 128))):
                state[f"base_model.model.blocks.{block}.{name}.lora_{half}.weight"] = torch.empty(shape, device="meta")
    pairs = lora.pair_up(state)
    assert lora._check(expert, pairs, lora.LoraSpec(alpha=128, rank_stabilised=True, rank=128), "LoRA") == 128
    assert sum(down.numel() + up.numel() for down, up in pairs.values()) == pytest.approx(613.4e6, rel=1e-4)
    ghost = ghosts.weights(WAN_A14B, "m2v", "bfloat16", with_lora=True).total(40) - ghosts.weights(WAN_A14B, "m2v", "bfloat16").total(40)
    assert ghost == 2 * sum(value.numel() for value in state.values())


def test_two_blocks_tell_the_size_of_forty(expert: Any) -> None:
    assert ghosts.weights(WAN_A14B, "m2v", "bfloat16").total(40) == sum(v.numel() * v.element_size() for v in expert.parameters())


@pytest.mark.parametrize("memory", [0, 10])
def test_operations_equal_what_torch_counts(memory: int) -> None:
    work = replace(WORK, memory=memory)
    config = {**getattr(WAN_A14B, work.base), "num_layers": 2}
    model = ghosts.model(WAN_A14B, work.base, "bfloat16", layers=2)
    frames = 21 + memory
    inputs = torch.empty(1, config["in_channels"], frames, 60, 104, dtype=torch.bfloat16, device="meta")
    text = torch.empty(1, 512, 4096, dtype=torch.bfloat16, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(hidden_states=inputs, timestep=torch.zeros(1, device="meta"), encoder_hidden_states=text)
    assert forward_flops(config, frames * 30 * 52, 512) == pytest.approx(counter.get_total_flops(), rel=1e-6)


def test_operations_of_the_adapter_equal_what_torch_counts() -> None:
    counts = []
    for with_lora in (False, True):
        model = ghosts.model(WAN_A14B, "m2v", "bfloat16", layers=1, with_lora=with_lora)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(
                hidden_states=torch.empty(1, 36, 3, 20, 30, dtype=torch.bfloat16, device="meta"),
                timestep=torch.zeros(1, device="meta"),
                encoder_hidden_states=torch.empty(1, 512, 4096, dtype=torch.bfloat16, device="meta"),
            )
        counts.append(counter.get_total_flops())
    assert adapter_flops(WAN_A14B, 3 * 10 * 15, 512) / 40 == pytest.approx(counts[1] - counts[0], rel=1e-6)


def test_memory_frames_cost_what_was_computed_for_the_published_size() -> None:
    """x1.39 and x1.84 of plain image-to-video for 5 and 10 memory frames."""
    plain = step_cost(WAN_A14B, replace(WORK, known=1)).flops
    assert [round(step_cost(WAN_A14B, replace(WORK, known=1, memory=count)).flops / plain, 2) for count in (5, 10)] == [1.39, 1.84]
    assert step_cost(WAN_A14B, WORK, guided=False).flops == pytest.approx(step_cost(WAN_A14B, WORK).flops / 2)


def test_bytes_grow_with_the_blocks_and_hold_the_weights() -> None:
    work, precision = replace(WORK, memory=3), Precision()
    one, two, three = (forward(WAN_A14B, work, precision, layers=layers).moved_bytes for layers in (1, 2, 3))
    assert two - one == three - two
    cost = step_cost(WAN_A14B, work)
    assert cost.weight_bytes == pytest.approx(2 * 28.64e9, rel=1e-3)
    assert cost.moved_bytes > cost.weight_bytes


def test_a_trace_counts_what_is_alive_at_once_and_frees_what_is_not() -> None:
    start = torch.empty(1000, device="meta")

    def chain() -> torch.Tensor:
        out = start
        for _ in range(10):
            out = out + 1
        return out.view(10, 100).t()

    assert trace(chain).peak_bytes == 8000
    assert trace(chain).moved_bytes == 10 * 8000

    def in_place() -> torch.Tensor:
        return (start * 2).add_(1)

    assert trace(in_place).peak_bytes == 4000


def test_each_placement_holds_less_and_offload_is_near_the_published_peak() -> None:
    """Wan's own table says 41 GB for one GPU with offload at 480P; the code that it measured also spreads a time embedding over all
    tokens (4 to 5 GB more than a scalar one), and a GPU's own context comes on top."""
    found = [peaks.peak(WAN_A14B, replace(WORK, known=1), placement) for placement in ("resident", "offload", "group-offload")]
    resident, offload, groups = (peak.device_bytes / 1e9 for peak in found)
    assert resident > offload > groups
    assert 30 < offload < 41
    assert groups < 12
    assert found[0].host_bytes < 16e9 < found[1].host_bytes  # HPSv3 waits in main memory, whatever the placement


def test_hpsv3_is_counted_where_it_judges() -> None:
    judging = [peaks.peak(WAN_A14B, WORK, placement).phases[-1] for placement in ("resident", "offload", "group-offload")]
    assert {phase.name for phase in judging} == {"keyframes"}
    resident, offload, groups = (phase.weights_bytes / 1e9 for phase in judging)
    assert offload == pytest.approx(15.5 + 0.5, abs=0.1)  # 7.75 billion parameters in bfloat16, and the VAE
    assert resident - offload == pytest.approx(117, abs=1)
    assert groups < 3
    without = peaks.peak(replace(WAN_A14B, judge=None), WORK, "resident")
    assert [phase.name for phase in without.phases] == ["text_encode", "memory_encode", "denoise", "vae_decode"]


def test_tiling_needs_less_for_the_vae() -> None:
    whole, tiled = (peaks.peak(WAN_A14B, replace(WORK, memory=10), "group-offload", tiling=tiling).phases[3] for tiling in (False, True))
    assert tiled.activation_bytes < 0.3 * whole.activation_bytes


def test_configs_of_the_full_size_are_those_of_the_class() -> None:
    """A field that the class does not know would be dropped in silence."""
    import inspect

    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    for config, kind in ((WAN_A14B.m2v, WanTransformer3DModel), (WAN_A14B.vae, AutoencoderKLWan)):
        assert set(config) <= set(inspect.signature(kind.__init__).parameters)
    assert sizes.WAN_A14B.lora_targets == tuple(LINEARS.values())


def test_the_page_for_gpus_shows_the_predicted_peaks() -> None:
    """docs/gpu.md; `python tests/bench/bench_placements.py` prints the rows."""
    shown = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text(encoding="utf-8")
    row = next(line for line in shown.splitlines() if line.startswith("| 832×480 | 10 | no |"))
    work = replace(WORK, known=1, memory=10)
    found = [peaks.peak(WAN_A14B, work, placement) for placement in ("resident", "offload", "group-offload")]
    host = max(peak.host_bytes for peak in found)
    assert [float(cell) for cell in row.strip("|").split("|")[3:]] == [round(peak.device_bytes / 1e9, 1) for peak in found] + [
        round(host / 1e9)
    ]
