"""Weights that do not match are named: file, field, found, expected."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stbench.errors import UserError
from storymem import checkpoints, digests
from storymem.generator import Generator
from storymem.profiles import NAMES, resolve

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
        (drop_weight, rf"{WEIGHTS}: 1 weights missing: proj_out.bias"),
        (reshape_weight, rf"{WEIGHTS}: proj_out.bias has shape \(3,\); expected \(64,\)"),
        (add_weight, r"1 weights left over: strange.bias"),
        (tear_weights, "not a whole safetensors file"),
        (lose_shard, r"index.json: lost.safetensors: file is missing \(1 of 1 shards"),
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
    found = checkpoints.open_weights(folder).state()
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], whole[name]) for name in names)


def test_digest_follows_the_content(model: Path) -> None:
    before = checkpoints.folder_digest(model, ("transformer",))
    assert before == checkpoints.folder_digest(model, ("transformer",))
    drop_weight(model)
    assert before != checkpoints.folder_digest(model, ("transformer",))


def test_digest_of_a_large_file_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "LARGE_BYTES", 4)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "weights.pth"
    path.write_bytes(b"first")
    first = digests.file_digest(path)
    assert first == hashlib.sha256(b"first").hexdigest()
    monkeypatch.setattr(digests, "_DIGESTS", {})  # another process
    monkeypatch.setattr(digests, "_hash", lambda _: pytest.fail("hashed again"))
    assert digests.file_digest(path) == first
    monkeypatch.undo()
    path.write_bytes(b"another")
    assert digests.file_digest(path) == hashlib.sha256(b"another").hexdigest()


def test_digest_that_a_download_left_is_taken_unless_the_file_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "LARGE_BYTES", 4)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "model" / "vae" / "weights.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    note = tmp_path / "model" / ".cache" / "huggingface" / "download" / "vae" / "weights.safetensors.metadata"
    note.parent.mkdir(parents=True)
    changed = path.stat().st_mtime
    note.write_text(f"commit\n{'ab' * 32}\n{changed}\n")
    assert digests.file_digest(path) == "ab" * 32
    monkeypatch.setattr(digests, "_DIGESTS", {})
    note.write_text(f"commit\n{'ab' * 32}\n{changed - 100}\n")
    assert digests.file_digest(path) == hashlib.sha256(b"content").hexdigest()


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
