"""A comparison for a terminal: one rich table per arm, at most 80 columns wide where nobody looks; colour is never the only signal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports.comparison import LEGEND, Comparison, Row
from reports.costs import seconds_per_shot
from reports.tables import interval_text, p_text, short_digests, value_text

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 80
WIDE = 118  # from here on, means and effect sizes have a column
STYLES = {"+": "green", "-": "red", "x": "yellow", "!": "yellow"}
ARROW = {True: "↑", False: "↓", None: " "}


def print_comparison(comparison: Comparison, *, stream: Any = None) -> None:
    """Flags first, then a table per arm, ranks, times and the legend; to stderr unless told otherwise."""
    from rich.console import Console

    out = stream or sys.stderr
    console = Console(file=out, highlight=False, width=None if out.isatty() else WIDTH)
    wide = console.width >= WIDE
    console.print(f"base   {_names(comparison.base)}", markup=False, soft_wrap=True)
    for arm in comparison.arms:
        console.print(f"new    {_names(arm)}", markup=False, soft_wrap=True)
    for line in comparison.flags:
        console.print(f"note   {line}", markup=False)
    for arm in comparison.arms:
        rows = comparison.rows_of(arm.title)
        console.print()
        console.print(f"{arm.title} against {comparison.base.title}", markup=False, style="bold")
        console.print(_table(rows, wide=wide))
        for line in reason_lines(rows):
            console.print(line, markup=False)
    for line in (*_rank_lines(comparison), *_time_lines(comparison)):
        console.print(line, markup=False)
    console.print()
    for line in legend_lines(comparison):
        console.print(line, markup=False)


def legend_lines(comparison: Comparison) -> list[str]:
    """What the marks mean, what was computed, and what so few stories cannot show."""
    lines = [
        *(f"{sign}  {meaning}" for sign, meaning in LEGEND),
        "Paired by story, shot and seed. 95% interval: stories resampled. p: signs of",
        "whole stories flipped, Holm-corrected over all rows. W/T/L: stories won, tied,",
        "lost. g: mean change of a story in standard deviations (Hedges).",
    ]
    if comparison.too_few_stories:
        lines.append(f"Too few stories for a verdict: no p below {comparison.smallest_p:.2g} can appear before correction.")
    return lines


def _table(rows: list[Row], *, wide: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name, right in (("", False), ("metric", False), ("", False)):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    heads = [*(["base", "new"] if wide else []), "change", "95% interval", "p", *(["g"] if wide else []), "W/T/L"]
    for name in heads:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        c = row.change
        means = [value_text(c.base, row.unit), value_text(c.new, row.unit)] if wide else []
        effect = ["–" if c.effect is None else f"{c.effect:+.2f}"] if wide else []
        stories = "/".join(str(n) for n in row.win_tie_loss) if c.mean is not None else "–"
        change, span = value_text(c.mean, row.unit, signed=True), interval_text(c.low, c.high, row.unit, signed=True).replace(" pp", "")
        cells = [*means, change, span, p_text(row.p_holm), *effect, stories]
        table.add_row(Text(row.mark, style=STYLES.get(row.mark[:1], "")), row.metric, ARROW[row.higher_is_better], *cells)
    return table


def reason_lines(rows: Sequence[Row]) -> list[str]:
    """Why rows are marked `x`, `!` or `*`; metrics with one reason share a line."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        if row.change.reason:
            by_reason.setdefault(f"{row.mark} {short_digests(row.change.reason)}", []).append(row.metric)
        if row.lost:
            by_reason.setdefault(f"! {_values(row.lost)} of the base missing here", []).append(row.metric)
        if row.gained:
            by_reason.setdefault(f"* {_values(row.gained)} that the base lacks", []).append(row.metric)
    return [f"{reason} ({', '.join(names)})" for reason, names in by_reason.items()]


def _values(count: int) -> str:
    return f"{count} value{'s' if count > 1 else ''}"


def _names(arm: Any) -> str:
    return f"{arm.title}   {', '.join(str(run.run.path) for run in arm.runs)}"


def _rank_lines(comparison: Comparison) -> list[str]:
    if not comparison.rankings:
        return []
    names = [comparison.base.title, *(arm.title for arm in comparison.arms)]
    lines = ["", "mean ranks by story (1 is best; further apart than CD: different)"]
    for (_, metric), ranking in comparison.rankings.items():
        order = sorted(zip(ranking.mean_ranks, names, strict=True))
        lines.append(f"  {metric}: " + ", ".join(f"{name} {rank:.2f}" for rank, name in order) + f"; CD {ranking.critical_difference:.2f}")
    return lines


def _time_lines(comparison: Comparison) -> list[str]:
    """Seconds per shot, where the devices are the same; never tested, since machines have other work."""
    base, device = seconds_per_shot(comparison.base.runs), comparison.base.manifest.device
    lines = []
    for arm in comparison.arms:
        new = seconds_per_shot(arm.runs)
        if base and new and arm.manifest.device == device:
            lines.append(
                f"time per shot: {base:.2f} s -> {new:.2f} s in {arm.title} ({100 * (new / base - 1):+.0f}%; {device}, not tested)"
            )
    return ["", *lines] if lines else []
