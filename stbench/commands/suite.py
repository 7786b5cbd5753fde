"""`stbench suite`: look at suites, check them, make them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stbench.commands.output import print_catalogue, print_json, printable

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
SuiteArgument = Annotated[str, typer.Argument(help="A bundled suite, a script, or a folder of scripts.", show_default=False)]


_CONVERT = """\b
Examples:
  stbench suite convert tale.json tale.story.md
  stbench suite convert tale.story.yaml tale.json
  stbench suite convert scripts/ memento-scripts/ --to memento"""


def register(app: typer.Typer) -> None:
    """Add the group of commands to the command line."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at suites, or generate Story World's.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("convert", epilog=_CONVERT)(convert)
    group.command("generate")(generate)
    app.add_typer(group, name="suite")


def list_(json: JsonFlag = False) -> None:
    """The suites that there are."""
    print_catalogue("suites", json)


def show(suite: SuiteArgument, json: JsonFlag = False) -> None:
    """What is in a suite; also a check of your own scripts."""
    from stbench.suites import load_suite

    loaded = load_suite(suite)
    stories = [{"id": story.id, "name": story.name, "shots": len(story.shots), "cuts": story.cuts} for story in loaded.stories]
    if json:
        print_json({"name": loaded.name, "version": loaded.version, "digest": loaded.digest, "stories": stories})
        return
    size = f"{len(stories)} stories, {loaded.shots} shots, {loaded.cuts} cuts"
    print(f"{loaded.name}  version {loaded.version}  digest {loaded.digest[:12]}  {size}")
    for story in loaded.stories:
        print(f"  {story.id:<24} {len(story.shots):>3} shots  {story.cuts:>3} cuts  {printable(story.name)[:36]}")


def generate(
    name: Annotated[str, typer.Argument(help="world or world-mini.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder.", show_default=False)],
) -> None:
    """Write a Story World suite as ST-Bench JSON; the same bytes on every machine."""
    from stbench.suites import generate_suite

    path = generate_suite(name, out)
    print(f"wrote {path}; try: stbench suite show {path}", file=sys.stderr)


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A script in any dialect, or a folder of them.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new file; for a folder, a new folder.", show_default=False)],
    to: Annotated[
        str | None, typer.Option(help="st-bench, entitybench, memento, holocine, yaml or markdown.", show_default="by the name of OUT")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Write scripts in another dialect, and say what it cannot hold.

    What was written is read back and compared with what was read, so a loss is never silent.
    """
    from stbench.dialects.files import convert_files

    written = convert_files(source, out, to)
    for item in written:
        lost = "; ".join(item.losses)
        print(f"{item.path}  ({item.dialect}){'  does not keep: ' + printable(lost) if lost else ''}", file=sys.stderr)
    if json:
        print_json({"files": [{"path": str(item.path), "dialect": item.dialect, "losses": list(item.losses)} for item in written]})
