"""Whole samplings against the published code (tests/oracle), as released and with the paper's positions."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from published import condition_channels, facts, latents, padded, part, rel_l2, tensors, transformer

from storymem import lora
from storymem.denoise import Experts, Sampling, denoise, draw_noise
from storymem.positions import Variant, temporal_positions

FRAMES, SIZE, LATENT = 9, (48, 64), (3, 6, 8)
TOLERANCE = 2e-5
SAMPLE = facts("generate")


@cache
def experts(with_lora: bool) -> Experts:
    fact, models = SAMPLE["lora"], []
    for name in ("high", "low"):
        model = transformer("generate_m2v", name, SAMPLE["config_i2v"])
        if with_lora:
            spec = lora.LoraSpec(alpha=fact["lora_alpha"], rank_stabilised=fact["use_rslora"])
            lora.attach(model, part("generate_m2v", f"lora_{name}"), spec)
        models.append(model)
    return Experts(high=models[0], low=models[1])


def known_frames(name: str) -> torch.Tensor | None:
    given = tensors("generate_m2v")
    return given["in.first"][None] if name.startswith("mi2v") else given["in.motion"] if name.startswith("mm2v") else None


def sample(name: str, run: dict[str, Any], variant: Variant, *, batch_guidance: bool = False) -> torch.Tensor:
    given = tensors("generate_m2v")
    count, length = run["n_memory"], SAMPLE["config_i2v"]["text_len"]
    memory = [given["in.mem0"], given["in.mem1"], tensors("generate_paper")["in.mem2"]][:count]
    guidance = run["guide_scale"] if isinstance(run["guide_scale"], list) else [run["guide_scale"]] * 2
    return denoise(
        experts("nolora" not in name),
        draw_noise((16, count + LATENT[0], *LATENT[1:]), SAMPLE["sample"]["cpu_seed"]),
        condition=condition_channels(memory, known_frames(name), frames=FRAMES, size=SIZE, first_is_lost="released" in name),
        text=padded(given["in.context"], length),
        negative=padded(given["in.context_null"], length),
        positions=temporal_positions(count, LATENT[0], variant=variant),
        sampling=Sampling(
            steps=run["steps"],
            shift=run["shift"],
            guidance=(guidance[0], guidance[1]),
            boundary=run.get("boundary", SAMPLE["sample"]["boundary"]),
            solver=run.get("solver", "unipc"),
            batch_guidance=batch_guidance,
        ),
    )


@pytest.mark.parametrize("name", [name for name in SAMPLE["runs"] if name != "t2v"])
def test_as_released(name: str) -> None:
    found = sample(name, SAMPLE["runs"][name], "release-2025-12")
    assert rel_l2(found, tensors("generate_m2v")[f"{name}.final_latent"]) < TOLERANCE


@pytest.mark.parametrize("name", facts("generate_paper"))
def test_as_in_the_paper(name: str) -> None:
    found = sample(name, facts("generate_paper")[name], "paper")
    assert rel_l2(found, tensors("generate_paper")[f"{name}.final_latent"]) < TOLERANCE


def test_video_of_a_released_run() -> None:
    given, name = tensors("generate_m2v"), "m2v"
    found = sample(name, SAMPLE["runs"][name], "release-2025-12")
    memory = SAMPLE["runs"][name]["n_memory"]
    video = latents().decode(found[None, :, memory:])[0]
    assert (video - given["m2v.video"]).abs().max() < 3e-4


def test_noise_is_the_published_noise() -> None:
    assert torch.equal(draw_noise((16, 5, 6, 8), 0), tensors("generate_m2v")["m2v.noise"])


def test_guidance_in_one_batch_gives_the_same() -> None:
    run = SAMPLE["runs"]["m2v"]
    found = sample("m2v", run, "release-2025-12", batch_guidance=True)
    assert rel_l2(found, tensors("generate_m2v")["m2v.final_latent"]) < TOLERANCE


def test_text_to_video() -> None:
    run, given = SAMPLE["runs"]["t2v"], tensors("generate_t2v")
    high, low = (transformer("generate_t2v", name, SAMPLE["config_t2v"]) for name in ("high", "low"))
    length = SAMPLE["config_t2v"]["text_len"]
    found = denoise(
        Experts(high=high, low=low),
        draw_noise((16, *LATENT), 0),
        condition=None,
        text=padded(given["in.context"], length),
        negative=padded(given["in.context_null"], length),
        positions=temporal_positions(0, LATENT[0]),
        sampling=Sampling(steps=run["steps"], shift=run["shift"], guidance=(run["guide_scale"],) * 2, boundary=run["boundary"]),
    )
    assert rel_l2(found, given["t2v.final_latent"]) < TOLERANCE
    assert (latents().decode(found[None])[0] - given["t2v.video"]).abs().max() < 3e-4


def test_a_wrong_scale_stride_order_or_schedule_is_noticed() -> None:
    """The tolerance is far below the effect of each classic mistake."""
    given, name = tensors("generate_m2v"), "m2v"
    run, expected = facts("generate_paper")["m2v_mem2"], tensors("generate_paper")["m2v_mem2.final_latent"]
    assert rel_l2(sample("m2v_mem2", run, "release-2025-12"), expected) > 50 * TOLERANCE
    assert rel_l2(sample("nolora", SAMPLE["runs"][name], "release-2025-12"), given["m2v.final_latent"]) > 50 * TOLERANCE
    assert rel_l2(sample(name, SAMPLE["runs"][name] | {"shift": 4.1}, "release-2025-12"), given["m2v.final_latent"]) > 50 * TOLERANCE
