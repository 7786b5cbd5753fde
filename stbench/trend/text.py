"""Series on a terminal: a line per quantity, then a line per step and per point that does not count. At most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from stbench.profiling.text import WIDTH, number
from stbench.trend.series import Series
from stbench.trend.steps import MIN_POINTS


def lines(series: Sequence[Series]) -> Iterator[str]:
    """Line by line, one table per kind of run."""
    for group, members in groupby(series, key=lambda one: one.group):
        rows = list(members)
        yield from textwrap.wrap(group, WIDTH, subsequent_indent="  ")
        yield f"{'quantity':<30}{'runs':>5}{'first':>9}{'last':>9}{'noise':>9}  steps"
        for one in rows:
            counted = one.counted
            first, last = (number(counted[k].value) if counted else "–" for k in (0, -1))
            steps = str(len(one.steps)) if len(counted) >= MIN_POINTS else f"needs {MIN_POINTS} runs"
            name = one.quantity if len(one.quantity) < 30 else f"{one.quantity[:28]}…"
            yield f"{name:<30}{len(counted):>5}{first:>9}{last:>9}{number(one.noise):>9}  {steps}"
        for one in rows:
            yield from _steps(one)
        for reason, runs in _reasons(rows).items():
            yield from textwrap.wrap(f"not counted: {runs}: {reason}", WIDTH, subsequent_indent="  ")
        yield ""


def _steps(one: Series) -> Iterator[str]:
    for step in one.steps:
        change = "" if step.change is None else f" ({step.change:+.1%})"
        alone = ", one run so far" if step.at == max(k for k, point in enumerate(one.points) if point.reason is None) else ""
        point = one.points[step.at]
        text = (
            f"{one.word(step):<7} {one.quantity} {number(step.before)} → {number(step.after)}{change} at {point.label}, {point.run}{alone}"
        )
        yield from textwrap.wrap(text, WIDTH, subsequent_indent="  ")


def _reasons(rows: Sequence[Series]) -> dict[str, str]:
    """Reason → the quantities and how many points it holds for."""
    found: dict[str, dict[str, int]] = {}
    for one in rows:
        for point in one.points:
            if point.reason:
                counts = found.setdefault(point.reason, {})
                counts[one.quantity] = counts.get(one.quantity, 0) + 1
    return {reason: ", ".join(f"{name} of {n} run{'s' * (n > 1)}" for name, n in counts.items()) for reason, counts in found.items()}
