"""Features on disk, named by content: what was encoded, by what. Safe to delete; a damaged file is made again.

A file is a sha256 followed by the array (`.npy`) that it is the hash of. So nothing need be flushed to disk at once, as
results must be: what a power loss damages is noticed.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np

from stbench.files import loud, temp_path
from stbench.keys import digest

HASH_BYTES = 32


class FeatureCache:
    """Arrays by key, in a folder or (without one) in memory only.

    Example:
        >>> cache = FeatureCache(None)
        >>> cache.put("a", np.array([1.0]))
        >>> cache.get("a"), cache.get("b")
        (array([1.]), None)
    """

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._held: dict[str, np.ndarray] = {}

    @staticmethod
    def key(*, kind: str, maker: str, content: str) -> str:
        """Key of a feature: its kind, the digest of what makes it, the digest of what it is made from."""
        return digest([kind, maker, content])

    def _path(self, key: str) -> Path | None:
        return self._folder / key[:2] / f"{key}.feature" if self._folder else None

    def get(self, key: str) -> np.ndarray | None:
        """The array, or None if it is not there or cannot be read."""
        if key in self._held:
            return self._held[key]
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        data = path.read_bytes()
        if hashlib.sha256(data[HASH_BYTES:]).digest() != data[:HASH_BYTES]:
            return None
        found: np.ndarray = np.load(io.BytesIO(data[HASH_BYTES:]), allow_pickle=False)
        self._held[key] = found
        return found

    def has(self, key: str) -> bool:
        """Whether the array is there and whole."""
        return self.get(key) is not None

    def put(self, key: str, value: np.ndarray) -> None:
        """Keep an array."""
        self._held[key] = value
        path = self._path(key)
        if path is not None:
            buffer = io.BytesIO()
            np.save(buffer, value, allow_pickle=False)
            data = buffer.getvalue()
            with loud(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                temp_path(path).write_bytes(hashlib.sha256(data).digest() + data)
                temp_path(path).replace(path)

    def forget(self) -> None:
        """Free the memory; what is in the folder stays."""
        self._held.clear()
