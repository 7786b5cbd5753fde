"""`stbench compare`: is the new run better, and may the two be compared at all?"""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated

import typer

from stbench.errors import EXIT_GATE_FAILED, EXIT_OK

_EPILOG = """\b
Examples:
  stbench compare runs/independent runs/memory
  stbench compare runs/base-s0 runs/base-s1 runs/new-s0 runs/new-s1
  stbench compare runs/a runs/b runs/c --json > comparison.json
  stbench compare runs/main runs/pull-request --strict

\b
Runs that differ in their seed only are taken as one method.
Exit codes: 0 compared, 1 with --strict: something is not comparable, missing or
flagged, 2 nothing can be compared."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(compare)


def compare(
    base: Annotated[Path, typer.Argument(help="The run to compare with.", show_default=False)],
    new: Annotated[list[Path], typer.Argument(help="One or more other runs.", show_default=False)],
    strict: Annotated[bool, typer.Option("--strict", help="Fail if anything is not comparable, missing or flagged.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Compare runs with a base run: paired changes, intervals, corrected p-values.

    Pairs are of the same story, shot and seed. Intervals and tests take whole stories, and p-values are corrected over everything shown
    (Holm), so `+` and `-` can be trusted together. What may not be compared (another metric version, encoder, protocol, suite or
    device) is marked, with the reason.
    """
    from stbench.scoring import COMPARERS
    from stbench.store import RunFolder

    comparison = COMPARERS.get("reports")([RunFolder.open(path) for path in (base, *new)])
    COMPARERS.get("terminal")(comparison)
    if json:
        print(json_module.dumps(comparison.to_json(), ensure_ascii=False, allow_nan=False), flush=True)
    failed = strict and comparison.verdict != "comparable"
    if failed:
        print(f"--strict: {comparison.verdict}", file=sys.stderr)
    raise typer.Exit(EXIT_GATE_FAILED if failed else EXIT_OK)
