"""Original names and sizes, proved on weights that the published code wrote (tests/oracle), through the loaders from disk."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published import facts, padded, part, rel_l2, tensors
from safetensors.torch import save_file

from stbench.errors import UserError
from storymem import checkpoints, layouts, original
from storymem.latents import Latents


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The oracle's weights as a base model folder in the authors' layout."""
    folder = tmp_path_factory.mktemp("original")
    for name in ("high_noise_model", "low_noise_model"):
        (folder / name).mkdir()
        save_file(part("transformer_m2v", "sd"), folder / name / "diffusion_pytorch_model.safetensors")
        (folder / name / "config.json").write_text(json.dumps(facts("transformer_m2v")["config"]))
    torch.save(part("vae", "sd"), folder / "Wan2.1_VAE.pth")
    torch.save(part("t5", "sd"), folder / "models_t5_umt5-xxl-enc-bf16.pth")
    return folder


def test_the_transformer_computes_what_the_published_code_computed(base: Path) -> None:
    given = tensors("transformer_m2v")
    length = facts("transformer_m2v")["config"]["text_len"]
    model = checkpoints.load_component(base, "transformer", dtype=torch.float32)
    with torch.no_grad():
        out = model(
            hidden_states=torch.cat([given["x"], given["y"]])[None],
            timestep=torch.tensor([922]),
            encoder_hidden_states=padded(given["context"], length)[None],
            return_dict=False,
        )[0][0]
    assert rel_l2(out, given["out_t922"]) < 2e-5


def test_the_vae_computes_what_the_published_code_computed(base: Path) -> None:
    given = tensors("vae")
    vae = Latents(checkpoints.load_component(base, "vae", dtype=torch.float32))
    assert rel_l2(vae.decode(given["in.z"]), given["out.decode"]) < 5e-6
    assert vae.mean.tolist() == pytest.approx(facts("vae")["latents_mean"])
    assert vae.std.tolist() == pytest.approx(facts("vae")["latents_std"])


def test_the_text_encoder_computes_what_the_published_code_computed(base: Path) -> None:
    given = {key.split(".")[-1]: value for key, value in tensors("t5").items() if not key.startswith("sd.")}
    model = checkpoints.load_component(base, "text_encoder", dtype=torch.float32)
    with torch.no_grad():
        out = model(given["ids"], attention_mask=given["mask"]).last_hidden_state
    kept = given["mask"].bool()
    assert rel_l2(out[kept], given["out"][kept]) < 5e-6


def test_sizes_read_off_the_shapes_are_those_of_the_published_config() -> None:
    fact = facts("vae")
    found = original.vae({key: tuple(value.shape) for key, value in part("vae", "sd").items()}, "vae")
    assert found["base_dim"] == fact["dim"]
    for key in ("z_dim", "dim_mult", "num_res_blocks", "temperal_downsample"):
        assert found[key] == fact[key]
    stated = facts("transformer_m2v")["config"]
    shapes = {key: tuple(value.shape) for key, value in part("transformer_m2v", "sd").items()}
    assert original.transformer({"num_heads": stated["num_heads"]}, shapes, "dit") == layouts.transformer_config(stated)


KINDS = (("transformer", "transformer_m2v"), ("vae", "vae"), ("text_encoder", "t5"))


@pytest.mark.parametrize(("kind", "file"), KINDS)
def test_names_go_there_and_back(kind: str, file: str) -> None:
    blocks = facts("vae")["num_res_blocks"] if kind == "vae" else 2
    names = set(part(file, "sd"))
    there = {layouts.to_diffusers(kind, name, res_blocks=blocks) for name in names}
    assert len(there) == len(names)
    assert {layouts.to_original(kind, name, res_blocks=blocks) for name in there} == names


def full_size() -> dict[str, Any]:
    from accelerate import init_empty_weights
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    with init_empty_weights():
        return {
            "transformer": WanTransformer3DModel(in_channels=36),
            "vae": AutoencoderKLWan(),
            "text_encoder": UMT5EncoderModel(
                UMT5Config(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, is_gated_act=True)
            ),
        }


def test_every_name_of_the_full_size_models_goes_there_and_back_and_so_do_their_sizes() -> None:
    for kind, model in full_size().items():
        shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if name != "encoder.embed_tokens.weight"}
        renamed = {layouts.to_original(kind, name): shape for name, shape in shapes.items()}
        assert len(renamed) == len(shapes)
        assert {layouts.to_diffusers(kind, name) for name in renamed} == set(shapes)
        assert not set(renamed) & set(shapes) or kind != "text_encoder"
        found = {"transformer": lambda s, w: original.transformer({}, s, w), "vae": original.vae, "text_encoder": original.text_encoder}
        config = model.config.to_dict() if kind == "text_encoder" else dict(model.config)
        for key, value in found[kind](renamed, kind).items():
            assert (list(value) if isinstance(value, list | tuple) else value) == (
                list(config[key]) if isinstance(config[key], list | tuple) else config[key]
            ), (kind, key)


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_a_strange_name_comes_back_as_it_is_or_as_a_name(name: str) -> None:
    for kind, _ in KINDS:
        assert layouts.to_diffusers(kind, name)
        assert layouts.to_original(kind, name)


def vae_without(name: str) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in part("vae", "sd").items() if key != name}


def test_weights_of_something_else_are_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"encoder.conv1.weight is missing, so the sizes"):
        original.vae(vae_without("encoder.conv1.weight"), "vae.pth")
    with pytest.raises(UserError, match="5B VAE"):
        original.vae({"encoder.downsamples.0.downsamples.0.residual.0.gamma": (4,)}, "vae.pth")
    with pytest.raises(UserError, match=r"dit: patch_embedding.weight has shape \(5,\); expected 5 dimensions"):
        original.transformer({}, {"patch_embedding.weight": (5,)}, "dit")
    with pytest.raises(UserError, match=r"token_embedding.weight is missing"):
        original.text_encoder({}, "t5.pth")


def test_two_layouts_in_one_file_are_refused(tmp_path: Path) -> None:
    state = part("transformer_m2v", "sd")
    state["blocks.0.attn1.to_q.weight"] = state["blocks.0.self_attn.q.weight"].clone()
    save_file(state, tmp_path / "weights.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(facts("transformer_m2v")["config"]))
    with pytest.raises(UserError, match=r"two names for the same weight: blocks.0."):
        checkpoints.load_component(tmp_path, "transformer", dtype=torch.float32)


def test_a_file_of_before_torch_1_6_loads_and_may_not_run_code(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "Wan2.1_VAE.pth"
    torch.save(part("vae", "sd"), path, _use_new_zipfile_serialization=False)
    assert checkpoints.open_weights(path).state().keys() == part("vae", "sd").keys()
    path.write_bytes(pickle.dumps({"conv1.weight": Path}, protocol=2))
    with pytest.raises(UserError, match="refused"):
        checkpoints.open_weights(path)


def test_tensors_inside_a_state_dict_entry_are_found(tmp_path: Path) -> None:
    path = tmp_path / "lora.pth"
    torch.save({"state_dict": {"a": torch.ones(2)}, "lora_config": {"r": 4, "lora_alpha": 8}}, path)
    opened = checkpoints.open_weights(path)
    assert opened.shapes == {"a": (2,)}
    assert opened.metadata["lora_config"]["r"] == 4
