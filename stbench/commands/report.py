"""`stbench report`: a page, tables and figures from run folders."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stbench.commands.output import print_json
from stbench.errors import UserError

if TYPE_CHECKING:
    from stbench.store import RunFolder

LINE_EVERY_S = 5.0
INTERVALS = ("columns", "caption", "none")
_EPILOG = """\b
Examples:
  stbench report runs/memory
  stbench report runs/independent runs/memory --out runs/report
  stbench report runs/* --by memory.sink,variant --cost cross_shot_appearance
  stbench report runs/memory --embed --out one-file
  stbench report runs/a runs/b --out people --study
  stbench report runs/a runs/b --out people --answers ann.json --answers bo.json"""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(report)


def report(
    runs: Annotated[list[Path], typer.Argument(help="One or more run folders; the first is the base.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder to write to.", show_default="RUN/report, or runs/report for several")] = None,
    embed: Annotated[bool, typer.Option("--embed", help="Films and pictures inside the page: one file, and large.")] = False,
    intervals: Annotated[str, typer.Option(metavar="WHERE", help="Intervals in LaTeX: columns, caption or none.")] = "columns",
    by: Annotated[
        str | None, typer.Option(metavar="KEYS", help="Group runs by these settings, parted by commas.", show_default=False)
    ] = None,
    cost: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC", help="Plot against cost; may be repeated.", show_default="the first metric"),
    ] = None,
    study: Annotated[bool, typer.Option("--study", help="Write a page of blinded questions for people instead.")] = False,
    questions: Annotated[int, typer.Option(min=1, max=1000, help="With --study: at most so many pairs.")] = 40,
    answers: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Answers of a rater; may be repeated.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """A page that opens offline, tables (Markdown, LaTeX, CSV), figures (SVG, PNG) and contact sheets.

    Of one run, or of several side by side. Everything is made from the run folders; nothing is filmed, scored or fetched.
    """
    from stbench.endcard import json_paths
    from stbench.scoring import COMPARERS, REPORTERS, STUDIES
    from stbench.store import RunFolder

    if intervals not in INTERVALS:
        raise UserError(f"intervals {intervals!r}", where="--intervals", expected=f"one of: {', '.join(INTERVALS)}")
    folders = [RunFolder.open(path) for path in runs]
    target = out or (folders[0].report_path if len(folders) == 1 else Path("runs") / "report")
    keys = [key.strip() for key in by.split(",") if key.strip()] if by else []
    write: Any = REPORTERS.get("reports")
    wanted = {"embed": embed, "intervals": intervals, "by": keys, "cost": cost or [], "answers": answers or [], "figures": True}
    if study:
        paths = json_paths(STUDIES.get("reports")(folders, target, questions=questions))
    else:
        paths = json_paths(write(folders, target, **wanted, progress=slow_lines()))
        COMPARERS.get("scores")(folders)
    if json:
        print_json({"verdict": verdict(folders), "runs": [str(path) for path in runs], "paths": paths})
    for name, value in paths.items():
        print(f"{name.replace('_', ' '):<15} {value}", file=sys.stderr)


def verdict(runs: Sequence[RunFolder]) -> str:
    """`complete` if every run has all its shots and every score that it asked for, else `partial`."""
    from stbench.scores import aggregate

    shots = all(run.manifest.counts.done == run.manifest.counts.expected for run in runs)
    return "complete" if shots and all(line.complete for run in runs for line in aggregate(run.scores())) else "partial"


def slow_lines(clock: Callable[[], float] = time.monotonic) -> Callable[[str], None]:
    """Progress for people: a line of what was done every five seconds, none for what is quick."""
    last = clock()

    def say(line: str) -> None:
        nonlocal last
        if clock() - last >= LINE_EVERY_S:
            last = clock()
            print(f"  {line}", file=sys.stderr, flush=True)

    return say
