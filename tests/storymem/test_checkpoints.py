"""Weights that do not match are named: file, field, found, expected."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stbench.errors import UserError
from storymem import checkpoints
from storymem.generator import Generator
from storymem.profiles import NAMES, WAN, resolve

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def load_all(model: Path) -> None:
    Generator(resolve(str(model)), "cpu")._load(False, adapter=True)


def drop_weight(model: Path) -> None:
    path = model / "transformer" / WEIGHTS
    save_file({key: value for key, value in load_file(path).items() if key != "proj_out.bias"}, path)


def reshape_weight(model: Path) -> None:
    path = model / "transformer" / WEIGHTS
    save_file(load_file(path) | {"proj_out.bias": torch.zeros(3)}, path)


def add_weight(model: Path) -> None:
    path = model / "vae" / WEIGHTS
    save_file(load_file(path) | {"strange.bias": torch.zeros(3)}, path)


def tear_weights(model: Path) -> None:
    path = model / "transformer" / WEIGHTS
    path.write_bytes(path.read_bytes()[:1000])


def lose_shard(model: Path) -> None:
    folder = model / "transformer"
    keys = list(load_file(folder / WEIGHTS))
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict.fromkeys(keys, "lost.safetensors")})
    )


def escape_by_shard(model: Path) -> None:
    path = model / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"proj_out.bias": "../../secret.safetensors"}}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_weight, rf"{WEIGHTS}: 1 weights missing \(first proj_out.bias\)"),
        (reshape_weight, rf"{WEIGHTS}: proj_out.bias has shape \(3,\); expected \(64,\)"),
        (add_weight, r"1 left over \(first strange.bias\)"),
        (tear_weights, "not a whole safetensors file"),
        (lose_shard, "lost.safetensors: file is missing"),
        (escape_by_shard, "lies outside of the folder"),
        (lambda model: (model / "transformer" / "config.json").unlink(), "config.json: file is missing"),
        (lambda model: (model / "transformer" / "config.json").write_text("{"), "cannot be read as JSON"),
        (lambda model: edit(model / "transformer" / "config.json", in_channels=20), "'in_channels' is 20; expected 16 or 36"),
        (lambda model: edit(model / "transformer" / "config.json", text_dim=99), "'text_dim' is 99; expected 16"),
        (lambda model: edit(model / "profile.json", boundary=0.9, lora=["memory_lora"] * 2), "transformer_2/config.json: file is missing"),
        (lambda model: edit(model / "profile.json", width=40), "size is 40x16; expected multiples of 16"),
        (lambda model: shutil.rmtree(model / "tokenizer"), "tokenizer: folder is missing"),
    ],
)
def test_weights_that_do_not_match(model: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(model)
    with pytest.raises(UserError, match=message):
        load_all(model)


def test_sharded_weights_are_the_same_weights(model: Path) -> None:
    folder = model / "transformer"
    whole = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(whole)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for name, keys in parts.items():
        save_file({key: whole[key] for key in keys}, folder / name)
    index = {"weight_map": {key: name for name, keys in parts.items() for key in keys}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    found, _ = checkpoints.read_weights(folder)
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], whole[name]) for name in names)


def test_digest_follows_the_content(model: Path) -> None:
    before = checkpoints.folder_digest(model, ("transformer",))
    assert before == checkpoints.folder_digest(model, ("transformer",))
    drop_weight(model)
    assert before != checkpoints.folder_digest(model, ("transformer",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 16}, "frames is 16"),
        ({"steps": "many"}, "field 'steps'"),
        ({"colour": "red"}, "field 'colour'"),
        ({"m2v": "../.."}, "leaves the model folder"),
        ({"lora": ["a", "b"]}, r"2 adapters for 1 expert"),
    ],
)
def test_a_profile_is_checked_field_by_field(model: Path, changes: dict[str, object], message: str) -> None:
    edit(model / "profile.json", **changes)
    with pytest.raises(UserError, match=message):
        resolve(str(model))


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=f"one of: {', '.join(NAMES)}"):
        resolve("no-such-model")


def test_missing_wan_weights_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as caught:
        resolve("wan2.2-a14b")
    line = str(caught.value)
    for part in (WAN.m2v, WAN.t2v, "Kevin-thu/StoryMem", "Apache-2.0", "non-commercial", "GB", "hf download"):
        assert part in line
    assert "\n" not in line
