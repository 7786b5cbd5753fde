"""Reports: tables, figures, pages and pictures made from run folders. Reads runs, imports no model.

from reports import load_runs
load_runs("runs/independent", "runs/memory").summary
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports.notebook import Runs


def load_runs(*paths: Path | str) -> Runs:
    """Open run folders as data frames; see `reports.notebook.load_runs`, which is imported when it is called."""
    from reports.notebook import load_runs as load

    return load(*paths)
