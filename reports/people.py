"""The human study as a section of the report: tables, a figure as the paper's Figure 4, and CSV files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.answers import People, agreement, metrics_frame, pairs_frame, read_answers, strengths_frame
from reports.extras import Extra
from reports.figures import Figure, new_axes
from reports.study import read_key
from reports.tables import RunScores, p_text
from stbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SHADES = (("win", "#2f7fd1"), ("tie", "#b9bec6"), ("loss", "#e08a00"))


def people_section(paths: Sequence[Path], runs: Sequence[RunScores], out: Path) -> tuple[Extra, dict[str, pd.DataFrame]]:
    """Read the answers and sum them up.

    Returns:
        The section of the page, and the frames that are written beside it as CSV, by file stem.

    Raises:
        UserError: Key or answers cannot be read, or nobody passed the checks.
    """
    people = read_answers(paths, read_key(out))
    if not people.votes:
        left_out = f"{len(people.failed)} of {len(paths)} raters failed a check" if people.failed else "no question is answered"
        raise UserError(left_out, where="--answers", expected="at least one rater who passed the checks")
    frames = {
        "people_pairs": pairs_frame(people),
        "people_strengths": strengths_frame(people),
        "people_metrics": metrics_frame(people, runs),
    }
    figure = Figure(
        name="people",
        title="What people preferred",
        note="Share of answers in which the first method won, tied or lost, for every pair of methods and every criterion.",
        frame=_one_way(frames["people_pairs"], people),
        draw=_bars,
    )
    tables = (
        ("Win/tie/loss in percent", *_text(_one_way(frames["people_pairs"], people), _pair_cells)),
        ("Strengths (Bradley-Terry, log odds; 95% interval, stories resampled)", *_text(frames["people_strengths"], _strength_cells)),
        ("Agreement between raters", ("criterion", "Krippendorff's alpha"), tuple(_alpha_rows(people))),
        ("Metrics against people", *_text(frames["people_metrics"], _metric_cells)),
    )
    return Extra(key="people", title="People", note=_note(people), tables=tables, figures=(figure,)), frames


def _note(people: People) -> str:
    parts = [f"{len(people.raters)} raters, {len(people.votes)} answers."]
    parts += [f"Left out, a check was failed: {', '.join(people.failed)}."] if people.failed else []
    parts += [f"Asked again with sides changed, {100 * people.steady:.0f}% of answers stayed."] if people.steady is not None else []
    return " ".join(parts)


def _one_way(frame: pd.DataFrame, people: People) -> pd.DataFrame:
    """Each pair once, the later run first: what is new against what was there."""
    place = {name: k for k, name in enumerate(people.study.methods)}
    return frame[frame["method"].map(place) > frame["against"].map(place)]


def _text(frame: pd.DataFrame, cells: Any) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    rows = [cells(row) for row in frame.to_dict("records")]
    return (tuple(rows[0]) if rows else ()), tuple(tuple(row.values()) for row in rows)


def _pair_cells(row: dict[str, Any]) -> dict[str, str]:
    shares = " / ".join(f"{100 * row[f'{name}_share']:.1f}" for name, _ in SHADES)
    return {
        "criterion": row["criterion"],
        "method": row["method"],
        "against": row["against"],
        "win / tie / loss": shares,
        "n": str(row["n"]),
    }


def _strength_cells(row: dict[str, Any]) -> dict[str, str]:
    span = "–" if _none(row["low"]) else f"{row['low']:+.2f} .. {row['high']:+.2f}"
    return {"criterion": row["criterion"], "method": row["method"], "strength": f"{row['strength']:+.2f}", "95% interval": span}


def _metric_cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        "criterion": row["criterion"],
        "metric": row["metric"],
        "Spearman": "–" if _none(row["spearman"]) else f"{row['spearman']:+.2f}",
        "p": p_text(None if _none(row["p"]) else row["p"]),
        "same choice": "–" if _none(row["same_choice"]) else f"{100 * row['same_choice']:.0f}%",
        "pairs": str(row["n_pairs"]),
    }


def _alpha_rows(people: People) -> Iterator[tuple[str, str]]:
    for criterion, alpha in agreement(people).items():
        yield criterion, "– (needs two raters who do not always say the same)" if alpha is None else f"{alpha:.3f}"


def _none(value: Any) -> bool:
    return value is None or value != value


def _bars(frame: pd.DataFrame) -> Any:
    criteria = list(dict.fromkeys(frame["criterion"]))
    names = list(dict.fromkeys(f"{row.method} vs {row.against}" for row in frame.itertuples()))
    figure, axes = new_axes(min(10.0, 2.6 * len(criteria) + 1.8), 0.9 + 0.3 * len(names), columns=len(criteria))
    for ax, criterion in zip(axes, criteria, strict=True):
        part = frame[frame["criterion"] == criterion]
        labels = [f"{row.method} vs {row.against}" for row in part.itertuples()]
        left = [0.0] * len(part)
        for name, colour in SHADES:
            values = [100 * float(value) for value in part[f"{name}_share"]]
            ax.barh(labels, values, left=left, color=colour, label=name, height=0.6)
            left = [a + b for a, b in zip(left, values, strict=True)]
        ax.set_title(criterion, fontsize=9)
        ax.set_xlim(0, 100)
        ax.invert_yaxis()
        if ax is not axes[0]:
            ax.set_yticklabels([])
    axes[0].set_xlabel("% of answers")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure
