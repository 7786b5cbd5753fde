"""Memory adapters on disk: which file is whose expert's, and at what scale.

One adapter per expert, high noise first. Each is a peft folder (`adapter_config.json` and weights), or a bare `.safetensors`
or `.pth` file. The scale is taken from the first that says it: `adapter_config.json` in the adapter's folder or beside the
file, the metadata inside the file, `.alpha` weights, the model's profile. Where two of them say it, they must agree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.errors import UserError
from storymem import lora
from storymem.stored import SUFFIXES, State, open_weights

if TYPE_CHECKING:
    from storymem.profiles import Model

EXPERT_NAMES = (("backbone_high_noise", "high_noise", "high_noise_model"), ("backbone_low_noise", "low_noise", "low_noise_model"))
SINGLE_NAMES = ("memory_lora", "backbone", "lora")
MODE_FOLDERS = {"mi2v": "Wan2.2-MI2V-A14B", "mm2v": "Wan2.2-MM2V-A14B"}  # of the published repository


def read(model: Model, number: int) -> tuple[State, lora.LoraSpec, str]:
    """Weights, scale and file name of the memory adapter of expert `number` (0: high noise).

    Raises:
        UserError: Missing, damaged, or of unknown scale.
    """
    profile = model.profile
    usual = None if profile.lora_alpha is None else lora.LoraSpec(alpha=profile.lora_alpha, rank_stabilised=profile.lora_rank_stabilised)
    return read_file(model.lora[number], usual)


def read_file(path: Path, usual: lora.LoraSpec | None = None) -> tuple[State, lora.LoraSpec, str]:
    """Weights, scale and file name of an adapter; `usual` is its scale where neither the file nor a config beside it says one.

    Raises:
        UserError: Missing, damaged, or of unknown scale.
    """
    stored = open_weights(path)
    state, alpha = lora.split_alpha(stored.state(), stored.where)
    stated = [
        lora.read_spec(path if path.is_dir() else path.parent),
        _from_metadata(stored.metadata, stored.where),
        None if alpha is None else lora.LoraSpec(alpha=alpha, rank_stabilised=False),
    ]
    specs = [spec for spec in stated if spec is not None]
    if not specs:
        if usual is None:
            raise UserError(
                "the scale of the adapter is unknown", where=stored.where, expected="adapter_config.json, or lora_alpha in the profile"
            )
        specs = [usual]
    if len({spec.alpha for spec in specs}) > 1:
        raise UserError(f"alpha is {' and '.join(f'{spec.alpha:g}' for spec in specs)}", where=stored.where, expected="one alpha")
    return state, specs[0], stored.where


def _from_metadata(metadata: Mapping[str, Any], where: str) -> lora.LoraSpec | None:
    """A peft config inside the file: diffusers writes one into safetensors, trainers put a dict beside the tensors."""
    for said in (metadata.get("lora_adapter_metadata"), metadata.get("lora_config"), metadata.get("config"), metadata):
        config = said
        if isinstance(said, str):
            try:
                config = json.loads(said)
            except ValueError as error:
                raise UserError(f"its metadata is no JSON ({error})", where=where) from error
        if isinstance(config, Mapping):
            config = {str(key).removeprefix("transformer."): value for key, value in config.items()}
            if "lora_alpha" in config and "r" in config:
                return lora.spec_from(config, where)
    return None


def locate(folder: Path, *, experts: int, mode: str = "mi2v") -> tuple[Path, ...]:
    """The adapters in a folder (or a single adapter's own folder or file), one per expert, high noise first.

    Args:
        folder: Where to look; the published repository's sub-folder for the mode is entered.
        experts: 1 or 2.
        mode: "mi2v" or "mm2v": which published adapter.

    Raises:
        UserError: An adapter is missing.
    """
    if not folder.exists():
        raise UserError("folder is missing", where=str(folder), expected="memory adapters (LoRA), one per expert")
    inner = folder / MODE_FOLDERS.get(mode, "")
    if mode in MODE_FOLDERS and inner.is_dir():
        folder = inner
    elif any((folder / name).is_dir() for name in MODE_FOLDERS.values()):
        raise UserError("folder is missing", where=str(inner), expected=f"the adapters for mode {mode}")
    if experts == 1:
        return (folder if folder.is_file() else _named(folder, SINGLE_NAMES) or folder,)
    found = []
    for names in EXPERT_NAMES:
        path = None if folder.is_file() else _named(folder, names)
        if path is None:
            expected = f"{names[0]}.safetensors, {names[0]}.pth or a folder {names[0]}/"
            raise UserError(f"no adapter for the {names[1].replace('_', '-')} expert", where=str(folder), expected=expected)
        found.append(path)
    return tuple(found)


def has_adapters(folder: Path, *, experts: int) -> bool:
    """Whether a model folder holds memory adapters under names that are looked for."""
    names = EXPERT_NAMES if experts == 2 else (SINGLE_NAMES,)
    return all(_named(folder, part) is not None for part in names)


def _named(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The first of `names` that is there, as a file of weights or as a folder with one."""
    for name in names:
        for path in (*(folder / (name + suffix) for suffix in SUFFIXES), folder / name):
            if path.is_file() or (path.is_dir() and any(part.suffix in SUFFIXES for part in path.iterdir())):
                return path
    return None


def beside(path: Path) -> Path:
    """An adapter that a profile names without (or with another) suffix: the one that is there, or the path as it is."""
    if path.exists():
        return path
    stem = path.with_suffix("") if path.suffix in SUFFIXES else path
    return next((found for found in (*(stem.with_name(stem.name + suffix) for suffix in SUFFIXES), stem) if found.exists()), path)
