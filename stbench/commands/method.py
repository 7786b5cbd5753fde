"""`stbench method`: a method of one's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stbench.commands.output import examples, print_json

_NEW = examples("stbench method new my-method", "stbench method new my-method --out ~/code/my-method")


def register(app: typer.Typer) -> None:
    """Add the group of commands to the command line."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="A method of your own, as a small package.")
    group.callback()(_group)
    group.command("new", epilog=_NEW)(new)
    app.add_typer(group, name="method")


def _group() -> None:
    """A method of your own, as a small package."""


def new(
    name: Annotated[str, typer.Argument(help="Its name, as my-method.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder of the package.", show_default="./NAME")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Write a package with a method that runs, its entry point, a test and a README; nothing is installed."""
    from stbench.method_template import check_name, write_package

    target = out or Path(check_name(name))
    files = write_package(check_name(name), target.expanduser())
    for path in files:
        print(path, file=sys.stderr)
    print(f"\nnext   pip install -e {target}\n       pytest {target}/tests\n       stbench run --method {name}", file=sys.stderr)
    if json:
        print_json({"method": name, "files": [str(path) for path in files]})
