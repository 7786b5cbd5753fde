"""Figures for papers and for the page: SVG and PNG from the same drawing, and the numbers of each as CSV beside it.

The SVG takes the colour of the text around it, so that it reads on light and on dark ground; runs differ in marker and line as
well as in colour. The same numbers give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

INK, GRID = "#1c1c1f", "#8c8c94"
COLOURS = ("#2f7fd1", "#e08a00", "#16a37f", "#cc5fa0", "#8a6be0", "#d1495b", "#7a8a99", "#9a8b00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
PNG_DPI = 160


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure.

    Attributes:
        name: File stem.
        title: Heading on the page.
        note: What it shows, in a sentence; the alternative text.
        frame: Its numbers.
        draw: Draws `frame` with matplotlib and returns the figure.
    """

    name: str
    title: str
    note: str
    frame: pd.DataFrame
    draw: Callable[[pd.DataFrame], Any]

    def svg(self) -> str:
        """One `<svg>` element without XML head; its ink is `currentColor`, its numbers and ids do not depend on the day."""
        text = self._render("svg").decode()
        text = text[text.index("<svg") :].replace(INK, "currentColor")
        return text.replace("<svg ", f'<svg role="img" aria-label="{_attribute(self.note)}" ', 1)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """(file name, bytes) of SVG, PNG and CSV."""
        yield f"{self.name}.svg", self._render("svg")
        yield f"{self.name}.png", self._render("png")
        yield f"{self.name}.csv", self.frame.to_csv(index=False).encode("utf-8", "replace")

    def _render(self, form: str) -> bytes:
        buffer = io.BytesIO()
        with style(self.name):
            figure = self.draw(self.frame)
            ground: dict[str, Any] = {"facecolor": "white", "dpi": PNG_DPI}
            if form == "svg":
                ground = {"transparent": True, "metadata": dict.fromkeys(("Date", "Creator", "Format", "Type"))}
            figure.savefig(buffer, format=form, bbox_inches="tight", **ground)
        return buffer.getvalue()


@contextmanager
def style(salt: str) -> Iterator[None]:
    """Settings of all figures; nothing of the user's own matplotlib files."""
    import matplotlib as mpl

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": GRID,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": GRID,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "figure.dpi": 100,
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        yield


def new_axes(width: float = 6.4, height: float = 3.2, columns: int = 1) -> tuple[Any, list[Any]]:
    """A figure and its axes, from left to right; sizes in inches. No window and no global state."""
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def run_styles(titles: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Title → colour, marker and line of a run, the same in all figures of a report."""
    return {
        title: {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)], "linestyle": LINES[k % len(LINES)]}
        for k, title in enumerate(titles)
    }


def shared_legend(figure: Any, ax: Any) -> None:
    """One legend below all axes."""
    handles, labels = ax.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)), fontsize=8)


def write_all(figures: Sequence[Figure]) -> Iterator[tuple[str, bytes]]:
    """(file name, bytes) of all figures; two of one name are a mistake."""
    names = [figure.name for figure in figures]
    if len(set(names)) < len(names):
        raise UserError("two figures have one name", where=", ".join(names))
    for figure in figures:
        yield from figure.files()


def _attribute(text: str) -> str:
    from html import escape

    return escape(text, quote=True)
