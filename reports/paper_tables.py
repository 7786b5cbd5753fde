"""The tables of StoryMem's paper, made again: what was measured and found, under which conditions; and, apart from it, what is published.

    out/table1.md  table1.tex  table1.csv  table1-changes.csv  table1-conditions.csv  table1-published.csv

Measured and published numbers never share a table: the published ones come without seeds, intervals and settings, mostly from other
films and other encoders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from reports.arms import Arm
from reports.conditions import Conditions, conditions, conditions_table, differences
from reports.found import HEADS, Step, ablation_lines, order_lines, steps
from reports.latex import latex_table, plain_table
from reports.markdown import escape_cell, methods_table, metric_table, pipe_table
from reports.paper import PUBLISHED, PaperTable, comparability_notes, paper_table
from reports.tables import RunScores, read_scores, summary_frame
from stbench.errors import UserError
from stbench.files import write_bytes
from stbench.paper import ORDER, PAPER_PROTOCOL, WHOLE
from stbench.published import PublishedTable, published_tables
from stbench.scores import aggregate

if TYPE_CHECKING:
    from stbench.store import RunFolder

CONSISTENCY = (
    "cross_shot_consistency",
    "cross_shot_consistency_top10",
    "cross_shot_appearance",
    "entity_consistency",
    "guarded_consistency",
    "truth_colour_kept",
    "truth_accessory_kept",
)
PROMPT = ("prompt_following_global", "prompt_following_single_shot")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one table is made of.

    Attributes:
        number: Of the paper's table.
        arms: The methods in the order of the rows, each with its runs.
        merged: The same, with the rows of all seeds as one run.
        table: Laid out.
        found: Paired changes.
    """

    number: int
    arms: tuple[Arm, ...]
    merged: tuple[RunScores, ...]
    table: PaperTable
    found: tuple[Step, ...]

    def arm(self, name: str) -> Arm | None:
        """The arm of a method, by its name."""
        return next((arm for arm in self.arms if arm.manifest.method == name), None)


def write_paper_table(
    number: int, methods: Mapping[str, Sequence[RunFolder]], out: Path, *, missing: Mapping[str, str] | None = None
) -> tuple[dict[str, Path], list[str], list[str]]:
    """Write one table of the paper.

    Args:
        number: 1 (methods) or 2 (ablations).
        methods: Title → runs of a method, one per seed, in the order of the rows.
        out: Folder.
        missing: Method → why it has no row.

    Returns:
        Name → file, the sentences that say what was found, and those on the conditions of the methods.

    Raises:
        UserError: No run holds scores.
    """
    measured = _measure(number, methods)
    sentences = _found(measured)
    published = published_tables(PAPER_PROTOCOL)[number - 1]
    filmed = [conditions(arm.title, arm.runs) for arm in measured.arms]
    paths = {name: out / f"table{number}{end}" for name, end in _ENDS.items()}
    write_bytes(paths["markdown"], _markdown(measured, filmed, published, sentences, missing or {}).encode("utf-8", "replace"))
    write_bytes(paths["latex"], _latex(measured, filmed, published, sentences).encode("utf-8", "replace"))
    write_bytes(paths["csv"], summary_frame(measured.merged).to_csv(index=False).encode("utf-8", "replace"))
    rows = [step.cells() for step in measured.found]
    write_bytes(paths["changes_csv"], _csv(HEADS, rows))
    write_bytes(paths["conditions_csv"], _csv([field.name for field in fields(Conditions)], [list(astuple(row)) for row in filmed]))
    write_bytes(paths["published_csv"], _csv(*_published(published)))
    return paths, sentences, differences(filmed)


_ENDS = {
    "markdown": ".md",
    "latex": ".tex",
    "csv": ".csv",
    "changes_csv": "-changes.csv",
    "conditions_csv": "-conditions.csv",
    "published_csv": "-published.csv",
}


def _measure(number: int, methods: Mapping[str, Sequence[RunFolder]]) -> Measured:
    arms = [Arm(title=title, runs=tuple(read_scores(runs, [title] * len(runs)))) for title, runs in methods.items() if runs]
    arms = [arm for arm in arms if any(run.scores for run in arm.runs)]
    if not arms:
        raise UserError("no run holds scores", where=f"table {number}", hint="run stbench paper without --no-score")
    merged = []
    for arm in arms:
        rows = tuple(row for run in arm.runs for row in run.scores)
        merged.append(RunScores(title=arm.title, run=arm.runs[0].run, scores=rows, lines=tuple(aggregate(rows))))
    whole = paper_table(merged)
    seeds = tuple(sorted({seed for arm in arms for seed in arm.seeds}))
    rows_here = tuple(row for row in whole.rows if row.kind != PUBLISHED)
    measured = Measured(number=number, arms=tuple(arms), merged=tuple(merged), table=replace(whole, rows=rows_here, seeds=seeds), found=())
    columns = [column for column in measured.table.columns if column.metric in (*CONSISTENCY, *PROMPT)]
    return replace(measured, found=tuple(steps(_pairs(measured), columns)))


def _order(measured: Measured) -> list[Arm]:
    """The methods of the expected order that are there, best first."""
    return [arm for name in ORDER if (arm := measured.arm(name))]


def _pairs(measured: Measured) -> list[tuple[Arm, Arm]]:
    """(new, base) pairs: of table 1 the steps of the order and its ends, of table 2 each ablation against the whole method."""
    if measured.number == 1:
        order = _order(measured)
        ends = [(order[0], order[-1])] if len(order) > 2 else []
        return [*pairwise(order), *ends]
    full = measured.arm(WHOLE)
    return [(arm, full) for arm in measured.arms if full and arm is not full]


def _found(measured: Measured) -> list[str]:
    """Sentences."""
    if measured.number == 1:
        order = _order(measured)
        if len(order) < 2:
            return ["Fewer than two methods of the expected order were measured: nothing can be said about it."]
        lines = order_lines(order, measured.found, CONSISTENCY)
        ends = [s for s in measured.found if s.column.metric in PROMPT and (s.new, s.base) == (order[0].title, order[-1].title)]
        return lines + [f"`{step.column.metric}`: {step.text()}: {step.verdict}." for step in ends]
    full = measured.arm(WHOLE)
    if full is None:
        return [f"{WHOLE} itself was not measured: its ablations have nothing to stand against."]
    return ablation_lines(full, [arm for arm in measured.arms if arm is not full], measured.found, (*CONSISTENCY, *PROMPT))


def _sub_table(table: PaperTable, names: Sequence[str], *, inside: bool) -> PaperTable:
    """The columns that are (or are not) among `names`, all rows."""
    kept = [k for k, column in enumerate(table.columns) if (column.metric in names) == inside]
    rows = tuple(replace(row, cells=tuple(row.cells[k] for k in kept)) for row in table.rows)
    return replace(table, columns=tuple(table.columns[k] for k in kept), rows=rows)


def _markdown(
    measured: Measured, rows: Sequence[Conditions], published: PublishedTable, sentences: Sequence[str], missing: Mapping[str, str]
) -> str:
    table, names = measured.table, published.metrics
    heads, body = conditions_table(rows)
    as_in_paper = methods_table(_sub_table(table, names, inside=True))
    note = escape_cell(published_note(measured, published))
    parts = [
        f"# {published.title.partition(':')[0]}, measured here",
        f"{escape_cell(_sub_table(table, names, inside=True).caption('none'))}",
        as_in_paper or "No metric of the paper's table was scored under this protocol.",
        f"## What was found\n\n{_bullets(sentences)}",
        f"## Every metric\n\nMean (95% interval, stories resampled), and n scored of n expected.\n\n{metric_table(table)}",
        "## Paired changes\n\nPaired by story, shot and seed; the interval resamples stories; p: signs of whole stories flipped, "
        f"Holm-corrected over this table; found: by the interval alone.\n\n{_pipe(HEADS, [step.cells() for step in measured.found])}",
        f"## Conditions\n\n{_pipe(heads, body)}\n\n{_bullets(escape_cell(line) for line in differences(rows))}",
        _section("## Not measured here", [f"{escape_cell(name)}: {escape_cell(why)}." for name, why in missing.items()]),
        _section("## Not comparable", [escape_cell(line) for line in comparability_notes(measured.merged)]),
        f"# {escape_cell(published.title)}, as published\n\n{note}\n\n{_pipe(*_published(published))}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def published_note(measured: Measured, published: PublishedTable) -> str:
    """Where the published numbers are from, and what keeps them from being read against those above."""
    protocols = {column.protocol for column in measured.table.columns}
    near = protocols == {PAPER_PROTOCOL}
    why = (
        "computed by the authors, with settings that the paper does not tell all"
        if near
        else f"other films, other encoders than protocol {', '.join(sorted(protocols))}: an order may be compared, a number not"
    )
    return f"Source: {published.source}. {published.suite}; {published.note}. Not measured here: {why}."


def _latex(measured: Measured, rows: Sequence[Conditions], published: PublishedTable, sentences: Sequence[str]) -> str:
    """The measured table, then, as a table of its own, the published one."""
    shown = _sub_table(measured.table, (*published.metrics, *CONSISTENCY), inside=True)
    comments = "".join(f"% {line}\n" for line in (*sentences, *differences(rows)))
    parts = [
        comments.replace("`", ""),
        latex_table(shown).replace("tab:stbench", f"tab:stbench-{measured.number}"),
        plain_table("Under which conditions each method filmed.", *conditions_table(rows), notes=differences(rows)),
        plain_table(f"{published.title}, as published.", *_published(published), notes=[published_note(measured, published)]),
    ]
    return "\n".join(part for part in parts if part)


def _published(table: PublishedTable) -> tuple[list[str], list[list[str]]]:
    rows = [[row.method, *("–" if (v := row.values.get(name)) is None else f"{v:.4f}" for name in table.metrics)] for row in table.rows]
    return ["method", *table.metrics], rows


def _pipe(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return pipe_table([escape_cell(head) for head in heads], [[escape_cell(cell) for cell in row] for row in rows])


def _bullets(lines: object) -> str:
    return "\n".join(f"- {line}" for line in lines)  # type: ignore[attr-defined]


def _section(head: str, lines: Sequence[str]) -> str:
    return f"{head}\n\n{_bullets(lines)}" if lines else ""


def _csv(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(heads)).to_csv(index=False).encode("utf-8", "replace")
