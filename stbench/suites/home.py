"""Where added suites live: `$STBENCH_SUITES`, else `stbench/suites` in the user's data folder (XDG)."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT = "STBENCH_SUITES"


def home() -> Path:
    """The folder of added suites; it may not exist yet."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(named).expanduser()
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "stbench" / "suites"


def added_suites() -> dict[str, Path]:
    """Name → folder of every suite that was added."""
    root = home()
    return {folder.name: folder for folder in root.iterdir() if (folder / "suite.json").is_file()} if root.is_dir() else {}
