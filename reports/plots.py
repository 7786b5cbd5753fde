"""The figures of a report that show quality: changes, ranks, curves, distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports.comparison import Comparison, comparison_frame
from reports.curves import gap_decay_frame, join_curve_frame, join_frame
from reports.figures import INK, Figure, new_axes, run_styles, shared_legend
from reports.plots_cost import cost_figures
from reports.tables import RunScores, scores_frame

if TYPE_CHECKING:
    import pandas as pd

BINS = 20


def figures_of(runs: Sequence[RunScores], comparison: Comparison | None) -> list[Figure]:
    """Every figure that these runs have numbers for."""
    styles = run_styles([run.title for run in runs])
    found = [
        Figure(
            name="gap_decay",
            title="Likeness against distance",
            note="Mean similarity of two shots of a story against how many shots they are apart, with 95% intervals by story.",
            frame=gap_decay_frame(runs),
            draw=lambda frame: _curve(frame, styles, x="gap", label="shots apart"),
        ),
        Figure(
            name="joins",
            title="Likeness at joins",
            note="Mean similarity of neighbouring shots: where the second continues the first, and across cuts; 95% intervals by story.",
            frame=join_frame(runs),
            draw=lambda frame: _joins(frame, styles),
        ),
        Figure(
            name="join_curve",
            title="Joins along a story",
            note="Mean of each metric of joins against the place in the story of the shot that continues another; 95% intervals by story.",
            frame=join_curve_frame(runs),
            draw=lambda frame: _curve(frame, styles, x="place", label="shot of the story"),
        ),
    ]
    found += cost_figures(runs, styles)
    if comparison:
        found.insert(0, _changes_figure(comparison))
        found += [_rank_figure(comparison, key) for key in comparison.rankings]
    return [figure for figure in found if len(figure.frame)]


def distribution_figures(runs: Sequence[RunScores]) -> dict[str, Figure]:
    """Metric → histogram of its values, one line per run."""
    styles = run_styles([run.title for run in runs])
    frame = scores_frame(runs)
    if not len(frame):
        return {}
    frame = frame[frame["value"].notna()][["title", "metric", "story", "shot", "value"]]
    return {
        str(metric): Figure(
            name=f"distribution_{metric}",
            title=f"Distribution of {metric}",
            note=f"How often each value of {metric} occurs, as a share of what was scored, one line per run.",
            frame=part,
            draw=lambda part: _distribution(part, styles),
        )
        for metric, part in frame.groupby("metric", sort=False)
    }


def _changes_figure(comparison: Comparison) -> Figure:
    frame = comparison_frame(comparison)
    frame = frame[frame["mean"].notna()] if len(frame) else frame
    return Figure(
        name="changes",
        title=f"Change against {comparison.base.title}",
        note=f"Mean paired change of every metric against {comparison.base.title} with 95% interval by story; filled: significant.",
        frame=frame,
        draw=_changes,
    )


def _changes(frame: pd.DataFrame) -> Any:
    arms = list(dict.fromkeys(frame["arm"]))
    metrics = list(dict.fromkeys(frame["metric"]))
    styles = run_styles(["", *arms])  # the base has the first colour
    figure, axes = new_axes(6.4, 0.5 + 0.2 * len(metrics) + 0.08 * len(metrics) * len(arms))
    ax = axes[0]
    for k, arm in enumerate(arms):
        part = frame[frame["arm"] == arm]
        for row in part.itertuples():
            y = metrics.index(row.metric) + (k - (len(arms) - 1) / 2) * 0.7 / max(1, len(arms))
            low, high = (row.mean if row.low is None else row.low), (row.mean if row.high is None else row.high)
            ax.plot([low, high], [y, y], color=styles[arm]["color"], linewidth=1.4)
            face = styles[arm]["color"] if row.mark[:1] in ("+", "-") else "none"
            ax.plot(row.mean, y, marker=styles[arm]["marker"], color=styles[arm]["color"], markerfacecolor=face, markersize=5)
        ax.plot([], [], marker=styles[arm]["marker"], color=styles[arm]["color"], label=arm)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(range(len(metrics)), metrics)
    ax.set_ylim(len(metrics) - 0.4, -0.6)
    ax.set_xlabel("change (units of the metric; shares as 0..1)")
    if len(arms) > 1:
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def _rank_figure(comparison: Comparison, key: tuple[str, str]) -> Figure:
    import pandas as pd

    ranking = comparison.rankings[key]
    names = [comparison.base.title, *(arm.title for arm in comparison.arms)]
    frame = pd.DataFrame({"method": names, "mean_rank": ranking.mean_ranks})
    frame["critical_difference"], frame["n_stories"], frame["friedman_p"] = (
        ranking.critical_difference,
        ranking.n_stories,
        ranking.friedman_p,
    )
    return Figure(
        name=f"ranks_{key[1]}",
        title=f"Mean ranks by {key[1]}",
        note=f"Mean rank of each method over {ranking.n_stories} stories by {key[1]}, 1 is best; bars join what cannot be told apart.",
        frame=frame.sort_values("mean_rank", kind="stable"),
        draw=_ranks,
    )


def _ranks(frame: pd.DataFrame) -> Any:
    """Demšar's diagram, upright: methods by rank, and a bar for each largest group that the test cannot tell apart."""
    figure, axes = new_axes(5.2, 0.7 + 0.26 * len(frame))
    ax = axes[0]
    ranks, names = list(frame["mean_rank"]), list(frame["method"])
    difference = float(frame["critical_difference"].iloc[0])
    ax.plot(ranks, range(len(ranks)), "o", color=INK, markersize=5)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.9)
    ax.set_xlim(0.8, len(names) + 0.2)
    reach = 0
    for first, rank in enumerate(ranks):
        last = max(k for k, other in enumerate(ranks) if other - rank <= difference)
        if last > first and last > reach:
            ax.plot([rank, ranks[last]], [(first + last) / 2] * 2, color="#e08a00", linewidth=3, alpha=0.7, solid_capstyle="butt")
            reach = last
    ax.plot([1, 1 + difference], [-0.6, -0.6], color=INK, linewidth=1.4)
    ax.annotate(f"CD {difference:.2f}", (1 + difference, -0.6), xytext=(4, -3), textcoords="offset points", fontsize=8)
    ax.set_xlabel("mean rank (1 is best)")
    return figure


def _curve(frame: pd.DataFrame, styles: dict[str, dict[str, Any]], *, x: str, label: str) -> Any:
    """One line per run, one panel per metric, with a band for the interval."""
    metrics = list(dict.fromkeys(frame["metric"]))
    figure, axes = new_axes(min(10.0, 3.6 * len(metrics) + 0.6), 3.0, columns=len(metrics))
    for ax, metric in zip(axes, metrics, strict=True):
        part = frame[frame["metric"] == metric]
        for title, line in part.groupby("run", sort=False):
            ax.plot(line[x], line["mean"], label=title, markersize=4, **styles[str(title)])
            if line["low"].notna().all():
                low, high = line["low"].astype(float), line["high"].astype(float)
                ax.fill_between(line[x], low, high, color=styles[str(title)]["color"], alpha=0.12, linewidth=0)
        ax.set_title(metric, fontsize=9)
        ax.set_xlabel(label)
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel("mean")
    shared_legend(figure, axes[0])
    return figure


def _joins(frame: pd.DataFrame, styles: dict[str, dict[str, Any]]) -> Any:
    metrics = list(dict.fromkeys(frame["metric"]))
    kinds = list(dict.fromkeys(frame["join"]))
    titles = list(dict.fromkeys(frame["run"]))
    figure, axes = new_axes(min(10.0, 3.6 * len(metrics) + 0.6), 2.8, columns=len(metrics))
    for ax, metric in zip(axes, metrics, strict=True):
        for k, title in enumerate(titles):
            part = frame[(frame["metric"] == metric) & (frame["run"] == title)]
            x = [kinds.index(kind) + (k - (len(titles) - 1) / 2) * 0.12 for kind in part["join"]]
            look = {**styles[title], "linestyle": "none"}
            ax.plot(x, part["mean"], label=title, markersize=5, **look)
            for at, row in zip(x, part.itertuples(), strict=True):
                if row.low is not None and row.low == row.low:
                    ax.plot([at, at], [row.low, row.high], color=look["color"], linewidth=1.2)
        ax.set_xticks(range(len(kinds)), kinds)
        ax.set_xlim(-0.6, len(kinds) - 0.4)
        ax.set_title(metric, fontsize=9)
    axes[0].set_ylabel("mean similarity of neighbours")
    shared_legend(figure, axes[0])
    return figure


def _distribution(frame: pd.DataFrame, styles: dict[str, dict[str, Any]]) -> Any:
    import numpy as np

    figure, axes = new_axes(5.6, 2.0)
    ax = axes[0]
    low, high = float(frame["value"].min()), float(frame["value"].max())
    edges = np.linspace(low, high if high > low else low + 1e-6, BINS + 1)
    for title, part in frame.groupby("title", sort=False):
        shares = np.histogram(part["value"], edges)[0] / len(part)
        look = {name: styles[str(title)][name] for name in ("color", "linestyle")}
        ax.stairs(shares, edges, label=title, linewidth=1.5, **look)
    ax.set_ylabel("share")
    shared_legend(figure, ax)
    return figure
