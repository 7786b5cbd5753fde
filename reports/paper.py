"""The table as papers print it: methods by metrics, best and second best, reference rows, and published rows where they belong.

Built once, printed as HTML, LaTeX and Markdown. Published numbers stand in the table only under the protocol that comes
nearest to their paper's own; they never compete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.tables import RunScores, interval_text, metric_keys, value_text
from stbench.published import PublishedTable, published_tables
from stbench.scores import Aggregate

COLUMN_INTERVALS, CAPTION_INTERVALS, NO_INTERVALS = "columns", "caption", "none"
INTERVALS = (COLUMN_INTERVALS, CAPTION_INTERVALS, NO_INTERVALS)
MEASURED, REFERENCE, PUBLISHED = "measured", "reference", "published"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One metric, computed in one way."""

    key: tuple[str, ...]
    metric: str
    protocol: str
    version: int
    unit: str
    encoder: str | None
    higher_is_better: bool | None


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """One number. `place` is 1 for the best of several methods, 2 for the second, else 0."""

    text: str
    value: float | None = None
    interval: str = ""
    n: str = ""
    complete: bool = True
    place: int = 0


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """One method. `kind` is measured, reference or published."""

    name: str
    kind: str
    cells: tuple[PaperCell, ...]
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """The whole table; rows measured first, then reference rows, then published ones."""

    columns: tuple[Column, ...]
    rows: tuple[PaperRow, ...]
    suites: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def groups(self) -> list[list[PaperRow]]:
        """Rows between rules."""
        return [[row for row in self.rows if row.kind == kind] for kind in (MEASURED, REFERENCE, PUBLISHED)]

    def caption(self, intervals: str) -> str:
        """What a reader must know to read the numbers."""
        parts = [f"Suite {', '.join(self.suites)}; seed{'s' if len(self.seeds) > 1 else ''} {', '.join(map(str, self.seeds))}."]
        protocols = dict.fromkeys(f"{column.protocol} (v{column.version})" for column in self.columns)
        parts.append(f"Protocol {', '.join(dict.fromkeys(name.split(' ')[0] for name in protocols))}.")
        parts.append(self._counts())
        if intervals == COLUMN_INTERVALS:
            parts.append("Mean [95% interval, stories resampled].")
        elif intervals == CAPTION_INTERVALS:
            parts.append("95% intervals, stories resampled: " + "; ".join(self._interval_parts()) + ".")
        parts.append("Best bold, second underlined; reference and published rows do not compete.")
        if any(not cell.complete for row in self.rows for cell in row.cells):
            parts.append("* not everything that was expected could be scored.")
        if self.groups[2]:
            parts.append(f"Last rows as published ({'; '.join(dict.fromkeys(row.source for row in self.groups[2]))}).")
        return " ".join(part for part in parts if part)

    def _counts(self) -> str:
        """N by metric; metrics with the same counts share a phrase."""
        found: dict[str, list[str]] = {}
        for k, column in enumerate(self.columns):
            counts = dict.fromkeys(row.cells[k].n for row in self.rows if row.cells[k].n)
            found.setdefault(" or ".join(counts), []).append(column.metric)
        if len(found) == 1:
            return f"n = {next(iter(found))}."
        return "n scored of expected: " + "; ".join(f"{n} ({', '.join(names)})" for n, names in found.items() if n) + "."

    def _interval_parts(self) -> list[str]:
        return [
            f"{column.metric}: " + ", ".join(f"{row.name} {row.cells[k].interval}" for row in self.rows if row.cells[k].interval)
            for k, column in enumerate(self.columns)
        ]


def paper_table(runs: Sequence[RunScores]) -> PaperTable:
    """Lay out what runs measured, and the published rows of their protocols."""
    columns = [_column(next(line for run in runs if (line := run.line(key))), key) for key in metric_keys(runs)]
    places = [_places(runs, column) for column in columns]
    rows = []
    for run in sorted(runs, key=lambda run: run.reference):
        cells = tuple(_cell(run.line(column.key), place.get(run.title, 0)) for column, place in zip(columns, places, strict=True))
        rows.append(PaperRow(name=run.title, kind=REFERENCE if run.reference else MEASURED, cells=cells))
    for protocol in dict.fromkeys(column.protocol for column in columns):
        for table in published_tables(protocol)[:1]:  # the first is of methods; ablations are other tables
            rows += _published_rows(table, columns)
    return PaperTable(
        columns=tuple(columns),
        rows=tuple(rows),
        suites=tuple(dict.fromkeys(f"{run.run.manifest.suite.name} {run.run.manifest.suite.version}" for run in runs)),
        seeds=tuple(sorted({run.run.manifest.seed for run in runs})),
    )


def _column(line: Aggregate, key: tuple[str, ...]) -> Column:
    return Column(
        key=key,
        metric=line.metric,
        protocol=line.protocol,
        version=line.version,
        unit=line.unit,
        encoder=line.encoder,
        higher_is_better=line.higher_is_better,
    )


def _places(runs: Sequence[RunScores], column: Column) -> dict[str, int]:
    """Title → 1 for the best and 2 for the second; equal as printed is equal. Empty where fewer than two methods can be compared."""
    rivals = {run.title: line.mean for run in runs if not run.reference and (line := run.line(column.key)) and line.mean is not None}
    if len(rivals) < 2 or column.higher_is_better is None or not same_stories(runs):
        return {}
    order = sorted(rivals.values(), reverse=column.higher_is_better)
    texts = list(dict.fromkeys(value_text(mean, column.unit) for mean in order))
    places = {title: texts.index(value_text(mean, column.unit)) + 1 for title, mean in rivals.items()}
    return {title: place for title, place in places.items() if place <= 2}


def _cell(line: Aggregate | None, place: int) -> PaperCell:
    if line is None:
        return PaperCell(text="–")
    span = interval_text(line.low, line.high, line.unit)
    return PaperCell(
        text=value_text(line.mean, line.unit),
        value=line.mean,
        interval="" if span == "–" else span,
        n=f"{line.n_scored}/{line.n_expected}",
        complete=line.complete,
        place=place,
    )


def _published_rows(table: PublishedTable, columns: Sequence[Column]) -> list[PaperRow]:
    rows = []
    for row in table.rows:
        values = [row.values.get(column.metric) if column.protocol == table.protocol else None for column in columns]
        cells = tuple(PaperCell(text="–" if v is None else f"{v:.4f}", value=v) for v in values)
        rows.append(PaperRow(name=row.method, kind=PUBLISHED, cells=cells, source=f"{table.source}; {table.suite}; {table.note}"))
    return rows


def same_stories(runs: Sequence[RunScores]) -> bool:
    """All runs were asked for the same stories, word for word."""
    return all(run.run.stories == runs[0].run.stories for run in runs)


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
