"""A plan for people: 80 columns, and every number with where it comes from."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from stbench.endcard import WIDTH
from stbench.planning.plan import GIB, HOUR_S, KindRow, Plan
from stbench.planning.published import MEMORY_WITHIN, TIME_WITHIN, Residual, table


def lines(plan: Plan) -> list[str]:
    """The whole plan."""
    o = plan.order
    split = f", {o.gpus} GPUs a shot" if o.gpus > 1 else ""
    head = f"PREDICTION  {o.method} on {o.model}, {plan.suite} ({plan.stories} stories, {plan.shots} shots), {plan.device.name}{split}"
    facts = ", ".join(f"{name} {_value(value)}" for name, value in plan.inputs.items())
    return [
        *textwrap.wrap(head, WIDTH),
        "",
        *_memory(plan),
        "",
        *_times(plan.rows),
        "",
        *_totals(plan),
        "",
        *_wrapped("counted", f"operations and bytes of every stage, from sizes and code; {facts}"),
        *_wrapped("measured", plan.calibration.source),
        *_wrapped("data sheet", plan.device.source),
        *(line for text in plan.assumed for line in _wrapped("assumed", text)),
        *_wrapped("left out", "loading the models, scoring, writing video files"),
    ]


def _memory(plan: Plan) -> list[str]:
    known = plan.device.memory_bytes
    title = "memory (GiB)   on device  in main memory  at"
    rows = [title + (f"             of {known / GIB:.0f} on the device" if known else "")]
    for placed in plan.placements:
        room = placed.room
        word = "" if placed.fits is None else "fits" if placed.fits else "DOES NOT FIT"
        mark = " <-" if room.placement == plan.placement else ""
        row = f"{room.placement:<14} {room.device_bytes / GIB:>9.1f} {room.host_bytes / GIB:>15.1f}  {room.at:<14} {word}{mark}"
        rows.append(row.rstrip())
    return rows


def _times(rows: Sequence[KindRow]) -> list[str]:
    """Few kinds are shown one by one; of many, the first, the middle and the last, and the mean."""
    names = list(dict.fromkeys(name for row in rows for name in row.stages_s))
    shown = rows if len(rows) <= 6 else (rows[0], rows[len(rows) // 2], rows[-1])
    widths = [max(9, len(name)) for name in names]
    head = "memory known  shots " + " ".join(name.rjust(width) for name, width in zip(names, widths, strict=True)) + "    s/shot"
    found = [head]
    for row in shown:
        cells = " ".join(f"{row.stages_s.get(name, 0.0):>{width}.2f}" for name, width in zip(names, widths, strict=True))
        found.append(f"{row.kind.memory:>6} {row.kind.known:>5} {row.shots:>6} {cells} {row.seconds:>9.2f}")
    shots = sum(row.shots for row in rows)
    means = [sum(row.shots * row.stages_s.get(name, 0.0) for row in rows) / shots for name in names]
    cells = " ".join(f"{mean:>{width}.2f}" for mean, width in zip(means, widths, strict=True))
    return [*found, f"{'all, mean':<12} {shots:>6} {cells} {sum(means):>9.2f}"]


def _totals(plan: Plan) -> list[str]:
    found = [f"suite       {hours(plan.gpu_hours * HOUR_S)} of one GPU; the longest story takes {hours(plan.longest_story_s)}"]
    if plan.cost is not None:
        found.append(f"cost        {plan.cost:,.2f} at {plan.price:g} per GPU-hour")
    if plan.deadline_s is not None:
        by = hours(plan.deadline_s)
        answer = f"{plan.gpus} GPUs, whole stories on each" if plan.gpus else "no number of GPUs: the longest story alone takes longer"
        found.append(f"within {by:<8} {answer}")
    return found


def hours(seconds: float) -> str:
    """A time in a unit that fits.

    Example:
        >>> hours(5400), hours(90), hours(2.5)
        ('1.5 h', '1.5 min', '2.5 s')
    """
    if seconds >= HOUR_S:
        return f"{seconds / HOUR_S:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _wrapped(name: str, text: str) -> list[str]:
    return textwrap.wrap(f"{name:<11} {text}", WIDTH, subsequent_indent=" " * 12, break_long_words=False)


def _value(value: object) -> str:
    return "/".join(f"{part:g}" for part in value) if isinstance(value, list) else str(value)


def residual_lines(found: Sequence[Residual]) -> list[str]:
    """The published table beside the arithmetic."""
    rows = ["device    method         GPUs  published s  predicted s    error  GB each  predicted    error"]
    for r in found:
        mark = "calibrated" if r.calibrated else "" if r.within else "MISS"
        rows.append(
            f"{r.row.device:<9} {r.row.method:<14} {r.row.gpus:>4} {r.row.seconds:>12.1f} {r.seconds:>12.1f} {r.time_error:>+8.1%}"
            f" {r.row.peak_gb:>8.1f} {r.peak_gb:>10.1f} {r.memory_error:>+8.1%}  {mark}".rstrip()
        )
    checked = [r for r in found if not r.calibrated]
    missed = sum(not r.within for r in checked)
    last = f"{len(checked) - missed} of {len(checked)} rows within {TIME_WITHIN:.0%} in time and {MEMORY_WITHIN:.0%} in memory"
    return [*rows, last, *_wrapped("source", f"{table()['source']}; {table()['how']}")]
