"""Which files were hashed before and have not been touched since: so that continuing a large run does not read it whole.

A file counts as known while its size, its time of change and its inode are those of the last hashing. That finds every
change made through the file system; bits that rot on the disk are found by `stbench check`, which reads everything and, where
something is wrong, has the next run read everything too.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from stbench.files import read_small_json, write_bytes
from stbench.keys import file_sha256

FILE = ".verified.json"


class Verified:
    """Hashes of files below one folder, kept in `.verified.json` there; losing that file costs time and nothing else."""

    def __init__(self, root: Path):
        self.root, self._known, self._changed = root, dict[str, list[object]](), False
        with contextlib.suppress(OSError, ValueError):
            stored = read_small_json(root / FILE)
            if isinstance(stored, dict):
                self._known = {name: entry for name, entry in stored.items() if isinstance(entry, list) and len(entry) == 4}

    def matches(self, path: Path, sha256: str) -> bool:
        """The file has this sha256; it is read if it was touched since it was last read, or if what is known of it says otherwise."""
        return self.sha256(path) == sha256 or self.sha256(path, fresh=True) == sha256

    def sha256(self, path: Path, *, fresh: bool = False) -> str | None:
        """sha256 of a file, read only if it was touched since it was last read, or on demand; None if it is not there."""
        try:
            stat = path.stat()
            name = path.relative_to(self.root).as_posix()
        except OSError:
            return None
        except ValueError:
            return file_sha256(path)
        facts: list[object] = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        entry = self._known.get(name)
        if fresh or entry is None or entry[:3] != facts:
            entry = [*facts, file_sha256(path)] if path.is_file() else None
            if entry is None:
                return None
            self._known[name], self._changed = entry, True
        return str(entry[3])

    def save(self) -> None:
        """Write what was learned, if anything was."""
        if self._changed:
            write_bytes(self.root / FILE, json.dumps(self._known).encode())
            self._changed = False
