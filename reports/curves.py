"""What the stored similarity matrices of stories say: which shots belong together, how fast likeness fades, and what happens at joins.

A matrix is what a metric left in the detail of a story's row (`matrix`: all shots against all shots, in order). Nothing is encoded here; a
run whose rows hold no matrix has no curves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.tables import RunScores
from stbench.stats import cluster_interval
from stbench.story import Story

if TYPE_CHECKING:
    import pandas as pd

CONTINUES, CUT = "continues", "cut"
JOINS = "join_"  # how metrics of joins are named


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Similarity of all pairs of shots of one film by one metric: S × S, in the order of the story."""

    metric: str
    story: Story
    values: tuple[tuple[float, ...], ...]


def matrices(run: RunScores) -> list[Matrix]:
    """The matrices that the rows of a run hold; those that do not fit their story are left out."""
    stories = {story.id: story for story in run.run.stories}
    found = []
    for row in run.scores:
        values = row.detail.get("matrix")
        story = stories.get(row.story)
        if row.shot is None and story and values and _is_matrix(values, len(story.shots)):
            found.append(Matrix(metric=row.metric, story=story, values=tuple(tuple(float(x) for x in line) for line in values)))
    return found


def _is_matrix(values: Any, size: int) -> bool:
    if not isinstance(values, Sequence) or len(values) != size:
        return False
    return all(len(line) == size and all(isinstance(x, int | float) and math.isfinite(x) for x in line) for line in values)


def gap_decay_frame(runs: Sequence[RunScores]) -> pd.DataFrame:
    """Mean similarity against how many shots lie between, per run and metric, with intervals by story."""
    rows = []
    for run in runs:
        for metric, group in _by_metric(matrices(run)):
            gaps: dict[int, dict[str, list[float]]] = {}
            for matrix in group:
                for i, line in enumerate(matrix.values):
                    for j in range(i + 1, len(line)):
                        gaps.setdefault(j - i, {}).setdefault(matrix.story.id, []).append(line[j])
            rows += [{"run": run.title, "metric": metric, "gap": gap, **_summary(part)} for gap, part in sorted(gaps.items())]
    return _frame(rows)


def join_frame(runs: Sequence[RunScores]) -> pd.DataFrame:
    """Mean similarity of neighbouring shots, where the second continues the first and where a cut lies between."""
    rows = []
    for run in runs:
        for metric, group in _by_metric(matrices(run)):
            joins: dict[str, dict[str, list[float]]] = {CONTINUES: {}, CUT: {}}
            for matrix in group:
                for i, shot in enumerate(matrix.story.shots[1:]):
                    kind = CUT if shot.cut else CONTINUES
                    joins[kind].setdefault(matrix.story.id, []).append(matrix.values[i][i + 1])
            rows += [{"run": run.title, "metric": metric, "join": kind, **_summary(part)} for kind, part in joins.items() if part]
    return _frame(rows)


def join_curve_frame(runs: Sequence[RunScores]) -> pd.DataFrame:
    """Mean of the metrics of joins (`join_…`) against the place of the shot in its story, per run, with intervals by story."""
    rows = []
    for run in runs:
        places = {(story.id, shot.id): shot.index + 1 for story in run.run.stories for shot in story.shots}
        found: dict[tuple[str, int], dict[str, list[float]]] = {}
        for row in run.scores:
            place = places.get((row.story, row.shot or ""))
            if row.metric.startswith(JOINS) and row.value is not None and place:
                found.setdefault((row.metric, place), {}).setdefault(row.story, []).append(row.value)
        rows += [{"run": run.title, "metric": metric, "place": place, **_summary(part)} for (metric, place), part in sorted(found.items())]
    return _frame(rows)


def _by_metric(found: Iterable[Matrix]) -> Iterable[tuple[str, list[Matrix]]]:
    groups: dict[str, list[Matrix]] = {}
    for matrix in found:
        groups.setdefault(matrix.metric, []).append(matrix)
    return groups.items()


def _summary(by_story: dict[str, list[float]]) -> dict[str, Any]:
    values = [value for part in by_story.values() for value in part]
    interval = cluster_interval(by_story, resamples=1000)
    mean = math.fsum(values) / len(values)
    return {"mean": mean, "low": interval.low, "high": interval.high, "n_pairs": len(values), "n_stories": len(by_story)}


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows)
