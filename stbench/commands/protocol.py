"""`stbench protocol`: what a table's caption must say, and the published rows that belong beside the table."""

from __future__ import annotations

import json as json_module
import textwrap
from typing import Annotated, Any

import typer

WIDTH = 80
_EPILOG = """\b
Examples:
  stbench protocol storymem-paper
  stbench protocol world --json"""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(protocol)


def protocol(
    name: Annotated[str, typer.Argument(metavar="PROTOCOL", help="A name of `stbench list protocols`.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Show a protocol: its metrics, its choices where papers are silent, and the published numbers to read it against."""
    from stbench.published import published_tables
    from stbench.scoring import get_protocol

    plan = get_protocol(name)
    tables = published_tables(name)
    if json:
        data = {"protocol": plan.name, "version": plan.version, "title": plan.title, "choices": dict(plan.choices)}
        data["metrics"] = [{"name": metric.name, "version": metric.version, "settings": metric.args()} for metric in plan.metrics]
        print(json_module.dumps({**data, "published": [table.to_json() for table in tables]}, ensure_ascii=False), flush=True)
        return
    for line in _lines(plan):
        print(line)
    for table in tables:
        print()
        for line in _table_lines(table):
            print(line)


def _lines(plan: Any) -> list[str]:
    lines = textwrap.wrap(f"{plan.name} v{plan.version}: {plan.title}", WIDTH)
    lines += ["", "metrics"]
    for metric in plan.metrics:
        settings = ", ".join(str(value) for value in metric.args().values())
        arrow = {True: "↑", False: "↓", None: " "}[metric.higher_is_better]
        lines.append(f"  {metric.name:<32} {arrow} v{metric.version}  {settings}".rstrip())
    lines += ["", "choices (for the caption of a table)"]
    for key, value in plan.choices.items():
        lines += textwrap.wrap(f"{key}: {value}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines


def _table_lines(table: Any) -> list[str]:
    """A published table, turned on its side where its columns are many: metrics down, methods across, numbered."""
    lines = textwrap.wrap(f"published, not measured here: {table.title} ({table.source}); {table.note}", WIDTH)
    lines += [f"  [{number}] {row.method}" for number, row in enumerate(table.rows, start=1)]
    lines.append(f"  {'':<30}" + "".join(f"{f'[{n}]':>9}" for n in range(1, len(table.rows) + 1)))
    for metric in table.metrics:
        lines.append(f"  {metric:<30}" + "".join(f"{row.values.get(metric, float('nan')):>9.4f}" for row in table.rows))
    return lines
