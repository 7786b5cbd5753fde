"""The matrix for people: a table in 80 columns, a heat map, and every number as CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metrics.validation.measure import LEAST_AUC, LEAST_SPEARMAN, MOST_LEAK, Cell, Matrix
from metrics.validation.perturbations import Perturbation
from stbench.files import write_bytes, write_json

MOVES = 0.05  # of a row's largest change: less is shown as no movement
GREEN, MAGENTA, GREY = "#1a7f37", "#e000d0", "#8c959f"  # no red: red cells fall


def table_lines(matrix: Matrix, perturbations: Sequence[Perturbation]) -> list[str]:
    """At most 80 columns: one row per metric, one column per perturbation, numbered."""
    lines = [f"  [{n:>2}] {p.name:<18} {p.says}" for n, p in enumerate(perturbations, start=1)]
    lines += ["", f"{'':<30}" + "".join(f"{n:>3}" for n in range(1, len(perturbations) + 1))]
    for metric in matrix.metrics:
        lines.append(
            f"{metric:<30}" + "".join(f" {_sign(matrix.cells[metric, p.name])}{_mark(matrix.cells[metric, p.name])}" for p in perturbations)
        )
    lines += [
        "",
        "v falls, ^ rises, . moves less than a twentieth of the row's largest change",
        "+ as declared, ! not as declared, blank: nothing is declared",
    ]
    return lines


def verdict_lines(matrix: Matrix) -> list[str]:
    """Violations with their numbers, the guard, and the count."""
    lines = [f"! {cell.metric} under {cell.perturbation}: declared {cell.expected}, {numbers(cell)}" for cell in matrix.violated]
    if matrix.guard:
        lines.append(f"guarded consistency: unharmed film {matrix.guard['unharmed']:.3f}, frozen film {matrix.guard['frozen']:.3f}")
    held = matrix.declared - len(matrix.violated)
    word = "ALL HOLD" if not matrix.violated else "VIOLATED"
    lines.append(f"{word}  {held} of {matrix.declared} expectations, {matrix.films} films, {matrix.shots} shots")
    return lines


def numbers(cell: Cell) -> str:
    """Spearman, AUC and leak of a cell, as far as there are any."""
    parts = [("Spearman", cell.spearman), ("AUC", cell.auc), ("leak", cell.leak)]
    return ", ".join(f"{name} {value:.2f}" for name, value in parts if value is not None) or "no value"


def _sign(cell: Cell) -> str:
    if cell.change is None:
        return "?"
    if cell.leak is None or cell.leak < MOVES:
        return "."
    return "v" if cell.change < 0 else "^"


def _mark(cell: Cell) -> str:
    return {True: "+", False: "!", None: " "}[cell.holds]


def write(matrix: Matrix, perturbations: Sequence[Perturbation], folder: Path) -> dict[str, Path]:
    """matrix.json, matrix.csv and matrix.png.

    Raises:
        SaveError: The disk refused.
    """
    paths = {name: folder / f"matrix.{name}" for name in ("json", "csv", "png")}
    cells = [cell.to_json() for cell in matrix.cells.values()]
    facts = {"films": matrix.films, "shots": matrix.shots, "levels": list(matrix.levels), "guard": dict(matrix.guard)}
    write_json(paths["json"], {**facts, "least_spearman": LEAST_SPEARMAN, "least_auc": LEAST_AUC, "most_leak": MOST_LEAK, "cells": cells})
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(
        ["metric", "perturbation", "expected", "holds", "spearman", "auc", "change", "leak", *(f"mean at {x:g}" for x in matrix.levels)]
    )
    for cell in matrix.cells.values():
        rows.writerow(
            [cell.metric, cell.perturbation, cell.expected, cell.holds, cell.spearman, cell.auc, cell.change, cell.leak, *cell.means]
        )
    write_bytes(paths["csv"], text.getvalue().encode())
    write_bytes(paths["png"], heat_map(matrix))
    return paths


def heat_map(matrix: Matrix) -> bytes:
    """PNG: red falls, blue rises, white does not move; a green frame: a claim that holds, magenta and "!": one that does not."""
    from matplotlib.figure import Figure

    count, width = len(matrix.metrics), len(matrix.perturbations)
    figure = Figure(figsize=(2.9 + 0.62 * width, 2.2 + 0.36 * count), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    colours = np.array([[_colour(matrix.cells[m, p]) for p in matrix.perturbations] for m in matrix.metrics])
    image = axes.imshow(colours, cmap="RdBu", vmin=-1, vmax=1, aspect="auto", alpha=0.85)
    axes.set_xticks(range(width), [name.replace("_", " ") for name in matrix.perturbations], rotation=40, ha="left", fontsize=9)
    axes.set_yticks(range(count), matrix.metrics, fontsize=9)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for y, metric in enumerate(matrix.metrics):
        for x, perturbation in enumerate(matrix.perturbations):
            _draw_cell(axes, x, y, matrix.cells[metric, perturbation])
    bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.01, ticks=[-1, 0, 1])
    bar.ax.set_yticklabels(["falls", "still", "rises"], fontsize=9)
    figure.suptitle("What moves each metric (share of its largest change), and what it claims", fontsize=11, x=0.01, ha="left")
    figure.supxlabel(_legend(matrix), fontsize=8.5, x=0.01, ha="left")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _legend(matrix: Matrix) -> str:
    held = matrix.declared - len(matrix.violated)
    levels = ", ".join(f"{level:g}" for level in matrix.levels)
    claims = f"Frames: green = declared and true ({held}), magenta ! = declared and false ({len(matrix.violated)})."
    return f"{claims} Words: what is declared; no frame: nothing is.\n{matrix.films} films, {matrix.shots} shots, levels {levels}."


def _colour(cell: Cell) -> float:
    if cell.change is None or cell.leak is None:
        return 0.0
    return float(np.sign(cell.change) * min(1.0, cell.leak))


def _draw_cell(axes: Any, x: int, y: int, cell: Cell) -> None:
    from matplotlib.patches import Rectangle

    if cell.change is None:
        axes.text(x, y, "–", ha="center", va="center", color=GREY, fontsize=8)
    if cell.holds is None:
        return
    colour = GREEN if cell.holds else MAGENTA
    axes.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor=colour, linewidth=1.8 if cell.holds else 3))
    dark = abs(_colour(cell)) > 0.6
    axes.text(
        x, y, f"{cell.expected}{'' if cell.holds else ' !'}", ha="center", va="center", fontsize=7.5, color="white" if dark else "black"
    )
