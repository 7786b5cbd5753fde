"""Commands of `stbench suite` that make suites: fetched, generated, written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from stbench.errors import UserError

_ADD = """\b
Examples:
  stbench suite add st-bench
  stbench suite add st-bench --accept-licence
  stbench suite add st-bench --from StoryMem/story --accept-licence

\b
Suites are put into $STBENCH_SUITES, else ~/.local/share/stbench/suites."""
_GENERATE = """\b
Examples:
  stbench suite generate world-mini --out world-mini
  stbench suite generate --world --stories 100 --shots 20 --characters 3 --gap 6
      --out hard-world"""


def register(group: typer.Typer) -> None:
    """Add the commands to `stbench suite`."""
    group.command("add", epilog=_ADD)(add)
    group.command("generate", epilog=_GENERATE)(generate)


def add(
    name: Annotated[str, typer.Argument(help="An official suite: st-bench.", show_default=False)],
    accept_licence: Annotated[bool, typer.Option("--accept-licence", help="I have read the licence and accept it.")] = False,
    from_: Annotated[Path | None, typer.Option("--from", metavar="DIR", help="Take the files from a folder.", show_default=False)] = None,
) -> None:
    """Fetch an official suite from its home, verified file by file.

    Its licence is shown and must be accepted. Nothing of it is part of this package.
    """
    from stbench.suites import official

    suite = official.official(name)
    if official.is_added(suite):
        print(f"{name} is there already, every checksum right; try: stbench suite show {name}", file=sys.stderr)
        return
    get = official.from_folder(suite, from_) if from_ is not None else official.from_home(suite)
    for line in [*suite.terms(), *official.licence_text(suite, get)]:
        print(line, file=sys.stderr)
    if not accept_licence:
        if not sys.stdin.isatty():
            raise UserError("its licence is not accepted", where=name, expected="--accept-licence", hint="read the text first")
        if not typer.confirm("Do you accept it?", err=True):
            raise UserError("its licence is not accepted", where=name, hint="nothing was fetched")
    folder = official.add(suite, get, on_file=_progress("file"))
    print(f"added {name}: {len(suite.files)} scripts, every checksum right, in {folder}", file=sys.stderr)
    print(f"try: stbench suite show {name}", file=sys.stderr)


def _progress(what: str) -> Callable[[int, int], None]:
    """Says at most every thousandth time, and at the end, how many are done; one file after another would flood a log."""

    def say(done: int, total: int) -> None:
        if done == total or done % 1000 == 0:
            print(f"  {what} {done} of {total}", file=sys.stderr)

    return say


def generate(
    name: Annotated[str | None, typer.Argument(help="world or world-mini, as bundled.", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="A new or empty folder.", show_default="the suite's name")] = None,
    world: Annotated[bool, typer.Option("--world", help="A new Story World suite of the size given below.")] = False,
    stories: Annotated[int, typer.Option(help="1 to 10000.")] = 30,
    shots: Annotated[int, typer.Option(help="Of each story, 2 to 1000.")] = 10,
    characters: Annotated[int, typer.Option(help="Of each story, 1 to 5.")] = 2,
    gap: Annotated[int, typer.Option(help="For how many shots the first character is away; 0: by chance.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Other stories of the same size.")] = 0,
) -> None:
    """Write a Story World suite as ST-Bench JSON; the same bytes on every machine."""
    from stbench.suites import generate_suite
    from stbench.suites.generator import WorldPlan, write_world

    if world == (name is not None):
        found = "both a name and --world" if world else "neither a name nor --world"
        raise UserError(found, expected="world, world-mini, or --world with a size")
    if name is not None:
        if out is None:
            raise UserError("no folder", where="--out", expected="a new or empty folder")
        path = generate_suite(name, out)
    else:
        plan = WorldPlan(stories=stories, shots=shots, characters=characters, gap=gap, seed=seed)
        plan.check()
        done = _progress("story")
        path = write_world(plan, out or Path(plan.name), lambda number: done(number, stories))
    print(f"wrote {path}; try: stbench suite show {path}", file=sys.stderr)
