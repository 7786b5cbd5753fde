"""`stbench trend`: a metric or a time over runs, with the changes that are more than noise."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stbench.commands.output import print_json, printable
from stbench.trend.steps import FLOOR

_EPILOG = """\b
Examples:
  stbench trend runs/nightly-*
  stbench trend runs/nightly-* --of cross_shot_appearance --of shot.p50
  stbench trend runs/nightly-* --of denoise.p50 --out trend --json"""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(trend)


def trend(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, in any order.", show_default=False)],
    of: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="A metric, shot.p50, STAGE.p50 or peak_mem; may be repeated.",
            show_default="every metric, and shot.p50",
        ),
    ] = None,
    floor: Annotated[float, typer.Option(min=0, max=1, help="The smallest relative change that is a step.")] = FLOOR,
    out: Annotated[Path, typer.Option(help="Folder for the page.")] = Path("runs/trend"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """How metrics and times went over runs, in the order in which they were started, with steps marked.

    Runs of one method, model, options and suite are one series. A step is a change of level that noise does not explain: the noise is read
    from neighbouring runs, the bound is what 99 of 100 series of pure noise stay under. INVALID times and what is not comparable with the
    newest run are shown and do not count.
    """
    from stbench.scoring import TRENDS
    from stbench.store import RunFolder
    from stbench.trend.series import read_series
    from stbench.trend.text import lines

    series = read_series([RunFolder.open(path) for path in runs], of or (), floor=floor)
    page = TRENDS.get("reports")(series, out, floor=floor)
    for line in lines(series):
        print(printable(line), file=sys.stderr)
    print(f"page  {page}", file=sys.stderr)
    if json:
        print_json({"series": [one.to_json() for one in series], "page": str(page)})
