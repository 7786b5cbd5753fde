"""Digests of weights: what makes a run's identity change when a weight does.

126 GB take minutes to hash, so a digest is remembered: for the process always, and for large files in a small file of the
user's cache folder, by path, size and time of change. A file of a Hugging Face cache is stored there under its sha256, and
a folder made by `hf download --local-dir` keeps the sha256 of each large file beside it; both are taken as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

from stbench.files import temp_path

_CHUNK_BYTES = 1 << 22
LARGE_BYTES = 1 << 28
SUFFIXES = (".json", ".safetensors", ".model", ".txt", ".pth", ".pt", ".bin")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGESTS: dict[tuple[str, int, int], str] = {}


def file_digest(path: Path) -> str:
    """sha256 of a file, remembered by path, size and time of change."""
    real = path.resolve()
    if real.parent.name == "blobs" and _SHA256.fullmatch(real.name):
        return real.name
    facts = real.stat()
    key = (str(real), facts.st_size, facts.st_mtime_ns)
    if key not in _DIGESTS:
        large = facts.st_size >= LARGE_BYTES
        known = (_said_by_download(real) or _remembered(key)) if large else None
        _DIGESTS[key] = known or _hash(real)
        if large and known is None:
            _remember(key, _DIGESTS[key])
    return _DIGESTS[key]


def folder_digest(folder: Path, parts: tuple[str, ...]) -> str:
    """sha256 over names and contents of all files in `parts` of a folder (sub-folders or files that exist), in name order.

    If `folder` is a file itself, its own digest.
    """
    if folder.is_file():
        return file_digest(folder)
    digest = hashlib.sha256()
    for part in parts:
        own = folder / part
        for path in [own] if own.is_file() else sorted(own.rglob("*")):
            named = path.relative_to(folder)
            if path.is_file() and path.suffix in SUFFIXES and not any(name.startswith(".") for name in named.parts):
                digest.update(f"{named.as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _said_by_download(path: Path) -> str | None:
    """The sha256 that `hf download --local-dir` left for a file, unless the file was changed since."""
    for folder in path.parents[:4]:
        note = folder / ".cache" / "huggingface" / "download" / f"{path.relative_to(folder).as_posix()}.metadata"
        if note.is_file():
            try:
                _, etag, written = note.read_text(encoding="utf-8").split()[:3]
                fresh = path.stat().st_mtime - 1 <= float(written)
            except (OSError, ValueError):
                return None
            return etag if fresh and _SHA256.fullmatch(etag) else None
    return None


def _memory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "stbench" / "weight-digests.json"


def _remembered(key: tuple[str, int, int]) -> str | None:
    entry = _load().get(key[0])
    return str(entry[2]) if isinstance(entry, list) and len(entry) == 3 and entry[:2] == list(key[1:]) else None


def _remember(key: tuple[str, int, int], digest: str) -> None:
    path = _memory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = temp_path(path)
        fresh.write_text(json.dumps(_load() | {key[0]: [key[1], key[2], digest]}), encoding="utf-8")
        fresh.replace(path)
    except OSError:
        return  # only a convenience: the next run hashes again


def _load() -> dict[str, object]:
    try:
        data = json.loads(_memory().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
