r"""The table of the paper as LaTeX: booktabs, best bold, second underlined, arrows for direction, intervals where asked.

Needs `\usepackage{booktabs}` and nothing else; the arrows are math. Methods are rows; with more than seven metrics the table is turned,
so that it fits a page.
"""

from __future__ import annotations

from collections.abc import Sequence

from reports.paper import COLUMN_INTERVALS, MEASURED, PaperCell, PaperTable

MOST_COLUMNS = 7
ARROWS = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def escape(text: str) -> str:
    r"""Text of users as LaTeX prints it; what a plain LaTeX cannot print becomes `?`.

    Example:
        >>> escape("a_b & 50%")
        'a\\_b \\& 50\\%'
    """
    line = " ".join(text.split())
    return "".join(
        _SPECIAL.get(char, char if " " <= char <= "~" else {"–": "--", "…": r"\dots{}", "·": "/"}.get(char, "?")) for char in line
    )


def latex_table(table: PaperTable, *, intervals: str = COLUMN_INTERVALS) -> str:
    """A `table` environment; "" without scores."""
    if not table.columns:
        return ""
    body = _turned(table, intervals) if len(table.columns) > MOST_COLUMNS else _upright(table, intervals)
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering\small",
        f"  \\caption{{{escape(table.caption(intervals))}}}",
        r"  \label{tab:stbench}",
        *(f"  {line}" for line in body),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def plain_table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A `table` environment of plain text, such as an ablation; "" without rows."""
    if not rows:
        return ""
    body = _tabular("l" * len(heads), [escape(head) for head in heads], [[[escape(cell) for cell in row] for row in rows]])
    lines = [r"\begin{table}", r"  \centering\small", f"  \\caption{{{escape(caption)}}}", *(f"  {line}" for line in body), r"\end{table}"]
    return "\n".join(lines) + "\n"


def _upright(table: PaperTable, intervals: str) -> list[str]:
    heads = ["Method", *(escape(column.metric) + ARROWS[column.higher_is_better] for column in table.columns)]
    groups = [[[escape(row.name), *(_cell(cell, intervals) for cell in row.cells)] for row in group] for group in table.groups]
    return _tabular("l" + "c" * len(table.columns), heads, groups)


def _turned(table: PaperTable, intervals: str) -> list[str]:
    rows = [row for group in table.groups for row in group]
    heads = ["Metric", *(escape(row.name if row.kind == MEASURED else f"{row.name} ({row.kind})") for row in rows)]
    body = [
        [escape(column.metric) + ARROWS[column.higher_is_better], *(_cell(row.cells[k], intervals) for row in rows)]
        for k, column in enumerate(table.columns)
    ]
    return _tabular("l" + "c" * len(rows), heads, [body])


def _tabular(columns: str, heads: Sequence[str], groups: Sequence[Sequence[Sequence[str]]]) -> list[str]:
    lines = [f"\\begin{{tabular}}{{{columns}}}", r"  \toprule", f"  {' & '.join(heads)} \\\\", r"  \midrule"]
    for place, group in enumerate(part for part in groups if part):
        lines += [r"  \midrule"] if place else []
        lines += [f"  {' & '.join(row)} \\\\" for row in group]
    return [*lines, r"  \bottomrule", r"\end{tabular}"]


def _cell(cell: PaperCell, intervals: str) -> str:
    text = escape(cell.text)
    if cell.place == 1:
        text = f"\\textbf{{{text}}}"
    elif cell.place == 2:
        text = f"\\underline{{{text}}}"
    if not cell.complete:
        text += "$^{*}$"
    if intervals == COLUMN_INTERVALS and cell.interval:
        text += f" {{\\scriptsize [{escape(cell.interval)}]}}"
    return text
