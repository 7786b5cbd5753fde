"""`stbench validate-metrics`: do the metrics see what they claim to see?"""

from __future__ import annotations

import importlib
import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stbench.errors import EXIT_GATE_FAILED, EXIT_OK, UserError

RUN = "metrics.validation.run"
_EPILOG = """\b
Examples:
  stbench validate-metrics
  stbench validate-metrics --stories 3 --metric temporal_flickering
  stbench validate-metrics --videos films --suite my-scripts --protocol lite

\b
Films are harmed in one known way at a time, by known amounts. A metric must
move with what it claims to see and keep still under what it claims to ignore.
Exit codes: 0 every declared expectation holds, 1 one does not."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("validate-metrics", epilog=_EPILOG)(validate_metrics)


def validate_metrics(
    protocol: Annotated[str | None, typer.Option(help="Whose metrics.", show_default="world; lite for --videos")] = None,
    stories: Annotated[int, typer.Option(min=1, max=15, help="How many films.")] = 6,
    shots: Annotated[int, typer.Option(min=3, help="How many shots of each.")] = 5,
    metric: Annotated[list[str] | None, typer.Option(help="Only this metric; may be repeated.", show_default="all")] = None,
    videos: Annotated[Path | None, typer.Option(help="Harm these films instead of Story World's.", show_default=False)] = None,
    suite: Annotated[str | None, typer.Option(help="With --videos: their scripts.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Folder for the heat map, CSV and JSON.")] = Path("runs/metric-validation"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Harm films in known ways and check that each metric sees what it claims to see, and nothing else."""
    from stbench.config import check_device, resolve_device
    from stbench.display import make_display

    if (videos is None) != (suite is None):
        raise UserError("--videos and --suite go together", where="stbench validate-metrics")
    run: Any = importlib.import_module(RUN)
    request = run.Request(
        protocol=protocol or ("world" if videos is None else "lite"),
        stories=stories,
        shots=shots,
        videos=videos,
        suite=suite,
        metrics=tuple(metric or ()),
        device=resolve_device(check_device(device)),
    )
    with make_display() as display:
        found = run.validate(request, progress=display.scoring)
    paths = found.write(out)
    stream = sys.stderr if json else sys.stdout
    for line in [*found.lines(), *(str(path) for path in paths.values())]:
        print(line, file=stream)
    if json:
        cells = [cell.to_json() for cell in found.matrix.cells.values()]
        data = {
            "verdict": "complete" if found.holds else "invalid",
            "violated": len(found.matrix.violated),
            "declared": found.matrix.declared,
        }
        print(json_module.dumps({**data, "cells": cells, "paths": {k: str(v) for k, v in paths.items()}}, ensure_ascii=False), flush=True)
    raise typer.Exit(EXIT_OK if found.holds else EXIT_GATE_FAILED)
