r"""The table of the paper as LaTeX: booktabs, best bold, second underlined, arrows for direction, intervals where asked.

Needs `\usepackage{booktabs,graphicx}` and nothing else; the arrows are math. Methods are rows; with more than seven metrics the table is
turned. So that it fits its column, an interval stands in a line under its number, long heads are broken, and what is still too wide is
shrunk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.paper import COLUMN_INTERVALS, MEASURED, PaperCell, PaperTable

MOST_COLUMNS = 7
HEAD_CHARS = 13
BREAK = r"\\"  # a new line
NEEDS = "% needs \\usepackage{booktabs,graphicx}"
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
    return _environment(table.caption(intervals), body, label=r"\label{tab:stbench}")


def plain_table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, notes: Sequence[str] = ()) -> str:
    """A `table` environment of plain text, such as an ablation, with notes under it; "" without rows."""
    if not rows:
        return ""
    body = _tabular("l" * len(heads), [_head(head) for head in heads], [[[escape(cell) for cell in row] for row in rows]])
    return _environment(caption, body, notes=notes)


def _environment(caption: str, body: Sequence[str], *, label: str = "", notes: Sequence[str] = ()) -> str:
    """A table, its caption above and notes below it."""
    said = " ".join(escape(note) for note in notes)
    lines = [
        NEEDS,
        r"\begin{table}",
        r"  \centering\small",
        f"  \\caption{{{escape(caption)}}}",
        *([f"  {label}"] if label else []),
        r"  \sbox0{%",
        *(f"  {line}" for line in body),
        r"  }\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
        *([f"  \\par\\medskip{{\\footnotesize\\raggedright {said}\\par}}"] if said else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _head(text: str, end: str = "") -> str:
    r"""A column's head; a long one is broken after `_`, `-` and spaces.

    Example:
        >>> print(_head("steps"), _head("cross_shot_consistency"))
        steps \shortstack{cross\_shot\_\\consistency}
    """
    lines = [""]
    for word in re.findall(r"[^_\- ]+[_\- ]?", text) or [text]:
        if lines[-1] and len(lines[-1] + word.rstrip()) > HEAD_CHARS:
            lines.append("")
        lines[-1] += word
    shown = [escape(line.strip()) for line in lines]
    shown[-1] += end
    return shown[0] if len(shown) == 1 else rf"\shortstack{{{BREAK.join(shown)}}}"


def _upright(table: PaperTable, intervals: str) -> list[str]:
    heads = ["Method", *(_head(column.metric, ARROWS[column.higher_is_better]) for column in table.columns)]
    groups = [[line for row in group for line in _lines(escape(row.name), row.cells, intervals)] for group in table.groups]
    return _tabular("l" + "c" * len(table.columns), heads, groups)


def _turned(table: PaperTable, intervals: str) -> list[str]:
    rows = [row for group in table.groups for row in group]
    heads = ["Metric", *(_head(row.name if row.kind == MEASURED else f"{row.name} ({row.kind})") for row in rows)]
    body = [
        line
        for k, column in enumerate(table.columns)
        for line in _lines(escape(column.metric) + ARROWS[column.higher_is_better], [row.cells[k] for row in rows], intervals)
    ]
    return _tabular("l" + "c" * len(rows), heads, [body])


def _lines(name: str, cells: Sequence[PaperCell], intervals: str) -> list[list[str]]:
    """A row, and a row with its intervals."""
    lines = [[name, *map(_cell, cells)]]
    if intervals == COLUMN_INTERVALS and any(cell.interval for cell in cells):
        lines.append(["", *(f"{{\\scriptsize [{escape(cell.interval)}]}}" if cell.interval else "" for cell in cells)])
    return lines


def _tabular(columns: str, heads: Sequence[str], groups: Sequence[Sequence[Sequence[str]]]) -> list[str]:
    lines = [f"\\begin{{tabular}}{{{columns}}}", r"  \toprule", f"  {' & '.join(heads)} \\\\", r"  \midrule"]
    for place, group in enumerate(part for part in groups if part):
        lines += [r"  \midrule"] if place else []
        lines += [f"  {' & '.join(row)} \\\\" for row in group]
    return [*lines, r"  \bottomrule", r"\end{tabular}"]


def _cell(cell: PaperCell) -> str:
    text = escape(cell.text)
    if cell.place == 1:
        text = f"\\textbf{{{text}}}"
    elif cell.place == 2:
        text = f"\\underline{{{text}}}"
    return text if cell.complete else f"{text}$^{{*}}$"
