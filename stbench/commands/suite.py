"""`stbench suite`: look at suites, check and compare them; what makes new ones is in `suite_make`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stbench.commands import suite_make
from stbench.commands.output import examples, print_catalogue, print_json, printable

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
SuiteArgument = Annotated[str, typer.Argument(help="A bundled suite, a script, or a folder of scripts.", show_default=False)]


_LINT = """\b
Examples:
  stbench suite lint my-story.json
  stbench suite lint stbench-30
  stbench suite lint scripts/ --strict --json > lint.json

\b
Exit codes: 0 clean, 1 errors (with --strict also warnings), 2 no such suite."""
_STATS = examples("stbench suite stats stbench-30 world my-scripts/", "stbench suite stats stbench-30 --stories")
_CONVERT = """\b
Examples:
  stbench suite convert tale.json tale.story.md
  stbench suite convert tale.story.yaml tale.json
  stbench suite convert scripts/ memento-scripts/ --to memento"""


def register(app: typer.Typer) -> None:
    """Add the group of commands to the command line."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at suites, check them, convert them, make new ones.")
    group.command("list")(list_)
    group.command(
        "show",
        epilog=examples(
            "stbench suite show stbench-30", "stbench suite show stbench-30 --story tide_pool", "stbench suite show my-story.json --full"
        ),
    )(show)
    group.command("lint", epilog=_LINT)(lint)
    group.command("stats", epilog=_STATS)(stats)
    group.command("diff", epilog=examples("stbench suite diff old-scripts/ new-scripts/"))(diff)
    group.command("convert", epilog=_CONVERT)(convert)
    suite_make.register(group)
    app.add_typer(group, name="suite")


def list_(json: JsonFlag = False) -> None:
    """The suites that there are."""
    print_catalogue("suites", json)


def show(
    suite: SuiteArgument,
    story: Annotated[str | None, typer.Option(help="Id of a story: show its storyboard.", show_default=False)] = None,
    full: Annotated[bool, typer.Option("--full", help="The storyboards of all stories.")] = False,
    json: JsonFlag = False,
) -> None:
    """What is in a suite; with --story or --full, storyboards: shot by shot what is seen, and who is back after how long."""
    from stbench.suites import RunningDigest, find_suite
    from stbench.suites.storyboard import storyboard

    files = find_suite(suite)
    if (story is not None or full) and not json:
        for shown in [files.story(story)] if story is not None else files.stories():
            print("\n".join(printable(line) for line in storyboard(shown)) + "\n")
        return
    digest = RunningDigest()
    stories = []
    for entry in files.stories():
        digest.add(entry)
        stories.append({"id": entry.id, "name": entry.name, "shots": len(entry.shots), "cuts": entry.cuts})
    if json:
        print_json({"name": files.name, "version": files.version, "digest": digest.hex(), "stories": stories})
        return
    shots, cuts = (sum(int(str(row[name])) for row in stories) for name in ("shots", "cuts"))
    print(f"{files.name}  version {files.version}  digest {digest.hex()[:12]}  {len(stories)} stories, {shots} shots, {cuts} cuts")
    for row in stories:
        print(f"  {row['id']:<24} {row['shots']:>3} shots  {row['cuts']:>3} cuts  {printable(str(row['name']))[:36]}")


def lint(
    suite: SuiteArgument,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail as well.")] = False,
    notes: Annotated[bool, typer.Option("--notes", help="Show notes too; otherwise they are only counted.")] = False,
    most: Annotated[int, typer.Option("--max", min=0, help="How many problems to show; all are counted.")] = 50,
    json: JsonFlag = False,
) -> None:
    """Check scripts: fields, cuts, lengths for text encoders, repeats, wording, entities.

    Each problem names file, line and field. A suite with an index is also held to what its index promises.
    """
    from stbench.errors import EXIT_GATE_FAILED, EXIT_OK
    from stbench.suites import find_suite
    from stbench.suites.lint import Problem, summary
    from stbench.suites.lint import lint as run

    stream = sys.stderr if json else sys.stdout
    shown = hidden = 0

    def show_problem(problem: Problem) -> None:
        nonlocal shown, hidden
        if problem.level == "note" and not notes:
            return
        if shown < most:
            print(printable(problem.text()), file=stream)
        shown, hidden = shown + 1, hidden + (shown >= most)

    report = run(find_suite(suite), show_problem)
    if hidden:
        print(f"… and {hidden} more; --max shows them", file=stream)
    for line in summary(report):
        print(line, file=stream)
    if json:
        print_json(report.to_json(strict=strict))
    raise typer.Exit(EXIT_OK if report.clean(strict=strict) else EXIT_GATE_FAILED)


def stats(
    suites: Annotated[list[str], typer.Argument(metavar="SUITE...", help="Suites, scripts or folders of scripts.", show_default=False)],
    stories: Annotated[bool, typer.Option("--stories", help="A row per story instead, as a Markdown table.")] = False,
    json: JsonFlag = False,
) -> None:
    """Compare suites in a table: sizes, lengths, what encoders cut, returns of characters."""
    from stbench.suites import find_suite
    from stbench.suites.stats import measure, story_table, table

    files = [find_suite(suite) for suite in suites]
    if stories and not json:
        for entry in files:
            for line in story_table(entry):
                print(printable(line))
        return
    facts = [measure(entry) for entry in files]
    if json:
        print_json({"suites": [{"name": entry.name, **found.to_json()} for entry, found in zip(files, facts, strict=True)]})
        return
    for line in table([entry.name for entry in files], facts):
        print(line)


def diff(
    old: Annotated[str, typer.Argument(help="A suite, a script, or a folder.", show_default=False)],
    new: Annotated[str, typer.Argument(help="Another one.", show_default=False)],
    json: JsonFlag = False,
) -> None:
    """What changed between two suites, and from which shot on a run would film again."""
    from stbench.suites import find_suite
    from stbench.suites.stats import diff as compare

    changes = compare(find_suite(old), find_suite(new))
    if json:
        print_json({"changes": [{"story": c.story, "lines": list(c.lines), "refilm_from": c.refilm_from} for c in changes]})
        return
    for change in changes:
        again = f"  (films again from shot {change.refilm_from})" if change.refilm_from else ""
        print(f"{change.story}{again}")
        for line in change.lines:
            print(f"  {printable(line)}")
    print(f"{len(changes)} stories differ" if changes else "the same stories", file=sys.stderr)


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
