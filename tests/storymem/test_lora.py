"""A LoRA load proves itself, or it is an error."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published import facts, part, transformer

from stbench.errors import UserError
from storymem import lora

State = dict[str, torch.Tensor]
SPEC = lora.LoraSpec(alpha=4, rank_stabilised=True)


@pytest.fixture
def model() -> Any:
    return transformer("transformer_m2v", "sd", facts("transformer_m2v")["config"])


@pytest.fixture
def state() -> State:
    return part("transformer_m2v_lora", "lora")


def renamed(state: State, change: Callable[[str], str]) -> State:
    return {change(key): value for key, value in state.items()}


def bare(key: str) -> str:
    return key.removeprefix("base_model.model.")


def diffusers_names(key: str) -> str:
    for old, new in lora.LINEARS.items():
        key = key.replace(f".{old}.", f".{new}.")
    return key


NAMINGS: dict[str, Callable[[str], str]] = {
    "peft": lambda key: key,
    "bare": bare,
    "diffusion_model": lambda key: "diffusion_model." + bare(key),
    "default adapter": lambda key: key.replace(".weight", ".default.weight"),
    "diffusers": lambda key: diffusers_names(bare(key)),
    "diffusers peft": diffusers_names,
    "transformer": lambda key: "transformer." + diffusers_names(bare(key)),
    "down and up": lambda key: key.replace("lora_A", "lora_down").replace("lora_B", "lora_up"),
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_every_naming_gives_the_same_adapter(state: State, naming: str) -> None:
    expected = lora.pair_up(state)
    found = lora.pair_up(renamed(state, NAMINGS[naming]))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name][half], expected[name][half]) for name in expected for half in (0, 1))


def test_proof_states_what_was_attached(model: Any, state: State) -> None:
    proof = lora.attach(model, state, SPEC)
    assert (proof.modules, proof.rank, proof.scale) == (20, 4, 2.0)
    assert proof.parameters == sum(value.numel() for value in state.values())
    pairs = lora.pair_up(state).values()
    assert proof.update_norm == pytest.approx(math.sqrt(sum(float((2 * up @ down).square().sum()) for down, up in pairs)), rel=1e-5)


def test_switched_off_it_is_the_base_model(model: Any, state: State) -> None:
    inputs = {
        "hidden_states": torch.randn(1, 36, 2, 4, 4),
        "timestep": torch.tensor([500]),
        "encoder_hidden_states": torch.randn(1, 3, 32),
        "return_dict": False,
    }
    with torch.no_grad():
        before = model(**inputs)[0]
        lora.attach(model, state, SPEC)
        on = model(**inputs)[0]
        model.disable_adapters()
        off = model(**inputs)[0]
    assert torch.equal(off, before)
    assert not torch.allclose(on, before)


def spoil_left_over(state: State) -> None:
    state["base_model.model.blocks.0.self_attn.q.bias"] = torch.zeros(40)


def spoil_unknown(state: State) -> None:
    for half, shape in (("A", (4, 40)), ("B", (40, 4))):
        state[f"blocks.7.self_attn.q.lora_{half}.weight"] = torch.ones(shape)


def spoil_half(state: State) -> None:
    del state["base_model.model.blocks.1.ffn.2.lora_B.weight"]


def spoil_layer(state: State) -> None:
    for half in "AB":
        del state[f"base_model.model.blocks.1.ffn.2.lora_{half}.weight"]


def spoil_shape(state: State) -> None:
    state["base_model.model.blocks.1.ffn.2.lora_B.weight"] = torch.ones(41, 4)


def spoil_rank(state: State) -> None:
    state["base_model.model.blocks.1.ffn.2.lora_A.weight"] = torch.ones(3, 96)
    state["base_model.model.blocks.1.ffn.2.lora_B.weight"] = torch.ones(40, 3)


def spoil_zero(state: State) -> None:
    for key in [key for key in state if "lora_B" in key]:
        state[key] = torch.zeros_like(state[key])


def spoil_all(state: State) -> None:
    state.clear()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_left_over, "no LoRA weights: base_model.model.blocks.0.self_attn.q.bias"),
        (spoil_unknown, "fit no layer of the transformer: blocks.7.attn1.to_q"),
        (spoil_half, "half of the pair is missing for blocks.1.ffn.net.2"),
        (spoil_layer, "no weights for 1 layers: blocks.1.ffn.net.2"),
        (spoil_shape, r"blocks.1.ffn.net.2 has shapes"),
        (spoil_rank, r"ranks \[3, 4\]"),
        (spoil_zero, "norm 0.0"),
        (spoil_all, "no weights"),
    ],
)
def test_a_spoiled_adapter_is_an_error(model: Any, state: State, spoil: Callable[[State], None], message: str) -> None:
    spoil(state)
    with pytest.raises(UserError, match=message):
        lora.attach(model, state, SPEC, where="adapter.safetensors")


def test_layer_kinds_in_the_config_must_be_there(model: Any, state: State) -> None:
    without = {key: value for key, value in state.items() if "ffn.2" not in key}
    lora.attach(model, without, SPEC)
    spec = lora.LoraSpec(alpha=4, rank_stabilised=True, targets=("self_attn.q", "ffn.2"))
    fresh = transformer("transformer_m2v", "sd", facts("transformer_m2v")["config"])
    with pytest.raises(UserError, match="no weights for 2 layers"):
        lora.attach(fresh, without, spec)


def test_spec_comes_from_the_adapter_config(tmp_path: Path) -> None:
    assert lora.read_spec(tmp_path) is None
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"r": 128, "lora_alpha": 128, "use_rslora": True, "target_modules": ["ffn.0"]}))
    spec = lora.read_spec(tmp_path)
    assert spec is not None
    assert spec.scale(128) == pytest.approx(11.3137, abs=1e-4)
    path.write_text(json.dumps({"r": 128, "lora_alpha": 64}))
    plain = lora.read_spec(tmp_path)
    assert plain is not None
    assert plain.scale(128) == 0.5
    path.write_text("{}")
    with pytest.raises(UserError, match="lora_alpha"):
        lora.read_spec(tmp_path)
