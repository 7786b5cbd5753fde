"""Weights on disk: load a folder in diffusers' layout, and say exactly what does not fit.

Only safetensors are read. A missing file, a file that is not safetensors, a key left over or missing and a tensor of
another shape are errors that name file, field, found, expected and what to do; nothing is ever skipped or left random.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stbench.errors import UserError

State = dict[str, torch.Tensor]
_CHUNK_BYTES = 1 << 22
_DIGESTS: dict[tuple[str, int, int], str] = {}


def file_digest(path: Path) -> str:
    """sha256 of a file, remembered by path, size and time of change.

    A file that links into a Hugging Face cache is stored there under its sha256, which is taken as it is.
    """
    real = path.resolve()
    if real.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", real.name):
        return real.name
    facts = real.stat()
    key = (str(real), facts.st_size, facts.st_mtime_ns)
    if key not in _DIGESTS:
        digest = hashlib.sha256()
        with real.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
        _DIGESTS[key] = digest.hexdigest()
    return _DIGESTS[key]


def folder_digest(folder: Path, parts: tuple[str, ...]) -> str:
    """sha256 over names and contents of all files in the sub-folders `parts` (those that exist), in name order.

    If `folder` is a file itself, its own digest.
    """
    if folder.is_file():
        return file_digest(folder)
    digest = hashlib.sha256()
    for part in parts:
        for path in sorted((folder / part).rglob("*")):
            if path.is_file() and path.suffix in (".json", ".safetensors", ".model", ".txt", ".pth"):
                digest.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the model; UserError if it is missing or something else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError("file is missing", where=str(path), expected="a model folder in diffusers' layout") from error
    except (ValueError, OSError) as error:
        raise UserError(f"cannot be read as JSON ({error})", where=str(path)) from error
    if not isinstance(data, dict):
        raise UserError(f"holds a {type(data).__name__}", where=str(path), expected="a JSON object")
    return data


def read_safetensors(path: Path) -> State:
    """All tensors of one file, on the CPU; UserError if it is no safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise UserError("file is missing", where=str(path), expected="weights in safetensors format") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"not a whole safetensors file ({error})", where=str(path), hint="download or copy it again") from error


def read_weights(folder: Path) -> tuple[State, str]:
    """The weights of one component, sharded or not, and the file name to show in messages."""
    index = next(iter(sorted(folder.glob("*.safetensors.index.json"))), None)
    if index is None:
        files = sorted(folder.glob("*.safetensors"))
        if len(files) != 1:
            found = ", ".join(path.name for path in files) or "none"
            raise UserError(f"{len(files)} safetensors files ({found})", where=str(folder), expected="one, or shards with an index")
        return read_safetensors(files[0]), str(files[0])
    shards = read_json(index).get("weight_map", {})
    state: State = {}
    for name in sorted(set(shards.values())):
        if Path(name).name != name:
            raise UserError(f"shard {name!r} lies outside of the folder", where=str(index), expected="file names")
        state |= read_safetensors(folder / name)
    lost = sorted(set(shards) - set(state))
    if lost:
        raise UserError(f"{len(lost)} tensors of the index are in no shard, first {lost[0]}", where=str(index), hint="download it again")
    return state, str(index)


def fill(model: torch.nn.Module, state: Mapping[str, torch.Tensor], where: str, *, dtype: torch.dtype) -> None:
    """Put weights into a model built on the meta device; every key used, every parameter filled, every shape equal."""
    wanted = model.state_dict()
    left_over, missing = sorted(set(state) - set(wanted)), sorted(set(wanted) - set(state))
    tied = set(getattr(model, "_tied_weights_keys", None) or ())  # e.g. embed_tokens, stored once as shared
    missing = [name for name in missing if name not in tied]
    if left_over or missing:
        what = f"{len(missing)} weights missing" + (f" (first {missing[0]})" if missing else "")
        what += f", {len(left_over)} left over" + (f" (first {left_over[0]})" if left_over else "")
        raise UserError(what, where=where, expected="the weights that config.json describes")
    for name, value in state.items():
        if value.shape != wanted[name].shape:
            raise UserError(f"{name} has shape {tuple(value.shape)}", where=where, expected=f"{tuple(wanted[name].shape)} by config.json")
    keep = tuple(getattr(model, "_keep_in_fp32_modules", None) or ())
    typed = {name: _typed(name, value, dtype, keep) for name, value in state.items()}
    model.load_state_dict(typed, strict=False, assign=True)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    model.requires_grad_(False).eval()


def _typed(name: str, value: torch.Tensor, dtype: torch.dtype, keep_fp32: tuple[str, ...]) -> torch.Tensor:
    if not value.is_floating_point():
        return value
    return value.to(torch.float32 if any(part in name.split(".") for part in keep_fp32) else dtype)


def load_component(folder: Path, kind: str, *, dtype: torch.dtype) -> Any:
    """One of "transformer", "vae", "text_encoder" from its folder (config.json and safetensors), on the CPU."""
    config = read_json(folder / "config.json")
    state, where = read_weights(folder)
    try:
        model = _build(kind, config)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"cannot build the {kind}: {error}", where=str(folder / "config.json")) from error
    fill(model, state, where, dtype=dtype)
    return model


def _build(kind: str, config: dict[str, Any]) -> Any:
    from accelerate import init_empty_weights

    if kind == "text_encoder":
        from transformers import UMT5Config, UMT5EncoderModel

        with init_empty_weights(include_buffers=False):
            return UMT5EncoderModel(UMT5Config(**config))
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    classes: dict[str, Any] = {"transformer": WanTransformer3DModel, "vae": AutoencoderKLWan}
    with init_empty_weights(include_buffers=False):
        return classes[kind].from_config(config)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder; nothing is fetched and no code from the folder is run."""
    from transformers import AutoTokenizer

    if not folder.is_dir():
        raise UserError("folder is missing", where=str(folder), expected="a tokenizer in transformers' layout")
    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read as a tokenizer ({error})", where=str(folder)) from error
