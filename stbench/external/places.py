"""Where the things are that a recipe needs (`--set`, or a folder of `$STBENCH_EXTERNAL`), and what they are, for the identity."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stbench.errors import UserError
from stbench.external.recipe import ENVIRONMENT, Recipe

ROOT = "STBENCH_EXTERNAL"
SOURCES = (".py", ".yaml", ".yml", ".json", ".toml", ".sh", ".cfg")
MAX_SOURCE_BYTES = 2 * 2**20
HIDDEN = frozenset({".git", ".cache", "__pycache__"})
NOT_SOURCES = HIDDEN | {".venv", "venv", "node_modules", "models", "results", "outputs"}
DIGESTS = "storymem.digests"  # reached by name: the harness imports no method


def find_places(recipe: Recipe, options: Mapping[str, str]) -> tuple[dict[str, Path], list[str]]:
    """Place → path of those that are here, and the names of those that are not.

    Raises:
        UserError: A place that was given is not there.
    """
    found: dict[str, Path] = {}
    missing: list[str] = []
    root = os.environ.get(ROOT)
    for name in recipe.places:
        if name in options:
            path = Path(options[name]).expanduser()
            if not path.exists():
                raise UserError(f"{options[name]!r} is not on this machine", where=f"--set {name}", expected=recipe.places[name].what)
            found[name] = path.absolute()
        elif root and (Path(root) / recipe.name / name).exists():
            found[name] = (Path(root) / recipe.name / name).absolute()
        else:
            missing.append(name)
    return found, missing


def missing_error(recipe: Recipe, missing: list[str]) -> UserError:
    """What is missing, how to get it, and how to say where it is."""
    parts = []
    for name in missing:
        place = recipe.places[name]
        parts.append(f"{name} ({place.what}{f'; to get it: {place.get}' if place.get else ''})")
    settings = " ".join(f"--set {name}=PATH" for name in missing)
    return UserError(
        f"not on this machine: {'; '.join(parts)}",
        where=recipe.name,
        hint=f"then say where: {settings}, or put them into ${ROOT}/{recipe.name}/; nothing is installed or downloaded for you",
    )


def python_of(environment: Path | None) -> str:
    """The interpreter of an environment: a folder with bin/python, or the interpreter itself; ours where none is named.

    Raises:
        UserError: There is none.
    """
    if environment is None:
        return sys.executable
    if environment.is_file():
        return str(environment)
    found = next((path for name in ("bin/python", "bin/python3", "Scripts/python.exe") if (path := environment / name).exists()), None)
    if found is None:
        raise UserError("holds no interpreter", where=str(environment), expected="an environment with bin/python, or an interpreter")
    return str(found)


def variables(recipe: Recipe, places: Mapping[str, Path], values: Mapping[str, str], gpus: str | None) -> dict[str, str]:
    """The environment variables of a program: ours, without what points into our own environment, and with its own in front."""
    from stbench.external.recipe import fill

    found = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    environment = places.get(ENVIRONMENT)
    if environment is not None and environment.is_dir():
        found |= {"VIRTUAL_ENV": str(environment), "PATH": f"{environment / 'bin'}{os.pathsep}{found.get('PATH', '')}"}
    if gpus is not None:
        found["CUDA_VISIBLE_DEVICES"] = gpus
    return found | {name: fill(value, dict(values)) for name, value in recipe.variables.items()}


def identity_of(recipe: Recipe, places: Mapping[str, Path]) -> dict[str, Any]:
    """What the program is: commits, sources and weights of the places that the recipe names, and its interpreter's version."""
    facts: dict[str, Any] = {}
    if recipe.identity.commit:
        facts["commit"] = {name: commit_of(places[name]) for name in recipe.identity.commit}
    if recipe.identity.sources:
        facts["sources"] = {name: sources_digest(places[name]) for name in recipe.identity.sources}
    if recipe.identity.weights:
        facts["weights"] = {name: weights_digest(places[name]) for name in recipe.identity.weights}
    return facts


def commit_of(folder: Path) -> str | None:
    """The commit that a git checkout is at, read from its files; None where there is no git. No program is run.

    Changes that are not committed are not seen: that is what the digest of the sources is for.
    """
    git = folder / ".git"
    try:
        if git.is_file():  # of a worktree
            git = (folder / git.read_text(encoding="utf-8").partition("gitdir:")[2].strip()).resolve()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref:"):
            return head if _is_commit(head) else None
        name = head.partition(":")[2].strip()
        common = (git / "commondir").read_text(encoding="utf-8").strip() if (git / "commondir").is_file() else "."
        for base in (git, (git / common).resolve()):
            if re.fullmatch(r"refs/[\w./-]+", name) and ".." not in name and (base / name).is_file():
                commit = (base / name).read_text(encoding="utf-8").strip()
                return commit if _is_commit(commit) else None
            if (base / "packed-refs").is_file():
                lines = (base / "packed-refs").read_text(encoding="utf-8").splitlines()
                if found := next((line.split()[0] for line in lines if line.split()[1:] == [name]), None):
                    return found if _is_commit(found) else None
    except (OSError, ValueError):
        return None
    return None


def _is_commit(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", text))


def weights_digest(place: Path) -> str:
    """sha256 over the names and bytes of all files of a folder (or of one file), whatever their format; remembered by size and time.

    Raises:
        UserError: There is no file.
    """
    digests = importlib.import_module(DIGESTS)
    files = [place] if place.is_file() else sorted(path for path in _files(place) if path.is_file())
    if not files:
        raise UserError("holds no file", where=str(place), expected="weights")
    hasher = hashlib.sha256()
    for path in files:
        name = path.name if path == place else path.relative_to(place).as_posix()
        hasher.update(f"{name}\0{digests.file_digest(path)}\n".encode())
    return hasher.hexdigest()


def sources_digest(folder: Path) -> str:
    """sha256 over the names and bytes of the source files in a folder (`SOURCES`, of at most 2 MB); a file counts by itself."""
    hasher = hashlib.sha256()
    for path in [folder] if folder.is_file() else sorted(_sources(folder)):
        name = path.name if path == folder else path.relative_to(folder).as_posix()
        hasher.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return hasher.hexdigest()


def _sources(folder: Path) -> list[Path]:
    paths = [path for path in _files(folder, without=NOT_SOURCES) if path.suffix in SOURCES]
    return [path for path in paths if path.is_file() and path.stat().st_size <= MAX_SOURCE_BYTES]


def _files(folder: Path, without: frozenset[str] = HIDDEN) -> list[Path]:
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in without]
        found += [Path(root) / name for name in files]
    return found
