"""The table of a report for a terminal: metrics below one another, a column per method, best and second marked by a number."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from reports.comparison_text import WIDTH
from reports.paper import PUBLISHED, PaperCell, PaperTable, paper_table
from reports.runs import label
from reports.tables import read_scores
from reports.views import titles_of
from stbench.store import RunFolder

ARROWS = {True: "↑", False: "↓", None: " "}
PLACES = ("", "¹", "²")
NAME_COLUMNS, MOST_METHODS = 14, 4  # so that the longest metric and this many methods fit 80 columns


def print_scores(runs: Sequence[RunFolder], *, stream: Any = None) -> None:
    """Print the table to stderr, or to `stream`; many methods are printed in several tables. Nothing without scores."""
    from rich.console import Console
    from rich.table import Table

    table = paper_table(read_scores(runs, titles_of([label(run) for run in runs])))
    if not table.columns:
        return
    out = stream or sys.stderr
    console = Console(file=out, highlight=False, width=None if out.isatty() else WIDTH)
    methods = [k for k, row in enumerate(table.rows) if row.kind != PUBLISHED]
    for start in range(0, len(methods), MOST_METHODS):
        shown = methods[start : start + MOST_METHODS]
        grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for name in ("metric", ""):
            grid.add_column(name, no_wrap=True)
        for k in shown:
            grid.add_column(table.rows[k].name, justify="right", max_width=NAME_COLUMNS, overflow="fold")
        for place, column in enumerate(table.columns):
            cells = [_cell(table.rows[k].cells[place]) for k in shown]
            grid.add_row(column.metric, ARROWS[column.higher_is_better], *cells)
        console.print(grid)
        console.print()
    for line in _legend(table):
        console.print(line, markup=False)


def _cell(cell: PaperCell) -> str:
    return f"{cell.text}{'' if cell.complete else '*'}{PLACES[cell.place] or ' '}"


def _legend(table: PaperTable) -> list[str]:
    cells = [cell for row in table.rows for cell in row.cells]
    lines = ["¹ best ² second of the methods"] if any(cell.place for cell in cells) else []
    return lines + (["* not everything that was expected could be scored"] if any(not cell.complete for cell in cells) else [])
