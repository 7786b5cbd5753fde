"""Transformer, VAE, text encoder, condition and schedulers against the published code (tests/oracle)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from published import condition_channels, facts, latents, padded, part, rel_l2, tensors, transformer

from storymem import condition, layouts, lora
from storymem.denoise import flow_schedule
from storymem.positions import positions_set, temporal_positions

TRANSFORMER_TOLERANCE = 2e-5
VAE_TOLERANCE = 5e-6


def velocity(model: Any, timestep: int, context: str = "context", positions: list[int] | None = None) -> torch.Tensor:
    given, length = tensors("transformer_m2v"), facts("transformer_m2v")["config"]["text_len"]
    inputs = torch.cat([given["x"], given["y"]])[None]
    with torch.no_grad(), positions_set(model, positions):
        out = model(
            hidden_states=inputs,
            timestep=torch.tensor([timestep]),
            encoder_hidden_states=padded(given[context], length)[None],
            return_dict=False,
        )
    return out[0][0]


@pytest.fixture(scope="module")
def model() -> Any:
    return transformer("transformer_m2v", "sd", facts("transformer_m2v")["config"])


@pytest.mark.parametrize("timestep", [999, 922, 571, 1])
def test_transformer(model: Any, timestep: int) -> None:
    assert rel_l2(velocity(model, timestep), tensors("transformer_m2v")[f"out_t{timestep}"]) < TRANSFORMER_TOLERANCE


def test_transformer_with_another_prompt(model: Any) -> None:
    assert rel_l2(velocity(model, 922, "context2"), tensors("transformer_m2v")["out_t922_ctx2"]) < TRANSFORMER_TOLERANCE


@pytest.mark.parametrize(
    ("name", "positions"), [("rope_neg_stride5", temporal_positions(2, 3, stride=5)), ("rope_neg_offset5", [-6, -5, 0, 1, 2])]
)
def test_transformer_with_memory_positions(model: Any, name: str, positions: list[int]) -> None:
    expected = tensors("transformer_m2v")[name]
    assert rel_l2(velocity(model, 922, positions=positions), expected) < TRANSFORMER_TOLERANCE
    assert rel_l2(velocity(model, 922), expected) > 100 * TRANSFORMER_TOLERANCE  # the test can tell them apart


@pytest.mark.parametrize("timestep", [999, 571])
def test_transformer_with_lora(timestep: int) -> None:
    fact = facts("transformer_m2v")
    model = transformer("transformer_m2v", "sd", fact["config"])
    spec = lora.LoraSpec(alpha=fact["lora"]["lora_alpha"], rank_stabilised=fact["lora"]["use_rslora"])
    proof = lora.attach(model, part("transformer_m2v_lora", "lora"), spec)
    assert proof.scale == 2.0
    expected = tensors("transformer_m2v_lora")[f"out_lora_t{timestep}"]
    assert rel_l2(velocity(model, timestep), expected) < TRANSFORMER_TOLERANCE


def test_vae_encodes_a_video_and_single_images() -> None:
    given, vae = tensors("vae"), latents()
    video = condition.to_model_range(given["in.video_u8"].permute(1, 2, 3, 0))
    assert rel_l2(vae.encode(video.transpose(0, 1)[None]), given["out.mu_video"]) < VAE_TOLERANCE
    images = vae.encode_images(video[:3])[0].transpose(0, 1)[:, :, None]
    assert rel_l2(images, given["out.mu_images"]) < VAE_TOLERANCE


def test_vae_decodes() -> None:
    given = tensors("vae")
    assert rel_l2(latents().decode(given["in.z"]), given["out.decode"]) < VAE_TOLERANCE


def test_text_encoder() -> None:
    from transformers import UMT5Config, UMT5EncoderModel

    config, given = facts("t5")["config"], tensors("t5")
    model = UMT5EncoderModel(
        UMT5Config(
            vocab_size=config["vocab"],
            d_model=config["dim"],
            d_kv=config["dim_attn"] // config["num_heads"],
            d_ff=config["dim_ffn"],
            num_layers=config["num_layers"],
            num_heads=config["num_heads"],
            relative_attention_num_buckets=config["num_buckets"],
        )
    ).eval()
    model.load_state_dict(layouts.text_encoder_from_original(part("t5", "sd")), strict=True)
    ids, mask = (next(value for key, value in given.items() if key.split(".")[-1] == name) for name in ("ids", "mask"))
    expected = next(value for key, value in given.items() if key.split(".")[-1] == "out")
    with torch.no_grad():
        out = model(ids, attention_mask=mask).last_hidden_state
    kept = mask.bool()
    assert rel_l2(out[kept], expected[kept]) < 5e-6


CONDITION_CASES = [name for name, case in facts("condition")["cases"].items() if isinstance(case, dict)]


@pytest.mark.parametrize("name", CONDITION_CASES)
def test_condition(name: str) -> None:
    given, fact = tensors("condition"), facts("condition")
    memory = [given[f"in.mem{index}"] for index in fact["cases"][name]["mem"]]
    first = given["in.first"][None] if name.startswith("mi2v") else given["in.motion"] if name.startswith("mm2v") else None
    found = condition_channels(
        memory,
        first,
        frames=fact["frame_num"],
        size=condition.fit_area(*memory[0].shape[:2], fact["max_area"]),
        first_is_lost="released" in name,
        trusted=1 if "fixmem1" in name else None,
    )
    expected = given[f"{name}.y"]
    assert torch.equal(found[:4], expected[:4])
    assert rel_l2(found[4:], expected[4:]) < VAE_TOLERANCE


@pytest.mark.parametrize("name", facts("scheduler")["cases"])
def test_schedule_and_trajectory(name: str) -> None:
    expected, given = facts("scheduler")["cases"][name], tensors("scheduler")
    solver, steps, shift = name.split("_")
    scheduler = flow_schedule(int(steps), float(shift), solver)
    assert scheduler.timesteps.tolist() == expected["timesteps"]
    assert scheduler.sigmas.tolist() == expected["sigmas"]
    state, path = given["x_init"], []
    for timestep in scheduler.timesteps:
        speed = 0.7 * state + 0.3 * torch.sin(3 * state) + 0.5 * torch.cos(timestep.float() / 250) - 0.2
        state = scheduler.step(speed[None], timestep, state[None], return_dict=False)[0][0]
        path.append(state)
    whole = f"{name}.traj"
    error = rel_l2(torch.stack(path), given[whole]) if whole in given else rel_l2(state, given[f"{name}.final"])
    assert error <= 1e-6
