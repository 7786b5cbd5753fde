"""`stbench plan`: the bill before the run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stbench.commands.output import print_json
from stbench.errors import EXIT_GATE_FAILED, EXIT_OK, UserError

if TYPE_CHECKING:
    from stbench.planning.calibrate import Calibration
    from stbench.planning.devices import Device

_EPILOG = """\b
Examples:
  stbench plan --method storymem --model a14b --suite stbench-30 --device h100
  stbench plan --method storymem --device rtx-4090 --price 0.5 --deadline 24h
  stbench plan --method wan-t2v --device a100-80 --size 1280x720
  stbench plan --method storymem --model world --suite world --like runs/mine
  stbench plan --check

\b
Devices: h100, h200, a100-80, l40s, rtx-4090, rtx-5090. --like RUN takes its own
device and one of its shots as the measure; with --device, scaled to that device.
--check holds the arithmetic against Wan2.2's published table; exit code 1 if a
row misses. How it is computed: docs/plan.md."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(plan)


def plan(
    method: Annotated[str, typer.Option(help="storymem, wan-t2v or wan-i2v-chain.")] = "storymem",
    model: Annotated[str, typer.Option(help="a14b (no weights needed), world, or a model folder.")] = "a14b",
    suite: Annotated[str, typer.Option(help="A bundled suite, a script, or a folder of scripts.")] = "stbench-30",
    device: Annotated[str | None, typer.Option(metavar="NAME", help="What to film on.", show_default="h100, or that of --like")] = None,
    like: Annotated[Path | None, typer.Option(metavar="RUN", help="A run whose shot is the measure.", show_default=False)] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the method; may be repeated.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N stories.", show_default=False)] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Pixels.", show_default="the model's")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Of a shot.", show_default="the model's")] = None,
    placement: Annotated[str | None, typer.Option(metavar="NAME", help="Where weights wait.", show_default="the first that fits")] = None,
    setup: Annotated[str, typer.Option(help="storymem, or wan2.2: as its published table was made.")] = "storymem",
    gpus: Annotated[int, typer.Option(min=1, max=64, help="With --setup wan2.2: GPUs that share one shot.")] = 1,
    price: Annotated[float | None, typer.Option(min=0, help="Of a GPU-hour.", show_default=False)] = None,
    deadline: Annotated[str | None, typer.Option(metavar="TIME", help="Such as 24h: how many GPUs?", show_default=False)] = None,
    check: Annotated[bool, typer.Option("--check", help="Print how far Wan2.2's published table is off.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Predict time, memory and cost of a suite before it is filmed.

    Operations and bytes are counted from the model's sizes and the code; a data sheet and stated efficiencies turn them into seconds; one
    measured number scales them. The plan says which is which.
    """
    from stbench.config import parse_options
    from stbench.planning.plan import Wishes, make_plan, parse_deadline
    from stbench.planning.text import lines
    from stbench.planning.work import Order, costing
    from stbench.suites import load_suite

    if check:
        raise typer.Exit(_check(json))
    wanted = Order(method=method, model=model, options=parse_options(set_ or []), setup=setup, gpus=gpus, size=_size(size), frames=frames)
    cost = costing(wanted)
    found, calibration = _measure(like, device, model)
    stories = load_suite(suite)
    wishes = Wishes(
        price=price,
        deadline_s=parse_deadline(deadline) if deadline else None,
        placement=placement,
        suite=stories.name,
    )
    made = make_plan(wanted, cost, stories.stories[:limit], found, calibration, wishes)
    if json:
        print_json(made.to_json())
    else:
        print("\n".join(lines(made)))


def _measure(like: Path | None, device: str | None, model: str) -> tuple[Device, Calibration]:
    """What to plan for, and what scales it."""
    from stbench.planning.calibrate import published_calibration, run_calibration
    from stbench.planning.devices import device_named
    from stbench.store import RunFolder

    if like is not None:
        calibration = run_calibration(RunFolder.open(like))
        return (calibration.device if device is None else device_named(device)), calibration
    if model == "world":
        raise UserError("the world model runs on a CPU, which no data sheet describes", where="--model world", hint="--like RUN")
    return device_named(device or "h100"), published_calibration()


def _size(text: str | None) -> tuple[int, int] | None:
    """Height and width of "1280x720"."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if found is None:
        raise UserError(f"found {text!r}", where="--size", expected="WIDTHxHEIGHT, such as 1280x720")
    return int(found[2]), int(found[1])


def _check(json: bool) -> int:
    from stbench.planning.published import residuals
    from stbench.planning.text import residual_lines

    found = residuals()
    missed = [residual for residual in found if not residual.within]
    if json:
        print_json({"verdict": "different" if missed else "within", "rows": [residual.to_json() for residual in found]})
    else:
        print("\n".join(residual_lines(found)))
    return EXIT_GATE_FAILED if missed else EXIT_OK
