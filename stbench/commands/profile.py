"""`stbench profile`: where the time of a shot goes, and whether the times may be believed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stbench.commands.output import print_json, printable
from stbench.errors import EXIT_INVALID, EXIT_OK, UserError

if TYPE_CHECKING:
    from stbench.profiling.live import Filming
    from stbench.store import RunFolder

SHOTS = 12
FOLDER = "profile"  # in the run folder
_EPILOG = """\b
Examples:
  stbench profile runs/memory
  stbench profile --method storymem --shots 12
  stbench profile --method storymem --model wan2.2-a14b --shots 10 --trace
  stbench profile runs/memory --json > profile.json

\b
Exit codes: 0 the times are VALID, 4 they are INVALID (the reasons are printed),
2 nothing was timed."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(profile)


def profile(
    run: Annotated[Path | None, typer.Argument(help="A run folder; or leave it out and give --method.", show_default=False)] = None,
    method: Annotated[str | None, typer.Option(help="Film some shots with this method and time them.", show_default=False)] = None,
    shots: Annotated[int, typer.Option(min=1, help="With --method: how many, the cold ones included.")] = SHOTS,
    suite: Annotated[str, typer.Option(help="With --method: the suite whose first stories are filmed.")] = "world-mini",
    model: Annotated[str, typer.Option(help="With --method: a model profile or a model folder.")] = "world",
    seed: Annotated[int, typer.Option(min=0, help="With --method: seed of the run.")] = 0,
    device: Annotated[str, typer.Option(help="With --method: auto, cpu, cuda or cuda:N.")] = "auto",
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="With --method: an option of it.")] = None,
    out: Annotated[Path | None, typer.Option(help="With --method: the run folder.", show_default="runs/<method>-profile-<model>")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Make one shot more and write a trace for chrome://tracing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Where the time of a shot goes: by stage, step and memory frame, against what the device can do.

    From a run folder, or from shots filmed for it. Shots made with cold models are told apart, reused ones were never timed. Times from
    a busy, throttled or shared machine are INVALID: tables without a headline. A page with figures is written into the run folder.
    """
    from stbench.config import parse_options
    from stbench.profiling.live import Filming
    from stbench.store import RunFolder

    if (run is None) == (method is None):
        raise UserError("give either a run folder or --method", where="stbench profile", hint="stbench profile --method storymem")
    if run is not None:
        folder = RunFolder.open(run)
    else:
        options = parse_options(set_ or [])
        folder = _film(
            Filming(method=str(method), shots=shots, suite=suite, model=model, seed=seed, device=device, options=options, out=out)
        )
    raise typer.Exit(EXIT_OK if _show(folder, with_trace=trace, json=json) else EXIT_INVALID)


def _film(wanted: Filming) -> RunFolder:
    from stbench.display import make_display
    from stbench.profiling.live import film

    with make_display() as display:
        return film(wanted, display)


def _show(folder: RunFolder, *, with_trace: bool, json: bool) -> bool:
    """Print, draw and store the profile of a run; returns whether its times are valid."""
    from stbench.profiling.live import trace
    from stbench.profiling.profile import profile_run
    from stbench.profiling.text import lines
    from stbench.scoring import PROFILERS

    found = profile_run(folder)
    target = folder.path / FOLDER
    paths: dict[str, Path] = dict(PROFILERS.get("reports")(found, target))
    if with_trace:
        paths["trace"] = trace(folder, target / "trace.json")
    for line in lines(found):
        print(printable(line), file=sys.stderr)
    print(file=sys.stderr)
    for name, path in paths.items():
        print(f"{name:<11} {path}", file=sys.stderr)
    if json:
        print_json({**found.to_json(), "paths": {name: str(path) for name, path in paths.items()}})
    return found.validity.valid
