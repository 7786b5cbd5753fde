"""Weights of the models that draw keyframes: where they are, what is missing, their digest, and loading that skips nothing.

They are looked for like Wan's, through `storymem.hub`: a folder given with `--set weights.PART=DIR`, else the folders of
`$STBENCH_MODELS`, else the Hugging Face cache. Only safetensors in diffusers' layout are read; where a folder holds half-precision files
(`*.fp16.safetensors`) beside full ones, those are used. Nothing is ever downloaded here.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stbench.errors import UserError

HUB, DIGESTS, STORED = "storymem.hub", "storymem.digests", "storymem.stored"  # reached by name: the harness imports no method
REPOSITORIES = "storymem.repositories"
HALF = ".fp16."
CONFIGS = (".json", ".txt", ".model")
COUNTED = "position_ids"  # 0, 1, 2, …: older files store what newer classes count for themselves
_TOKENIZER = "transformers:AutoTokenizer"


def repository(**facts: Any) -> Any:
    """A `storymem.repositories.Repository`."""
    return importlib.import_module(REPOSITORIES).Repository(**facts)


def missing_error(where: str, missing: Mapping[str, Any]) -> UserError:
    """The one message about weights that are not here: licences, sizes, the exact commands, what to do then."""
    error: UserError = importlib.import_module(HUB).missing_error(where, missing)
    return error


def locate(part: str, options: Mapping[str, str], wanted: Any) -> Path | None:
    """The folder (or file) of a published part on this machine, or None.

    Args:
        part: Name of the part, as in `--set weights.PART=DIR`.
        options: All `--set` options.
        wanted: Its repository.

    Raises:
        UserError: The option names a place that is not there.
    """
    hub, given = importlib.import_module(HUB), options.get(f"weights.{part}")
    if given is None:
        found: Path | None = hub.local(wanted)
        return found
    path = Path(given).expanduser()
    place: Path | None = path if path.exists() else hub.cached(given)
    if place is None:
        expected = f"a folder with the {wanted.what}, or a hub id that was downloaded"
        raise UserError(f"{given!r} is not on this machine", where=f"--set weights.{part}", expected=expected)
    return place


def check_whole(base: Path, components: Mapping[str, str], wanted: Any) -> None:
    """Every component has its config and its weights, as far as file names tell.

    Raises:
        UserError: A download broke off, or it is another kind of folder.
    """
    lost = [path for role, target in components.items() for path in _lost(base, role, target)]
    if lost:
        error: UserError = importlib.import_module(HUB).incomplete_error(base, lost, wanted)
        raise error


def _lost(base: Path, role: str, target: str) -> list[Path]:
    folder = base / role
    if target == _TOKENIZER:
        return [] if folder.is_dir() and any(folder.iterdir()) else [folder / "tokenizer_config.json"]
    if "Scheduler" in target:
        return [path for path in (folder / "scheduler_config.json",) if not path.is_file()]
    if not (folder / "config.json").is_file():
        return [folder / "config.json"]
    there = files(folder)
    stored = importlib.import_module(STORED)
    lost: list[Path] = [path for index in _indexes(folder) for path in stored.missing_shards(index)]
    return lost if there or lost else [folder / "*.safetensors"]


def _half(folder: Path) -> bool:
    return any(HALF in path.name for path in folder.glob("*.safetensors*"))


def files(folder: Path) -> list[Path]:
    """The files of weights of a component that are read."""
    return sorted(path for path in folder.glob("*.safetensors") if (HALF in path.name) == _half(folder))


def _indexes(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.safetensors.index*.json") if (HALF in path.name) == _half(folder))


def digest(base: Path, components: Mapping[str, str]) -> str:
    """sha256 over the names and contents of the files that are read; of a file, its own."""
    read = [path for role in components if (base / role).is_dir() for path in sorted((base / role).iterdir()) if path.suffix in CONFIGS]
    read += [path for role in components for path in files(base / role)]
    names = tuple(sorted(path.relative_to(base).as_posix() for path in read))
    found: str = importlib.import_module(DIGESTS).folder_digest(base, names)
    return found


def count_parameters(paths: Sequence[Path]) -> int:
    """Numbers in some files of weights, from their headers."""
    stored = importlib.import_module(STORED)
    return sum(math.prod(shape) for path in paths for shape in stored.open_weights(path).shapes.values())


@contextmanager
def quiet() -> Iterator[None]:
    """Without the bars and warnings of diffusers and transformers: what matters of them is an error here, or in a shot's notes."""
    logs = [importlib.import_module(f"{library}.utils.logging") for library in ("diffusers", "transformers")]
    before = [log.get_verbosity() for log in logs]
    for log in logs:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.set_verbosity(level)
            log.enable_progress_bar()


def load(base: Path, components: Mapping[str, str], *, dtype: str) -> dict[str, Any]:
    """The components of a diffusers folder, on the CPU, in evaluation mode: role → object.

    Args:
        base: The folder.
        components: Role (its sub-folder) → "module:Class".
        dtype: Of the weights, by torch's name.

    Raises:
        UserError: A file missing or damaged, a weight left over or missing, or one of another shape.
    """
    return {role: _load(base, role, target, dtype) for role, target in components.items()}


def _load(base: Path, role: str, target: str, dtype: str) -> Any:
    import torch

    module, _, name = target.partition(":")
    kind = getattr(importlib.import_module(module), name)
    folder = base / role
    try:
        if target == _TOKENIZER:
            return kind.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        if "Scheduler" in target:
            return kind.from_pretrained(str(folder), local_files_only=True)
        model, found = kind.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            variant="fp16" if _half(folder) else None,
            torch_dtype=getattr(torch, dtype),
            output_loading_info=True,
        )
    except Exception as error:  # whatever the parsers of its files raise: they are input
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"cannot be loaded as {name} ({reason})", where=str(folder), hint="download or copy it again") from error
    _check(found, folder, name)
    return model.requires_grad_(False).eval()


def _check(found: Mapping[str, Any], folder: Path, name: str) -> None:
    """Nothing was skipped and nothing was left random."""
    words = {"missing_keys": "missing", "unexpected_keys": "left over", "mismatched_keys": "of another shape"}
    problems = [
        ([key for key in sorted(map(str, found.get(kind) or ())) if not key.endswith(COUNTED)], said) for kind, said in words.items()
    ]
    problems = [(keys, said) for keys, said in problems if keys]
    if problems:
        listed = "; ".join(f"{len(keys)} weights {said}: {keys[0]}{', …' * (len(keys) > 1)}" for keys, said in problems)
        raise UserError(listed, where=str(folder), expected=f"the weights of its {name}")
