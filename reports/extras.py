"""Sections beside the scores: conditions of several runs, quality against cost, and ablations by settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.ablation import ablation
from reports.conditions import conditions, conditions_table, differences
from reports.costs import seconds_per_shot
from reports.figures import Figure
from reports.plots_cost import cost_figure
from reports.tables import RunScores, metric_keys
from stbench.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Extra:
    """A section of its own: an ablation or a human study. `tables` are (caption, heads, rows) of plain text."""

    key: str
    title: str
    note: str = ""
    tables: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = ()
    figures: tuple[Figure, ...] = ()


def extra_sections(runs: Sequence[RunScores], *, by: Sequence[str], cost: Sequence[str]) -> list[Extra]:
    """The sections that these runs have numbers for.

    Raises:
        UserError: A metric of `cost` or a setting of `by` is in no run.
    """
    metrics = list(dict.fromkeys(key[1] for key in metric_keys(runs)))
    for metric in cost:
        if metric not in metrics:
            raise UserError(f"no run has the metric {metric!r}", where="--cost", expected=f"one of: {', '.join(metrics) or 'none'}")
    sections = [_conditions(runs)] if len(runs) > 1 else []
    if len(runs) > 1 and metrics and any(seconds_per_shot([run]) for run in runs):
        plots = [figure for metric in cost or metrics[:1] if len((figure := cost_figure(runs, metric)).frame)]
        note = "The line is the Pareto front: no other run is better at no higher cost. Times are the filming machine's."
        sections.append(Extra(key="cost", title="Quality and cost", note=note, figures=tuple(plots)))
    if by:
        table = ablation(runs, by)
        heads, rows = table.table()
        sections.append(
            Extra(
                key="ablation",
                title="By settings",
                note=" ".join(
                    ["Mean (95% interval, stories resampled); runs that differ in nothing named are taken together.", *table.notes]
                ),
                tables=((", ".join(by), heads, rows),),
            )
        )
    return sections


def _conditions(runs: Sequence[RunScores]) -> Extra:
    """Under which conditions each run was filmed, and in what they differ."""
    rows = [conditions(run.title, [run]) for run in runs]
    heads, body = conditions_table(rows)
    table = (" ".join(differences(rows)), tuple(heads), tuple(map(tuple, body)))
    return Extra(key="conditions", title="Conditions", tables=(table,))
