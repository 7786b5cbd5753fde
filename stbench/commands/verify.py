"""`stbench verify`: does this machine compute what the published code computed?"""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stbench.errors import EXIT_GATE_FAILED, EXIT_OK, UserError

if TYPE_CHECKING:
    from stbench.oracle import Report

DTYPES = ("float32", "bfloat16", "float16")
_EPILOG = """\b
Examples:
  stbench verify tests/oracle
  stbench verify tests/oracle_metrics
  stbench verify oracle --device cuda --dtype bfloat16
  stbench verify oracle --device cuda --attention flash --json > verify.json

\b
Exit codes: 0 all within tolerance, 1 a miss, 2 the folder is no oracle."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(verify)


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with inputs and published numbers.", show_default=False)],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="Of transformers and encoders: " + ", ".join(DTYPES) + ".")] = "float32",
    attention: Annotated[
        str | None, typer.Option(help="Attention backend, as diffusers names it.", show_default="the library's own")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Compare what this machine computes with the numbers of the published code, case by case.

    Works on any folder in the format of tests/oracle (StoryMem) or tests/oracle_metrics (VBench), whatever the sizes, seeds, layers,
    frames and ranks in it. Each line says pass or MISS, the error and the tolerance.
    """
    from stbench.config import check_device, resolve_device
    from stbench.oracle import Setting
    from stbench.oracle import verify as run

    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r}", where="--dtype", expected=f"one of: {', '.join(DTYPES)}")
    setting = Setting(device=resolve_device(check_device(device)), dtype=dtype, attention=attention)
    stream = sys.stderr if json else sys.stdout
    report = run(folder, setting, on_case=lambda case: print(case.line(), file=stream, flush=True))
    for line in remarks(report):
        print(line, file=stream)
    if not report.cases:
        raise UserError("nothing in it can be checked", where=str(folder), expected="the files of an oracle, those it depends on included")
    if json:
        print(json_module.dumps(report.to_json(), ensure_ascii=False, allow_nan=False), flush=True)
    raise typer.Exit(EXIT_GATE_FAILED if report.missed else EXIT_OK)


def remarks(report: Report) -> list[str]:
    """What a person should know beside the cases, then the verdict."""
    lines = [f"not in this folder: {', '.join(report.absent)}"] if report.absent else []
    lines += [f"not checked: {item.name}: {item.reason}" for item in report.unchecked]
    lines += [f"not understood: {name}" for name in report.unknown]
    lines += [f"note: {note}" for note in report.notes]
    if report.missed and report.cases:
        lines.append("missed: " + ", ".join(case.name for case in report.missed[:8]) + (" …" if len(report.missed) > 8 else ""))
    return [*lines, report.summary()]
