"""Weights as they lie on disk: one file or shards with an index, safetensors or pickled tensors.

Names and shapes are known as soon as the files are opened; the numbers are mapped, not copied, and read a file at a time.
So everything that can be wrong with names and shapes is found before the first gigabyte is read, and a model is filled
with about one copy of it in memory. A pickle is opened with `weights_only=True`: it can hold tensors and plain values,
and anything that would have to run code is refused.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stbench.errors import UserError

State = dict[str, torch.Tensor]
PICKLED = (".pth", ".pt", ".bin")
SUFFIXES = (".safetensors", *PICKLED)
_USUAL = ("diffusion_pytorch_model", "model", "adapter_model", "pytorch_lora_weights", "pytorch_model")
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "lora_state_dict", "lora")
_SHOWN = 4
AGAIN = "download or copy it again"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Opened weights of one component.

    Attributes:
        where: The file (or index) to name in messages.
        shapes: Tensor name → shape.
        files: Tensor name → the file that holds it.
        metadata: What the file says beside its tensors.
    """

    where: str
    shapes: Mapping[str, tuple[int, ...]]
    files: Mapping[str, Path]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def parts(self) -> Iterator[State]:
        """The tensors, a file at a time, each from the file that the index names."""
        for path in sorted(set(self.files.values())):
            yield {name: value for name, value in _read(path)[0].items() if self.files.get(name) == path}

    def state(self) -> State:
        """All tensors at once, for small things."""
        return {name: value for part in self.parts() for name, value in part.items()}


def some(names: list[str]) -> str:
    """The first few of many names.

    Example:
        >>> some(["a", "b", "c", "d", "e", "f"])
        'a, b, c, d, … (2 more)'
    """
    more = f", … ({len(names) - _SHOWN} more)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the model; UserError if it is missing or something else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError("file is missing", where=str(path), expected="a file of the model folder") from error
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"cannot be read as JSON ({error})", where=str(path)) from error
    if not isinstance(data, dict):
        raise UserError(f"holds a {type(data).__name__}", where=str(path), expected="a JSON object")
    return data


def open_weights(path: Path) -> Stored:
    """Open a weights file, or the weights in a folder.

    Raises:
        UserError: Nothing there, several candidates, a shard or tensor of the index missing, a damaged or unsafe file.
    """
    if path.is_dir():
        index = next((found for suffix in SUFFIXES for found in sorted(path.glob(f"*{suffix}.index.json"))), None)
        if index is not None:
            return _open_shards(index)
        path = _only_file(path)
    state, metadata = _read(path)
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    return Stored(where=str(path), shapes=shapes, files=dict.fromkeys(shapes, path), metadata=metadata)


def shards(index: Path) -> dict[str, Path]:
    """Tensor name → file, from an index; the files lie beside it.

    Raises:
        UserError: Not an index, or a file name that leaves the folder.
    """
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise UserError("field 'weight_map' is missing or empty", where=str(index), expected="tensor names and their files", hint=AGAIN)
    for name in set(map(str, names.values())):
        if Path(name).name != name or "\\" in name or "\x00" in name or len(name) > 200 or Path(name).suffix not in SUFFIXES:
            raise UserError(f"shard {name!r} lies outside of the folder or is no weights file", where=str(index), expected="file names")
    return {tensor: index.parent / str(name) for tensor, name in names.items()}


def missing_shards(index: Path) -> list[Path]:
    """Files of an index that are not there."""
    return sorted(path for path in set(shards(index).values()) if not path.is_file())


def _open_shards(index: Path) -> Stored:
    files = shards(index)
    if lost := missing_shards(index):
        count = len(set(files.values()))
        raise UserError(
            f"{lost[0].name}: file is missing ({len(lost)} of {count} shards are: {some([path.name for path in lost])})",
            where=str(index),
            hint="run the download again: it continues",
        )
    shapes: dict[str, tuple[int, ...]] = {}
    found: dict[str, Path] = {}
    for path in sorted(set(files.values())):
        for name, value in _read(path)[0].items():
            if files.get(name, path) == path:
                shapes[name], found[name] = tuple(value.shape), path
    if lost_tensors := sorted(set(files) - set(shapes)):
        where = str(files[lost_tensors[0]])
        raise UserError(f"{len(lost_tensors)} tensors of the index are not in it: {some(lost_tensors)}", where=where, hint=AGAIN)
    return Stored(where=str(index), shapes=shapes, files=found)


def _only_file(folder: Path) -> Path:
    for suffix in SUFFIXES:
        files = sorted(folder.glob(f"*{suffix}"))
        usual = [path for name in _USUAL for path in files if path.name == name + suffix]
        if len(files) == 1 or usual:
            return (usual or files)[0]
        if files:
            names = some([path.name for path in files])
            raise UserError(f"{len(files)} weights files ({names})", where=str(folder), expected="one, or shards with an index")
    raise UserError("0 weights files (none)", where=str(folder), expected="one of " + ", ".join(f"*{suffix}" for suffix in SUFFIXES))


def _read(path: Path) -> tuple[State, Mapping[str, Any]]:
    """Tensors of one file, mapped where the format allows, and what else the file says."""
    if not path.is_file():
        raise UserError("file is missing", where=str(path), expected="weights as .safetensors or .pth")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in PICKLED:
        return _read_pickle(path)
    raise UserError(f"ends in {path.suffix!r}", where=str(path), expected=" or ".join(SUFFIXES))


def _read_safetensors(path: Path) -> tuple[State, Mapping[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"not a whole safetensors file ({error})", where=str(path), hint=AGAIN) from error


def _read_pickle(path: Path) -> tuple[State, Mapping[str, Any]]:
    data = _unpickle(path)
    if not isinstance(data, dict):
        raise UserError(f"holds a {type(data).__name__}", where=str(path), expected="tensors by name")
    inner = next((data[name] for name in _WRAPPERS if isinstance(data.get(name), dict)), None)
    state, said = (data, {}) if inner is None else (inner, {key: value for key, value in data.items() if value is not inner})
    strange = [str(name) for name, value in state.items() if not (isinstance(name, str) and isinstance(value, torch.Tensor))]
    if strange or any(isinstance(value, torch.Tensor) for value in said.values()):
        strange += [str(name) for name, value in said.items() if isinstance(value, torch.Tensor)]
        raise UserError(f"{len(strange)} entries are not named tensors: {some(strange)}", where=str(path), expected="tensors by name")
    return state, said


def _unpickle(path: Path) -> Any:
    for mapped in (True, False):  # files of before torch 1.6 cannot be mapped
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except pickle.UnpicklingError as error:
            hint = "use the .safetensors file, or a source you trust"
            raise UserError(f"refused: {_reason(error)}", where=str(path), expected="tensors only", hint=hint) from error
        except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, IndexError, TypeError) as error:
            if mapped and "mmap can only be used" in str(error):
                continue
            raise UserError(f"not a whole file of tensors ({_first_line(error)})", where=str(path), hint=AGAIN) from error
    raise AssertionError("unreachable")


def _reason(error: Exception) -> str:
    """What the pickle wanted: torch says it in the middle of advice that must not be followed here."""
    said = str(error)
    for marker in ("Unsupported global: GLOBAL ", "GLOBAL ", "Unsupported class "):
        if marker in said:
            return f"it holds {said.split(marker, 1)[1].split()[0].strip('`.')}, which is code to run and not a tensor"
    if "Unsupported operand" in said or "unsupported operand" in said.lower():
        return "it holds an instruction that tensors do not need, or it is damaged"
    return "it holds more than tensors, or it is damaged"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:160]
