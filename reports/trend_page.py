"""The page of a trend: a plot per quantity, its steps marked, its points listed. One file that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.figures import GRID, INK, Figure, new_axes
from reports.page import TEMPLATES, render, slug
from stbench.files import make_folder, write_bytes
from stbench.profiling.text import number
from stbench.trend.series import Series
from stbench.trend.steps import FLOOR, LEVEL, MIN_POINTS

if TYPE_CHECKING:
    import pandas as pd

LINE, LEFT_OUT, BETTER, WORSE = "#2f7fd1", "#8c8c94", "#16a37f", "#d1495b"
MOST_LABELS = 12


def write_trend(series: Sequence[Series], out: Path, *, floor: float = FLOOR, title: str = "Trend") -> Path:
    """Write `index.html` into a folder; returns its path."""
    make_folder(out)
    groups: dict[str, list[tuple[Series, Figure]]] = {}
    for one in series:
        groups.setdefault(one.group, []).append((one, series_figure(one)))
    page = render(
        "trend.html",
        title=title,
        groups=groups,
        styles=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
        number=number,
        rule={"floor": f"{floor:.0%}", "level": f"{100 * LEVEL:.0f} of 100", "points": MIN_POINTS},
    )
    write_bytes(out / "index.html", page.encode("utf-8", "replace"))
    return out / "index.html"


def series_figure(one: Series) -> Figure:
    """The plot of a series."""
    frame = _frame(one)
    return Figure(
        name=slug(f"{one.group} {one.quantity}"),
        title=one.quantity,
        note=f"{one.quantity} of {len(one.counted)} runs, in the order in which they were started; {len(one.steps)} steps.",
        frame=frame,
        draw=lambda part: _draw(part, one),
    )


def _frame(one: Series) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        [{"place": k, "value": p.value, "low": p.low, "high": p.high, "counts": not p.reason} for k, p in enumerate(one.points)]
    )


def _draw(frame: pd.DataFrame, one: Series) -> Any:
    figure, (ax,) = new_axes(7.6, 2.6)
    counted = frame[frame["counts"]]
    others = frame[~frame["counts"] & frame["value"].notna()]
    ax.vlines(counted["place"], counted["low"].astype(float), counted["high"].astype(float), color=LINE, alpha=0.35, linewidth=3)
    ax.plot(counted["place"], counted["value"].astype(float), "o-", color=LINE, markersize=4, linewidth=1)
    ax.plot(others["place"], others["value"].astype(float), "o", markerfacecolor="none", markeredgecolor=LEFT_OUT, markersize=5)
    edges = [-0.5, *(step.at - 0.5 for step in one.steps), len(one.points) - 0.5]
    for number_of, step in enumerate(one.steps):
        colour = {"BETTER": BETTER, "WORSE": WORSE}.get(one.word(step), INK)
        ax.hlines(
            [step.before, step.after], edges[number_of : number_of + 2], edges[number_of + 1 : number_of + 3], color=GRID, linewidth=1.4
        )
        ax.axvline(step.at - 0.5, color=colour, linewidth=1.2, linestyle="--")
        change = "" if step.change is None else f" {step.change:+.1%}"
        ax.annotate(
            f"{one.word(step).lower()}{change}",
            (step.at - 0.5, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=8,
            color=colour,
        )
    every = max(1, -(-len(one.points) // MOST_LABELS))
    ax.set_xticks(
        range(0, len(one.points), every), [point.label[:14] for point in one.points[::every]], rotation=30, ha="right", fontsize=7
    )
    ax.set_xlim(-0.5, len(one.points) - 0.5)
    ax.set_ylabel(one.unit)
    return figure
