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
from safetensors.torch import save_file

from stbench.errors import UserError
from storymem import adapters, lora
from storymem.profiles import WAN, Model

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
    "transformer_2": lambda key: "transformer_2." + diffusers_names(bare(key)),
    "data parallel": lambda key: "module." + key,
    "comfy": lambda key: "model.diffusion_model." + bare(key),
    "named adapter": lambda key: key.replace(".weight", ".memory.weight"),
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
    for wrong in ({"r": 0, "lora_alpha": 4}, {"r": 4, "lora_alpha": float("nan")}, {"r": 4, "lora_alpha": -1}):
        path.write_text(json.dumps(wrong))
        with pytest.raises(UserError, match="expected numbers above 0"):
            lora.read_spec(tmp_path)
    path.write_text(json.dumps({"r": 4, "lora_alpha": 4, "use_dora": True}))
    with pytest.raises(UserError, match="'use_dora' is set; expected a plain LoRA"):
        lora.read_spec(tmp_path)


def stored_adapter(folder: Path, state: State, **said: Any) -> Model:
    """A model whose only adapter is one bare file, with metadata."""
    path = folder / "adapter.safetensors"
    save_file(state, path, metadata={key: json.dumps(value) for key, value in said.items()})
    profile = WAN.model_copy(update={"boundary": None, "lora": ("adapter",), "lora_alpha": None})
    return Model(profile=profile, m2v=folder, t2v=folder, lora=(path,))


def test_the_scale_may_stand_inside_the_file(tmp_path: Path, state: State) -> None:
    with pytest.raises(UserError, match=r"adapter.safetensors: the scale of the adapter is unknown"):
        adapters.read(stored_adapter(tmp_path, state), 0)
    config = {"transformer.r": 4, "transformer.lora_alpha": 8, "transformer.use_rslora": True}
    _, spec, _ = adapters.read(stored_adapter(tmp_path, state, lora_adapter_metadata=config), 0)
    assert spec.scale(4) == 4.0
    with_alpha = state | {key.replace("lora_A.weight", "alpha"): torch.tensor(8.0) for key in state if "lora_A" in key}
    weights, spec, _ = adapters.read(stored_adapter(tmp_path, with_alpha), 0)
    assert weights.keys() == state.keys()
    assert spec.scale(4) == 2.0  # alpha / r: what files with .alpha mean
    other = {"lora_alpha": 4, "r": 4}
    with pytest.raises(UserError, match="alpha is 4 and 8; expected one alpha"):
        adapters.read(stored_adapter(tmp_path, with_alpha, lora_adapter_metadata=other), 0)
    with_alpha["blocks.0.self_attn.q.alpha"] = torch.tensor(3.0)
    with pytest.raises(UserError, match="2 different alphas: 3, 8"):
        adapters.read(stored_adapter(tmp_path, with_alpha), 0)


def test_adapters_are_found_under_the_published_names(tmp_path: Path) -> None:
    for folder in ("Wan2.2-MI2V-A14B", "Wan2.2-MM2V-A14B"):
        (tmp_path / folder / "backbone_low_noise").mkdir(parents=True)
        (tmp_path / folder / "backbone_low_noise" / "adapter_model.safetensors").touch()
        (tmp_path / folder / "backbone_high_noise.pth").touch()
    found = adapters.locate(tmp_path, experts=2, mode="mm2v")
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "Wan2.2-MM2V-A14B/backbone_high_noise.pth",
        "Wan2.2-MM2V-A14B/backbone_low_noise",
    ]
    assert adapters.locate(tmp_path / "Wan2.2-MI2V-A14B", experts=2)[0].name == "backbone_high_noise.pth"
    (tmp_path / "Wan2.2-MI2V-A14B" / "backbone_high_noise.pth").unlink()
    with pytest.raises(UserError, match=r"no adapter for the high-noise expert; expected backbone_high_noise.safetensors"):
        adapters.locate(tmp_path, experts=2)
    with pytest.raises(UserError, match="folder is missing"):
        adapters.locate(tmp_path / "nowhere", experts=2)
