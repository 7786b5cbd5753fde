"""What a soak has tried so far, so that one that is stopped goes on: a line of JSON per trial, written when the trial is over."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What one trial came to: how many things it tried, how many came out as promised, and what did not."""

    tried: int = 1
    good: int = 1
    wrong: tuple[str, ...] = ()


class Ledger:
    """Trials by name. Those of another program or of other tests do not count, and are dropped.

    Args:
        path: The file; None keeps everything in memory.
    """

    def __init__(self, path: Path | None):
        self._path, self._known = path, dict[str, Tally]()
        first = json.dumps({"program": _program()})
        lines = path.read_text().splitlines() if path and path.is_file() else []
        if lines and lines[0] == first:
            for line in lines[1:]:
                name, tried, good, wrong = (json.loads(line)[key] for key in ("name", "tried", "good", "wrong"))
                self._known[name] = Tally(tried=tried, good=good, wrong=tuple(wrong))
        elif path:
            path.write_text(first + "\n")

    def get(self, name: str) -> Tally | None:
        """What a trial came to when it was tried before."""
        return self._known.get(name)

    def add(self, name: str, tally: Tally) -> None:
        """Keep what a trial came to."""
        self._known[name] = tally
        if self._path:
            with self._path.open("a") as file:
                file.write(json.dumps({"name": name, **asdict(tally)}) + "\n")


def _program() -> str:
    """sha256 of the program and of these tests."""
    hashed = hashlib.sha256()
    for folder in (ROOT / "stbench", ROOT / "storymem", HERE):
        for path in sorted(folder.rglob("*.py")):
            hashed.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return hashed.hexdigest()
