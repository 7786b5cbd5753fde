"""The Markdown page: runs, the table as papers print it, every metric with its interval, paired changes, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.tables import RunScores, interval_text, metric_keys, paired_changes, value_text
from stbench.scores import Aggregate
from stbench.stats import PairedChange

ARROWS = {True: " ↑", False: " ↓", None: ""}
PAIRED_LEGEND = (
    "Paired by story and shot; the interval resamples stories. `+` better, `-` worse, `~` the interval includes zero or there is none, "
    "`x` not comparable, blank: neither direction is better."
)


def table_page(runs: Sequence[RunScores]) -> str:
    """The whole page; sections without content are left out."""
    parts = [
        "# Scores",
        _runs_table(runs),
        _section("Methods", paper_table(runs), "Means over what was scored; the best of several methods is bold."),
        _section("Metrics", metric_table(runs), "Mean (95% interval, stories resampled), and n scored of n expected."),
    ]
    if len(runs) > 1:
        parts.append(_section(f"Change against {_escape(runs[0].title)}", _paired_table(runs), PAIRED_LEGEND))
    parts.append(_section("Not scored", _reasons_table(runs), ""))
    parts.append(_section("Not comparable", _warnings(runs), ""))
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


def mark(change: PairedChange, higher_is_better: bool | None) -> str:
    """One sign for a change, as the legend explains it."""
    if change.reason is not None or change.mean is None:
        return "x"
    if not change.significant:
        return "~"
    if higher_is_better is None:
        return ""
    return "+" if (change.mean > 0) == higher_is_better else "-"


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


def _paired_table(runs: Sequence[RunScores]) -> str:
    rows = []
    for base, new, metric, change in paired_changes(runs):
        line = next(line for line in (*base.lines, *new.lines) if line.metric == metric)
        if change.reason is not None:
            rows.append([_escape(new.title), f"`{metric}`", "x", "–", _escape(_short_digests(change.reason)), "0"])
            continue
        size = value_text(change.mean, line.unit, signed=True)
        span = interval_text(change.low, change.high, line.unit, signed=True)
        rows.append([_escape(new.title), f"`{metric}`", mark(change, line.higher_is_better), size, span, str(change.n)])
    return _table(["method", "metric", "", "change", "95% interval", "pairs"], rows) if rows else ""


def _reasons_table(runs: Sequence[RunScores]) -> str:
    rows = [
        [_escape(run.title), f"`{line.metric}`", str(count), _escape(reason)]
        for run in runs
        for line in run.lines
        for reason, count in line.reasons.items()
    ]
    return _table(["method", "metric", "n", "reason"], rows) if rows else ""


def _warnings(runs: Sequence[RunScores]) -> str:
    """Why numbers of these runs should not be compared; "" if nothing speaks against it."""
    lines = []
    if not same_stories(runs):
        lines.append("- The runs did not film the same stories: no best value is marked, and changes are of the shared shots only.")
    versions: dict[str, set[tuple[str, ...]]] = {}
    for key in metric_keys(runs):
        versions.setdefault(key[1], set()).add(key)
    lines += [
        f"- `{name}` was computed in {len(keys)} ways (protocol, version or encoder differ), so it has as many columns."
        for name, keys in versions.items()
        if len(keys) > 1
    ]
    return "\n".join(lines)


def _any_line(runs: Sequence[RunScores], key: tuple[str, ...]) -> Aggregate:
    return next(line for run in runs if (line := run.line(key)) is not None)


def _heading(line: Aggregate) -> str:
    return f"`{line.metric}`{ARROWS[line.higher_is_better]}"


def _section(title: str, body: str, note: str) -> str:
    return "\n\n".join(part for part in (f"## {title}", body, note) if part) if body else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = "|" + "|".join("---" for _ in heads) + "|"
    return "\n".join(["| " + " | ".join(heads) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)])


def _short_digests(text: str) -> str:
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", text)


def _escape(text: str) -> str:
    """Text of users inside a cell: one line, no markup."""
    text = " ".join(text.split())
    for char in "\\`*_[]<>|":
        text = text.replace(char, "\\" + char)
    return text
