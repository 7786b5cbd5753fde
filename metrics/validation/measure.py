"""Scores against the level of harm: Spearman, detection AUC, specificity; and a verdict on what each metric declares.

*Spearman*: rank correlation of the level with the mean over films, the number that a table prints.
*AUC*: chance that a film at full harm scores worse than the same film unharmed, ties counting half.
*Leak*: change at full harm, as a share of the metric's largest change under any harm: what must not move it may move it by a fifth of that.

What a metric declares to fall or rise must do so level by level; what it *detects* must only be told from the unharmed film (a gate
that opens or shuts is no scale).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metrics.base import Metric
from metrics.scoring import score_films
from metrics.validation.films import Film, FilmFeatures
from metrics.validation.perturbations import LEVELS, Perturbation

LEAST_SPEARMAN, LEAST_AUC, MOST_LEAK = 0.95, 0.95, 0.2
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One metric under one perturbation.

    Attributes:
        means: Mean over films at each level; None where nothing could be scored.
        spearman: Of level and mean; 0 where the metric does not move.
        auc: Above 0.5 the harm lowers the score, below it raises it.
        change: Mean change at full harm.
        leak: |change| as a share of the metric's largest change; None where nothing moves it.
        expected: "falls", "rises", "detects" (falls, not level by level), "keeps", or None: nothing is declared.
        holds: Whether the declaration holds; None where there is none.
    """

    metric: str
    perturbation: str
    means: tuple[float | None, ...]
    spearman: float | None = None
    auc: float | None = None
    change: float | None = None
    leak: float | None = None
    expected: str | None = None
    holds: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """All cells, and what they were measured on."""

    metrics: tuple[str, ...]
    perturbations: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    films: int
    shots: int
    levels: tuple[float, ...] = LEVELS
    guard: Mapping[str, float] = field(default_factory=dict)  # score of the unharmed and of the frozen film under the guard

    @property
    def violated(self) -> list[Cell]:
        """Declared expectations that do not hold."""
        return [cell for cell in self.cells.values() if cell.holds is False]

    @property
    def declared(self) -> int:
        """How many expectations are declared."""
        return sum(cell.holds is not None for cell in self.cells.values())


def measure(
    films: Sequence[Film],
    metrics: Sequence[Metric],
    perturbations: Sequence[Perturbation],
    source: FilmFeatures,
    *,
    levels: tuple[float, ...] = LEVELS,
    progress: Progress | None = None,
) -> Matrix:
    """Score every film under every perturbation at every level, and judge."""
    values: dict[tuple[str, str, float], list[float | None]] = {}
    total = len(films) * len(perturbations)
    for number, film in enumerate(films):
        unharmed = _score(film, metrics, source)
        for k, perturbation in enumerate(perturbations):
            for level in levels:
                scores = unharmed if level == 0 else _score(perturbation(film, level), metrics, source)
                for name, value in scores.items():
                    values.setdefault((name, perturbation.name, level), []).append(value)
            source.drop()
            if progress:
                progress(number * len(perturbations) + k + 1, total, f"{film.story.id} {perturbation.name}")
        source.forget()
    cells: dict[tuple[str, str], Cell] = {}
    for metric in metrics:
        row = [_cell(metric, p.name, [values[metric.name, p.name, level] for level in levels], levels) for p in perturbations]
        cells |= {(cell.metric, cell.perturbation): cell for cell in _judged(metric, row)}
    return Matrix(
        metrics=tuple(metric.name for metric in metrics),
        perturbations=tuple(p.name for p in perturbations),
        cells=cells,
        films=len(films),
        shots=sum(len(film.takes) for film in films),
        levels=levels,
        guard=_guard(cells),
    )


def _guard(cells: Mapping[tuple[str, str], Cell]) -> dict[str, float]:
    cell = cells.get(("guarded_consistency", "freeze"))
    if cell is None or cell.means[0] is None or cell.means[-1] is None:
        return {}
    return {"unharmed": cell.means[0], "frozen": cell.means[-1]}


def _score(film: Film, metrics: Sequence[Metric], source: FilmFeatures) -> dict[str, float | None]:
    """Metric → mean over the film's units; None where a unit has no value."""
    rows = score_films([source.clips(film)], metrics=metrics, features=source, forget=False)
    found: dict[str, float | None] = {}
    for metric in metrics:
        mine = [row.value for row in rows if row.metric == metric.name]
        there = [value for value in mine if value is not None]
        found[metric.name] = float(np.mean(there)) if mine and len(there) == len(mine) else None
    return found


def _cell(metric: Metric, perturbation: str, by_level: list[list[float | None]], levels: tuple[float, ...]) -> Cell:
    """Numbers of one cell, over the films that have a value at every level."""
    table = np.array([[np.nan if value is None else value for value in column] for column in by_level])
    table = table[:, np.isfinite(table).all(axis=0)]
    if table.shape[1] == 0:
        return Cell(metric=metric.name, perturbation=perturbation, means=(None,) * len(levels))
    means = table.mean(axis=1)
    return Cell(
        metric=metric.name,
        perturbation=perturbation,
        means=tuple(float(mean) for mean in means),
        spearman=spearman(levels, means),
        auc=detection(table[0], table[-1]),
        change=float(means[-1] - means[0]),
    )


def spearman(levels: Sequence[float], means: np.ndarray) -> float:
    """Rank correlation; 0 where nothing moves, up to the tenth decimal.

    Example:
        >>> spearman([0, 0.5, 1], np.array([3.0, 2.0, 1.0])), spearman([0, 0.5, 1], np.array([1.0, 1.0, 1.0]))
        (-1.0, 0.0)
    """
    from scipy.stats import spearmanr

    rounded = np.round(means, 10)
    return 0.0 if np.ptp(rounded) == 0 else round(float(spearmanr(levels, rounded).statistic), 4)


def detection(unharmed: np.ndarray, harmed: np.ndarray) -> float:
    """Share of films whose harmed version scores lower, ties counting half.

    Example:
        >>> detection(np.array([0.9, 0.8]), np.array([0.5, 0.8]))
        0.75
    """
    gap = np.round(unharmed - harmed, 10)
    return float(np.mean(np.where(gap == 0, 0.5, gap > 0)))


def _judged(metric: Metric, row: list[Cell]) -> list[Cell]:
    """The row with what is expected, and whether it holds."""
    from dataclasses import replace

    largest = max((abs(cell.change) for cell in row if cell.change is not None), default=0.0)
    judged = []
    for cell in row:
        expected = metric.expects.of(cell.perturbation)
        leak = abs(cell.change) / largest if cell.change is not None and largest > 0 else None
        judged.append(replace(cell, expected=expected, leak=leak, holds=_holds(cell, expected, leak)))
    return judged


def _holds(cell: Cell, expected: str | None, leak: float | None) -> bool | None:
    if expected is None:
        return None
    if cell.spearman is None or cell.auc is None:
        return False
    if expected == "keeps":
        return leak is not None and leak <= MOST_LEAK
    if expected == "detects":
        return cell.auc >= LEAST_AUC
    if expected == "falls":
        return -cell.spearman >= LEAST_SPEARMAN and cell.auc >= LEAST_AUC
    return cell.spearman >= LEAST_SPEARMAN and 1 - cell.auc >= LEAST_AUC
