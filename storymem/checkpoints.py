"""Components of a model from disk, in diffusers' layout or the authors' own, and exactly what does not fit.

`load_component` hides the layout: the model that comes back is the same. A model is built on the meta device and filled a
tensor at a time, so loading holds about one copy of it. Names and shapes are compared before any data is read. A key left
over or missing and a tensor of another shape are errors that name file and key; nothing is ever skipped or left random.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from stbench.errors import UserError
from storymem import layouts, original
from storymem.digests import file_digest, folder_digest
from storymem.folders import EXPERTS, Component, require
from storymem.stored import AGAIN, State, Stored, open_weights, read_json, some

__all__ = [
    "State",
    "build_empty",
    "component_config",
    "file_digest",
    "fill",
    "fill_from",
    "folder_digest",
    "load_component",
    "load_tokenizer",
    "open_weights",
    "read_json",
    "stored_dtype",
]


def load_component(source: Path, role: str, *, dtype: torch.dtype) -> Any:
    """One component, on the CPU, frozen and in evaluation mode.

    Args:
        source: A base model folder in either layout, or the component's own folder or file.
        role: "transformer" (high noise), "transformer_2" (low noise), "vae" or "text_encoder".
        dtype: Of its weights; a few that the model's class names stay float32.

    Raises:
        UserError: A missing or damaged file, a key left over or missing, a tensor of another shape.
    """
    part = require(source, role)
    stored = open_weights(part.path)
    config, where = _config(part, stored)
    kind = _kind(role)
    if int(config.get("num_layers") or 1) > len(stored.shapes):
        raise UserError(f"field 'num_layers' is {config['num_layers']}", where=where, expected=f"layers for {len(stored.shapes)} weights")
    try:
        model = build_empty(kind, config)
    except (TypeError, ValueError, KeyError, IndexError, ZeroDivisionError, RuntimeError) as error:
        raise UserError(f"cannot build the {role}: {error}", where=where) from error
    fill_from(model, stored, _names(part, kind, config, stored), dtype=dtype, back=_back(part, kind, config))
    return model


def component_config(source: Path, role: str) -> tuple[dict[str, Any], str]:
    """Config of a component in diffusers' (or transformers') terms, whatever its layout, and the file it comes from.

    Weights are opened only where the config has to be read off their shapes; no data is read.
    """
    part = require(source, role)
    return _config(part, None)


def _config(part: Component, stored: Stored | None) -> tuple[dict[str, Any], str]:
    """The config, from config.json or from shapes, and the file to name in messages."""
    if part.layout == "diffusers":
        path = part.path / "config.json"
        return read_json(path), str(path)
    stored = stored or open_weights(part.path)
    if part.role in EXPERTS:
        path = part.path / "config.json"
        if part.config_path is None:
            return original.transformer({}, stored.shapes, stored.where), stored.where
        return original.transformer(read_json(path), stored.shapes, str(path)), str(path)
    sizes = original.vae if part.role == "vae" else original.text_encoder
    return sizes(stored.shapes, stored.where), stored.where


def _kind(role: str) -> str:
    return "transformer" if role in EXPERTS else role


def build_empty(kind: str, config: Mapping[str, Any]) -> Any:
    """A component of its config, parameters on the meta device."""
    from accelerate import init_empty_weights

    if kind == "text_encoder":
        from transformers import UMT5Config, UMT5EncoderModel

        with init_empty_weights(include_buffers=False):
            return UMT5EncoderModel(UMT5Config(**config))
    for noisy in ("torch.utils._pytree", "diffusers.quantizers.torchao"):  # they warn of torchao, which is not used to load these
        logging.getLogger(noisy).setLevel(logging.ERROR)
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    classes: dict[str, Any] = {"transformer": WanTransformer3DModel, "vae": AutoencoderKLWan}
    with init_empty_weights(include_buffers=False):
        return classes[kind].from_config(config)


def _names(part: Component, kind: str, config: Mapping[str, Any], stored: Stored) -> dict[str, str]:
    """Name in the file → name in the model."""
    if part.layout == "diffusers":
        return {name: name for name in stored.shapes}
    blocks = int(config.get("num_res_blocks", 2))
    return {name: layouts.to_diffusers(kind, name, res_blocks=blocks) for name in stored.shapes}


def _back(part: Component, kind: str, config: Mapping[str, Any]) -> Callable[[str], str]:
    """Name in the model → name that its file should have, for messages."""
    if part.layout == "diffusers":
        return str
    blocks = int(config.get("num_res_blocks", 2))
    return lambda name: layouts.to_original(kind, name, res_blocks=blocks)


def fill(model: torch.nn.Module, state: Mapping[str, torch.Tensor], where: str, *, dtype: torch.dtype) -> None:
    """Put weights into a model built on the meta device; every key used, every parameter filled, every shape equal."""
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    _check(model, shapes, {name: name for name in shapes}, where, str)
    _assign(model, state.items(), dtype)


def fill_from(
    model: torch.nn.Module, stored: Stored, names: Mapping[str, str], *, dtype: torch.dtype, back: Callable[[str], str] = str
) -> None:
    """`fill` from disk, a tensor at a time.

    Args:
        model: Built on the meta device.
        stored: Opened weights.
        names: Name in the file → name in the model.
        dtype: Of the weights.
        back: Name in the model → name that its file should have, for messages.
    """
    _check(model, stored.shapes, names, stored.where, back)
    _assign(model, ((names[name], value) for part in stored.parts() for name, value in part.items()), dtype)


def _check(
    model: torch.nn.Module,
    shapes: Mapping[str, tuple[int, ...]],
    names: Mapping[str, str],
    where: str,
    back: Callable[[str], str],
) -> None:
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    given = {names[name]: name for name in shapes}
    if len(given) != len(shapes):
        twice = sorted(name for name in shapes if given[names[name]] != name)
        raise UserError(f"two names for the same weight: {some(twice)}", where=where, expected="one layout")
    tied = set(getattr(model, "_tied_weights_keys", None) or ())  # e.g. embed_tokens, stored once as shared
    left_over = sorted(given[name] for name in set(given) - set(wanted))
    missing = sorted(back(name) for name in set(wanted) - set(given) - tied)
    if left_over or missing:
        found = [f"{len(part)} weights {what}: {some(part)}" for what, part in (("missing", missing), ("left over", left_over)) if part]
        raise UserError("; ".join(found), where=where, expected="the weights that its config describes")
    wrong = [name for name in sorted(shapes) if shapes[name] != wanted[names[name]]]
    if wrong:
        first, more = wrong[0], f" ({len(wrong)} such weights)" if len(wrong) > 1 else ""
        expected = f"{wanted[names[first]]} by its config"
        raise UserError(f"{first} has shape {shapes[first]}{more}", where=where, expected=expected, hint=f"{AGAIN}, or mend the config")


def stored_dtype(model: Any, name: str, dtype: torch.dtype) -> torch.dtype:
    """The type of a weight in a model of `dtype`: some (modulation, norms) always stay float32, as the model's class says."""
    keep = tuple(getattr(model, "_keep_in_fp32_modules", None) or ())
    if dtype == torch.bfloat16 and hasattr(model, "tie_weights"):
        keep = ()  # transformers' list is about the range of float16
    return torch.float32 if any(part in name.split(".") for part in keep) else dtype


def _assign(model: torch.nn.Module, weights: Iterable[tuple[str, torch.Tensor]], dtype: torch.dtype) -> None:
    """Copy each tensor into the model in its final type; the file may go away afterwards."""
    modules = dict(model.named_modules())
    for name, value in weights:
        owner, _, own = name.rpartition(".")
        wanted = stored_dtype(model, name, dtype) if value.is_floating_point() else value.dtype
        fresh = torch.empty(value.shape, dtype=wanted)
        fresh.copy_(value)
        if own in modules[owner]._parameters:
            modules[owner]._parameters[own] = torch.nn.Parameter(fresh, requires_grad=False)
        else:
            modules[owner]._buffers[own] = fresh
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    empty = [name for name, value in model.named_parameters() if value.is_meta]
    if empty:
        raise RuntimeError(f"parameters without weights after loading: {some(empty)}")
    model.requires_grad_(False).eval()


def load_tokenizer(source: Path) -> Any:
    """The tokenizer of a base model folder (or of its own folder); nothing is fetched and no code from the folder is run."""
    from transformers import AutoTokenizer

    folder = require(source, "tokenizer").path
    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever the parsers of its files raise: they are input
        raise UserError(f"cannot be read as a tokenizer ({str(error).splitlines()[0][:200]})", where=str(folder)) from error
