"""The figures of a report that show cost: time by stage, memory over a story, quality against cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports.costs import cost_frame, memory_frame, stage_frame
from reports.figures import INK, Figure, new_axes, run_styles, shared_legend
from reports.tables import RunScores

if TYPE_CHECKING:
    import pandas as pd


def cost_figures(runs: Sequence[RunScores], styles: dict[str, dict[str, Any]]) -> list[Figure]:
    """Time and memory; figures without numbers are the caller's to leave out."""
    return [
        Figure(
            name="stages",
            title="Seconds per shot by stage",
            note="Mean seconds per finished shot, by stage of work, as the spans of each run tell.",
            frame=stage_frame(runs),
            draw=_stages,
        ),
        Figure(
            name="memory",
            title="Memory over a story",
            note="What each shot was given or took, by its place in the story: memory frames, or peak gigabytes where a run measured them.",
            frame=memory_frame(runs),
            draw=lambda frame: _memory(frame, styles),
        ),
    ]


def _stages(frame: pd.DataFrame) -> Any:
    titles = list(dict.fromkeys(frame["run"]))
    names = list(dict.fromkeys(frame["stage"]))
    looks = run_styles(names)
    figure, axes = new_axes(6.4, 0.9 + 0.34 * len(titles))
    ax = axes[0]
    left = dict.fromkeys(titles, 0.0)
    for name in names:
        part = frame[frame["stage"] == name].set_index("run")["seconds_per_shot"]
        values = [float(part.get(title, 0.0)) for title in titles]
        look = {"color": looks[name]["color"], "height": 0.6, "edgecolor": "white", "linewidth": 0.5}
        ax.barh(titles, values, left=[left[title] for title in titles], label=name, **look)
        left = {title: left[title] + value for title, value in zip(titles, values, strict=True)}
    ax.invert_yaxis()
    ax.set_xlabel("seconds per shot")
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return figure


def _memory(frame: pd.DataFrame, styles: dict[str, dict[str, Any]]) -> Any:
    kinds = list(dict.fromkeys(frame["quantity"]))
    figure, axes = new_axes(min(10.0, 3.8 * len(kinds) + 0.6), 2.6, columns=len(kinds))
    for ax, kind in zip(axes, kinds, strict=True):
        for title, part in frame[frame["quantity"] == kind].groupby("run", sort=False):
            ax.plot(part["place"], part["mean"], label=title, markersize=4, **styles[str(title)])
        ax.set_xlabel("shot of the story")
        ax.set_ylabel(kind)
        ax.set_ylim(bottom=0)
        ax.xaxis.get_major_locator().set_params(integer=True)
    shared_legend(figure, axes[0])
    return figure


def cost_figure(runs: Sequence[RunScores], metric: str) -> Figure:
    """Quality against seconds (and memory, where measured), with the Pareto front drawn."""
    frame = cost_frame(runs, metric)
    return Figure(
        name=f"cost_{metric}",
        title=f"{metric} against cost",
        note=f"Mean of {metric} against seconds per shot, and against peak memory where it was measured; the line is the Pareto front.",
        frame=frame,
        draw=lambda part: _cost(part, metric),
    )


def _cost(frame: pd.DataFrame, metric: str) -> Any:
    costs = [name for name in ("seconds_per_shot", "peak_gib") if frame[name].notna().any()]
    figure, axes = new_axes(4.6 * len(costs) + 0.4, 3.2, columns=len(costs))
    for ax, cost in zip(axes, costs, strict=True):
        part = frame[frame[cost].notna()]
        front = part[part[f"front_{cost}"]].sort_values(cost)
        ax.plot(front[cost], front["mean"], color="#e08a00", linewidth=1.4, drawstyle="steps-post", zorder=1)
        ax.plot(part[cost], part["mean"], "o", color=INK, markersize=5)
        for row in part.itertuples():
            ax.annotate(row.title, (getattr(row, cost), row.mean), xytext=(5, 4), textcoords="offset points", fontsize=8)
        ax.margins(0.18)
        ax.set_xlabel({"seconds_per_shot": "seconds per shot", "peak_gib": "peak memory (GiB)"}[cost])
    axes[0].set_ylabel(metric)
    return figure
