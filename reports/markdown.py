"""The Markdown page: runs, the table as papers print it, every metric with its interval, paired changes, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from reports.comparison import LEGEND, Comparison
from reports.tables import RunScores, interval_text, metric_keys, p_text, short_digests, value_text
from stbench.scores import Aggregate

ARROWS = {True: " ↑", False: " ↓", None: ""}
PAIRED_NOTE = (
    "Paired by story, shot and seed; the interval resamples stories; p: signs of whole stories flipped, Holm-corrected over all rows; "
    "g: Hedges; W/T/L: stories won, tied, lost."
)


def table_page(runs: Sequence[RunScores], comparison: Comparison | None) -> str:
    """The whole page; sections without content are left out."""
    parts = [
        "# Scores",
        _runs_table(runs),
        _section("Methods", paper_table(runs), "Means over what was scored; the best of several methods is bold."),
        _section("Metrics", metric_table(runs), "Mean (95% interval, stories resampled), and n scored of n expected."),
    ]
    if comparison:
        parts.append(_section(f"Change against {_escape(comparison.base.title)}", paired_table(comparison), paired_note(comparison)))
    parts.append(_section("Not scored", _reasons_table(runs), ""))
    parts.append(_section("Not comparable", "\n".join(f"- {_escape(line)}" for line in comparability_notes(runs)), ""))
    return "\n\n".join(part for part in parts if part) + "\n"


def paper_table(runs: Sequence[RunScores]) -> str:
    """One row per run, one column per metric; reference rows last. "" without scores."""
    keys = metric_keys(runs)
    if not keys:
        return ""
    heads = [_heading(_any_line(runs, key)) for key in keys]
    best = {key: best_runs(runs, key) for key in keys}
    rows = []
    for run in sorted(runs, key=lambda run: run.reference):
        cells = [_escape(run.title) + (" (reference)" if run.reference else "")]
        for key in keys:
            line = run.line(key)
            text = value_text(line.mean, line.unit) + ("" if line.complete else "\\*") if line else "–"
            cells.append(f"**{text}**" if run.title in best[key] else text)
        rows.append(cells)
    table = _table(["method", *heads], rows)
    short = any(not line.complete for run in runs for line in run.lines)
    return table + ("\n\n\\* not everything that was expected could be scored; see below." if short else "")


def metric_table(runs: Sequence[RunScores]) -> str:
    """One row per metric; per run the mean with its interval, and n. "" without scores."""
    keys = metric_keys(runs)
    if not keys:
        return ""
    rows = []
    for key in keys:
        line = _any_line(runs, key)
        row = [_heading(line), line.unit]
        best = best_runs(runs, key)
        for run in runs:
            row += _cells(run.line(key), bold=run.title in best)
        rows.append(row)
    heads = ["metric", "unit"]
    for run in runs:
        heads += [_escape(run.title), "n"]
    return _table(heads, rows)


def best_runs(runs: Sequence[RunScores], key: tuple[str, ...]) -> list[str]:
    """Titles of the best runs of a column, ties included; none where fewer than two methods can be compared."""
    rivals = [(run.title, line) for run in runs if not run.reference and (line := run.line(key)) and line.mean is not None]
    if len(rivals) < 2 or rivals[0][1].higher_is_better is None or not same_stories(runs):
        return []
    means = [line.mean for _, line in rivals if line.mean is not None]
    top = max(means) if rivals[0][1].higher_is_better else min(means)
    return [title for title, line in rivals if line.mean == top]


def same_stories(runs: Sequence[RunScores]) -> bool:
    """All runs were asked for the same stories, word for word."""
    return all(run.run.stories == runs[0].run.stories for run in runs)


def _runs_table(runs: Sequence[RunScores]) -> str:
    rows = []
    for run in runs:
        m = run.run.manifest
        suite = f"{_escape(m.suite.name)} {_escape(m.suite.version)}"
        rows.append([_escape(run.title), _escape(m.name), _escape(m.model) or "–", suite, str(m.seed), m.device, run.status])
    return _table(["method", "run", "model", "suite", "seed", "device", "verdict"], rows)


def _cells(line: Aggregate | None, *, bold: bool) -> list[str]:
    if line is None:
        return ["–", "–"]
    mean = value_text(line.mean, line.unit)
    mean = f"**{mean}**" if bold else mean
    span = interval_text(line.low, line.high, line.unit)
    return [mean if span == "–" else f"{mean} ({span})", f"{line.n_scored}/{line.n_expected}"]


def paired_table(comparison: Comparison) -> str:
    """One row per arm and metric, with its mark; "" without rows."""
    rows = []
    for row in comparison.rows:
        c = row.change
        cells = [_escape(row.arm), f"`{row.metric}`", f"`{row.mark}`" if row.mark else ""]
        if c.reason is not None:
            rows.append([*cells, "–", _escape(short_digests(c.reason)), "–", "–", "–", "0"])
            continue
        size, span = value_text(c.mean, row.unit, signed=True), interval_text(c.low, c.high, row.unit, signed=True)
        effect = "–" if c.effect is None else f"{c.effect:+.2f}"
        rows.append([*cells, size, span, p_text(row.p_holm), effect, "/".join(str(n) for n in row.win_tie_loss), str(c.n)])
    return _table(["method", "metric", "", "change", "95% interval", "p", "g", "W/T/L", "pairs"], rows) if rows else ""


def paired_note(comparison: Comparison) -> str:
    """What the columns are, the legend of the marks, and what a reader must know first."""
    legend = ", ".join(f"`{sign}` {meaning}" for sign, meaning in LEGEND)
    return "\n".join([f"{PAIRED_NOTE} Marks: {legend}.", *(f"\n- {_escape(line)}" for line in comparison.flags)])


def _reasons_table(runs: Sequence[RunScores]) -> str:
    rows = [
        [_escape(run.title), f"`{line.metric}`", str(count), _escape(reason)]
        for run in runs
        for line in run.lines
        for reason, count in line.reasons.items()
    ]
    return _table(["method", "metric", "n", "reason"], rows) if rows else ""


def comparability_notes(runs: Sequence[RunScores]) -> list[str]:
    """Why numbers of these runs should not be compared; empty if nothing speaks against it."""
    lines = []
    if not same_stories(runs):
        lines.append("The runs did not film the same stories: no best value is marked, and changes are of the shared shots only.")
    versions: dict[str, set[tuple[str, ...]]] = {}
    for key in metric_keys(runs):
        versions.setdefault(key[1], set()).add(key)
    lines += [
        f"{name} was computed in {len(keys)} ways (protocol, version or encoder differ), so it has as many columns."
        for name, keys in versions.items()
        if len(keys) > 1
    ]
    return lines


def _any_line(runs: Sequence[RunScores], key: tuple[str, ...]) -> Aggregate:
    return next(line for run in runs if (line := run.line(key)) is not None)


def _heading(line: Aggregate) -> str:
    return f"`{line.metric}`{ARROWS[line.higher_is_better]}"


def _section(title: str, body: str, note: str) -> str:
    return "\n\n".join(part for part in (f"## {title}", body, note) if part) if body else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = "|" + "|".join("---" for _ in heads) + "|"
    return "\n".join(["| " + " | ".join(heads) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)])


def _escape(text: str) -> str:
    """Text of users inside a cell: one line, no markup."""
    text = " ".join(text.split())
    for char in "\\`*_[]<>|":
        text = text.replace(char, "\\" + char)
    return text
