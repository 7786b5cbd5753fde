"""`stbench paper`: the tables of StoryMem's paper, made again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stbench.errors import EXIT_OK, EXIT_PARTIAL, UserError

if TYPE_CHECKING:
    from stbench.paper import Wanted

WIDTH = 80
SHOWN = 200  # characters of a reason; the table has all of it
_EPILOG = """\b
Examples:
  stbench paper --table 1
  stbench paper --table 1 --table 2 --jobs 2
  stbench paper --table 2 --seeds 0,1,2 --also memory-1 --also release-2025-12
  stbench paper --table 1 --model wan2.2-a14b --also runs/videos-sora

\b
Runs what is missing, continues what was stopped, and writes table1.md, .tex and
.csv: what was measured, what was found, under which conditions; and, apart from
it, what the paper prints. Runs are in OUT/runs, shared by both tables.
Exit codes: 0 every run is complete, 2 usage, 3 something is missing."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(paper)


def paper(
    table: Annotated[
        list[int] | None, typer.Option(metavar="1|2", help="1: methods, 2: ablations; may be repeated.", show_default="both")
    ] = None,
    model: Annotated[str, typer.Option(help="A model profile or a model folder; see `stbench list models`.")] = "world",
    suite: Annotated[str | None, typer.Option(help="Stories.", show_default="world for the world model, else st-bench")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Protocol to score under.", show_default="world for the world model, else storymem-paper")
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N[,N...]", help="Every method films once with each.")] = "0",
    also: Annotated[
        list[str] | None, typer.Option(metavar="METHOD|RUN", help="A further row; may be repeated.", show_default=False)
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="For all StoryMem rows; may be repeated.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N stories.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Folder of tables and runs.")] = Path("runs/paper"),
    jobs: Annotated[int, typer.Option(min=1, max=16, help="Runs at the same time, each in a process of its own.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """The tables of StoryMem's paper: run what is missing, resume the rest, write Markdown, LaTeX and CSV."""
    from stbench.commands.output import print_json
    from stbench.config import check_device, parse_options
    from stbench.display import make_display
    from stbench.paper import Wanted, make, plan

    wanted = Wanted(
        tables=_tables(table),
        model=model,
        suite=suite,
        protocol=protocol,
        seeds=_seeds(seeds),
        also=tuple(also or ()),
        options=parse_options(set_ or []),
        limit=limit,
        device=check_device(device),
        out=out,
        jobs=jobs,
    )
    planned = plan(wanted)
    with make_display() as display:
        wrong = make(planned, wanted, display)
    written = {f"table{number}": _write(wanted, number, {**planned.missing, **wrong}) for number in wanted.tables}
    verdict = _verdict(wanted, planned.missing, wrong)
    if json:
        print_json({"verdict": verdict, "missing": {**planned.missing, **wrong}, **written})
    raise typer.Exit(EXIT_OK if verdict == "complete" else EXIT_PARTIAL)


def _tables(given: list[int] | None) -> tuple[int, ...]:
    from stbench.paper import TABLES

    numbers = tuple(dict.fromkeys(given or TABLES))
    if unknown := [number for number in numbers if number not in TABLES]:
        raise UserError(f"there is no table {unknown[0]}", where="--table", expected="1 (methods) or 2 (ablations)")
    return numbers


def _seeds(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 16 for part in parts) or len(set(map(int, parts))) < len(parts):
        raise UserError(f"found {text!r}", where="--seeds", expected="different whole numbers from 0 on, as 0 or 0,1,2")
    return tuple(map(int, parts))


def _write(wanted: Wanted, number: int, missing: dict[str, str]) -> dict[str, Any]:
    """Write one table, and say on stderr what was found and where it is."""
    import textwrap

    from stbench.paper import titles
    from stbench.scoring import PAPERS
    from stbench.store import RunFolder

    rows = titles(wanted, number, missing)
    mine = {name: why for name, why in missing.items() if name in wanted.methods(number)}
    folders = {title: [RunFolder.open(path) for path in paths] for title, paths in rows.items()}
    paths, sentences, conditions = PAPERS.get("reports")(number, folders, wanted.out, missing=mine)
    print(f"\ntable {number}", file=sys.stderr)
    for line in (*sentences, *conditions, *(f"Not measured: {name}: {textwrap.shorten(why, SHOWN)}" for name, why in mine.items())):
        print(textwrap.fill(line.replace("`", ""), WIDTH, initial_indent="  ", subsequent_indent="    "), file=sys.stderr)
    for name, path in paths.items():
        print(f"{name.replace('_', ' '):<14} {path}", file=sys.stderr)
    return {
        "found": sentences,
        "conditions": conditions,
        "paths": {name: str(path) for name, path in paths.items()},
        "rows": {t: [str(p) for p in r] for t, r in rows.items()},
    }


def _verdict(wanted: Wanted, missing: Mapping[str, str], wrong: Mapping[str, str]) -> str:
    """`complete` if every run that was made is; methods that cannot run here at all are named, and missing."""
    from stbench.commands.report import verdict
    from stbench.paper import titles
    from stbench.store import RunFolder

    paths = {path for number in wanted.tables for row in titles(wanted, number, {**missing, **wrong}).values() for path in row}
    return "partial" if wrong else verdict([RunFolder.open(path) for path in sorted(paths)])
