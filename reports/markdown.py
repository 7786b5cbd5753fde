"""The Markdown page: runs, the table as papers print it, every metric with its interval, paired changes, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from reports.comparison import LEGEND, Comparison
from reports.extras import Extra
from reports.paper import MEASURED, PUBLISHED, PaperCell, PaperTable, comparability_notes, paper_table
from reports.tables import RunScores, interval_text, p_text, short_digests, value_text

ARROWS = {True: " ↑", False: " ↓", None: ""}
PAIRED_NOTE = (
    "Paired by story, shot and seed; the interval resamples stories; p: signs of whole stories flipped, Holm-corrected over all rows; "
    "g: Hedges; W/T/L: stories won, tied, lost."
)


def table_page(runs: Sequence[RunScores], comparison: Comparison | None, extras: Sequence[Extra] = ()) -> str:
    """The whole page; sections without content are left out."""
    table = paper_table(runs)
    parts = [
        "# Scores",
        _runs_table(runs),
        _section("Methods", methods_table(table), "Means over what was scored; the best of several methods is bold."),
        _section("Metrics", metric_table(table), "Mean (95% interval, stories resampled), and n scored of n expected."),
    ]
    if comparison:
        parts.append(_section(f"Change against {escape_cell(comparison.base.title)}", paired_table(comparison), paired_note(comparison)))
    for extra in extras:
        tables = [
            f"**{escape_cell(caption)}**\n\n{pipe_table(heads, [[escape_cell(c) for c in row] for row in rows])}"
            for caption, heads, rows in extra.tables
        ]
        parts.append(_section(escape_cell(extra.title), "\n\n".join(tables), escape_cell(extra.note)))
    parts.append(_section("Not scored", _reasons_table(runs), ""))
    parts.append(_section("Not comparable", "\n".join(f"- {escape_cell(line)}" for line in comparability_notes(runs)), ""))
    return "\n\n".join(part for part in parts if part) + "\n"


def methods_table(table: PaperTable) -> str:
    """One row per method, one column per metric; reference and published rows last. "" without scores."""
    if not table.columns:
        return ""
    heads = [f"`{column.metric}`{ARROWS[column.higher_is_better]}" for column in table.columns]
    rows = []
    for row in table.rows:
        name = escape_cell(row.name) + ("" if row.kind == MEASURED else f" ({row.kind})")
        rows.append([name, *(_cell(cell) for cell in row.cells)])
    text = pipe_table(["method", *heads], rows)
    short = any(not cell.complete for row in table.rows for cell in row.cells)
    notes = ["\\* not everything that was expected could be scored; see below."] if short else []
    notes += [f"Published: {escape_cell(source)}." for source in dict.fromkeys(row.source for row in table.rows if row.source)]
    return "\n\n".join([text, *notes])


def metric_table(table: PaperTable) -> str:
    """One row per metric; per measured method the mean with its interval, and n. "" without scores."""
    if not table.columns:
        return ""
    methods = [row for row in table.rows if row.kind != PUBLISHED]
    rows = []
    for k, column in enumerate(table.columns):
        row = [f"`{column.metric}`{ARROWS[column.higher_is_better]}", column.unit]
        for method in methods:
            cell = method.cells[k]
            row += [_cell(cell, star=False) + (f" ({cell.interval})" if cell.interval else ""), cell.n or "–"]
        rows.append(row)
    heads = ["metric", "unit"]
    for method in methods:
        heads += [escape_cell(method.name), "n"]
    return pipe_table(heads, rows)


def _cell(cell: PaperCell, *, star: bool = True) -> str:
    text = cell.text + ("\\*" if star and not cell.complete else "")
    return f"**{text}**" if cell.place == 1 else text


def _runs_table(runs: Sequence[RunScores]) -> str:
    rows = []
    for run in runs:
        m = run.run.manifest
        suite = f"{escape_cell(m.suite.name)} {escape_cell(m.suite.version)}"
        rows.append([escape_cell(run.title), escape_cell(m.name), escape_cell(m.model) or "–", suite, str(m.seed), m.device, run.status])
    return pipe_table(["method", "run", "model", "suite", "seed", "device", "verdict"], rows)


def paired_table(comparison: Comparison) -> str:
    """One row per arm and metric, with its mark; "" without rows."""
    rows = []
    for row in comparison.rows:
        c = row.change
        cells = [escape_cell(row.arm), f"`{row.metric}`", f"`{row.mark}`" if row.mark else ""]
        if c.reason is not None:
            rows.append([*cells, "–", escape_cell(short_digests(c.reason)), "–", "–", "–", "0"])
            continue
        size, span = value_text(c.mean, row.unit, signed=True), interval_text(c.low, c.high, row.unit, signed=True)
        effect = "–" if c.effect is None else f"{c.effect:+.2f}"
        rows.append([*cells, size, span, p_text(row.p_holm), effect, "/".join(str(n) for n in row.win_tie_loss), str(c.n)])
    return pipe_table(["method", "metric", "", "change", "95% interval", "p", "g", "W/T/L", "pairs"], rows) if rows else ""


def paired_note(comparison: Comparison) -> str:
    """What the columns are, the legend of the marks, and what a reader must know first."""
    legend = ", ".join(f"`{sign}` {meaning}" for sign, meaning in LEGEND)
    return "\n".join([f"{PAIRED_NOTE} Marks: {legend}.", *(f"\n- {escape_cell(line)}" for line in comparison.flags)])


def _reasons_table(runs: Sequence[RunScores]) -> str:
    rows = [
        [escape_cell(run.title), f"`{line.metric}`", str(count), escape_cell(reason)]
        for run in runs
        for line in run.lines
        for reason, count in line.reasons.items()
    ]
    return pipe_table(["method", "metric", "n", "reason"], rows) if rows else ""


def _section(title: str, body: str, note: str) -> str:
    return "\n\n".join(part for part in (f"## {title}", body, note) if part) if body else ""


def pipe_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; cells are taken as they are."""
    rule = "|" + "|".join("---" for _ in heads) + "|"
    return "\n".join(["| " + " | ".join(heads) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)])


def escape_cell(text: str) -> str:
    """Text of users inside a cell: one line, no markup."""
    text = " ".join(text.split())
    for char in "\\`*_[]<>|":
        text = text.replace(char, "\\" + char)
    return text
