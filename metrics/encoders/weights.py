"""Where published weights lie on this machine, and what identifies them. Nothing is fetched: a missing file is one message."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from stbench.errors import UserError

_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A file of weights: on the Hugging Face hub, or (with `url`) anywhere else."""

    files: tuple[str, ...]  # names it can have, the best first
    licence: str
    size: str
    hub_id: str | None = None
    url: str | None = None

    def path(self) -> Path:
        """The file on this machine.

        Raises:
            UserError: It is not there; the message has the licence, the size and the command that gets it.
        """
        for name in self.files:
            places = [cached(self.hub_id, name)] if self.hub_id else [own_folder() / name, torch_folder() / name]
            for found in places:
                if found is not None and found.is_file():
                    return found
        name = self.files[0]
        command = f"hf download {self.hub_id} {name}" if self.hub_id else f"curl -L --create-dirs -o {own_folder() / name} '{self.url}'"
        where = f"{self.hub_id}/{name}" if self.hub_id else name
        raise UserError(f"weights are not on this machine ({self.licence}; {self.size})", where=where, hint=f"run: {command}")

    def load(self) -> dict[str, Any]:
        """Name → tensor, on the CPU; pickled files with `weights_only=True`."""
        return read(self.path())

    def digest(self, preprocessing: str) -> str:
        """sha256 of the file and of how its inputs are prepared."""
        return hashlib.sha256(f"{preprocessing} {file_digest(self.path())}".encode()).hexdigest()


def own_folder() -> Path:
    """Where files lie that are on no hub: $STBENCH_CACHE, else ~/.cache/stbench."""
    return Path(os.environ.get("STBENCH_CACHE", "~/.cache/stbench")).expanduser()


def torch_folder() -> Path:
    """Where torchvision keeps the weights that it has fetched."""
    home = Path(os.environ.get("TORCH_HOME", "~/.cache/torch")).expanduser()
    return home / "hub" / "checkpoints"


def cached(hub_id: str, name: str) -> Path | None:
    """A file in the Hugging Face cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, name)
    return Path(found) if isinstance(found, str) else None


def read(path: Path) -> dict[str, Any]:
    """All tensors of a safetensors or pickled file; a state dict may lie under "model" or "state_dict"."""
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise UserError(f"cannot be read as weights ({error})", where=str(path), hint="download it again") from error
    for name in ("model", "state_dict"):
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError("holds no weights by name", where=str(path), expected="a state dict")
    return dict(state)


def fill(net: Any, state: Mapping[str, Any], where: str) -> None:
    """Put weights into a network: every name used, every one there, every shape equal.

    Raises:
        UserError: What is missing, left over or of another shape.
    """
    wanted = net.state_dict()
    lost, left = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    if lost or left:
        first = f", first {(lost or left)[0]}"
        raise UserError(f"{len(lost)} weights missing, {len(left)} left over{first}", where=where, expected="the published names")
    for name, value in state.items():
        if value.shape != wanted[name].shape:
            raise UserError(f"{name} has shape {tuple(value.shape)}", where=where, expected=f"{tuple(wanted[name].shape)}")
    net.load_state_dict(state, strict=True)
    net.eval().requires_grad_(False)


def file_digest(path: Path) -> str:
    """sha256 of a file; a link into a Hugging Face cache is stored there under its sha256, which is taken as it is."""
    real = path.resolve()
    if real.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", real.name):
        return real.name
    facts = real.stat()
    return _digest(real, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, changed: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
