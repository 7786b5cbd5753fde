"""Commands of `stbench suite` that make suites: fetched, generated, written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stbench.commands.output import printable
from stbench.errors import UserError

if TYPE_CHECKING:
    from stbench.suites.authoring import Order

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

_NEW = """\b
Examples:
  stbench suite new my-story.json
  stbench suite new my-story.story.md
  stbench suite new fox.json --llm http://localhost:8000/v1 --model qwen3
      --idea "a fox learns to skate" --shots 10 --scenes 3

\b
The key of an endpoint comes from $STBENCH_LLM_KEY or $OPENAI_API_KEY.
Exit codes: 0 written, 2 nothing written."""
_PROMPT = """\b
Examples:
  stbench suite prompt --idea "a fox learns to skate" > prompt.txt
  stbench suite prompt --schema-only > script.schema.json"""
IdeaOption = Annotated[str, typer.Option(help="What the story is about.", show_default="left open")]
ShotsOption = Annotated[int, typer.Option(help="How many shots a model is asked for.")]
ScenesOption = Annotated[int, typer.Option(help="In how many scenes.")]
AppearanceOption = Annotated[str, typer.Option(help="Whether looks are told once (tests memory) or repeated (tests prompts).")]


def register(group: typer.Typer) -> None:
    """Add the commands to `stbench suite`."""
    group.command("add", epilog=_ADD)(add)
    group.command("new", epilog=_NEW)(new)
    group.command("prompt", epilog=_PROMPT)(prompt)
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


def new(
    out: Annotated[Path, typer.Argument(help="A new file; .json, .story.md or .story.yaml says the dialect.", show_default=False)],
    llm: Annotated[str | None, typer.Option(metavar="URL", help="An OpenAI-compatible endpoint writes it.", show_default=False)] = None,
    model: Annotated[str, typer.Option(help="Model that the endpoint is asked for.")] = "default",
    idea: IdeaOption = "",
    shots: ShotsOption = 10,
    scenes: ScenesOption = 3,
    appearance: AppearanceOption = "once",
    tries: Annotated[int, typer.Option(min=1, max=20, help="How often the model is asked, with what was wrong.")] = 3,
) -> None:
    """Begin a script: from a template, or written by a language model and checked.

    A model's script is checked by the loader and by the rules of lint; what is wrong is told to the model, which is asked again.
    """
    from stbench.dialects import write_text
    from stbench.dialects.convert import dialect_of
    from stbench.suites.authoring import Order, template

    if out.exists():
        raise UserError("exists already", where=str(out), expected="a new file", hint="nothing was changed")
    order = Order(idea=idea, shots=shots, scenes=scenes, appearance=appearance)
    order.check()
    script = template() if llm is None else _written_by_model(llm, model, order, tries, out)
    text = write_text(script, dialect_of(out) or "st-bench")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    print(f"wrote {out}; try: stbench suite lint {out}", file=sys.stderr)


def _written_by_model(url: str, model: str, order: Order, tries: int, out: Path) -> dict[str, Any]:
    from stbench.suites.llm import Draft, Endpoint, write_story

    def say(number: int, draft: Draft) -> None:
        print(f"  answer {number} of at most {tries}: {len(draft.errors)} errors, {len(draft.warnings)} warnings", file=sys.stderr)
        for problem in [*draft.errors, *draft.warnings][:5]:
            print(f"    {printable(problem)[:200]}", file=sys.stderr)

    endpoint = Endpoint(url=url, model=model)
    endpoint.check()
    draft = write_story(endpoint, order, tries, say)
    if draft.errors or draft.script is None:
        rejected = out.with_name(f"{out.name}.rejected.txt")
        rejected.parent.mkdir(parents=True, exist_ok=True)
        rejected.write_text(draft.text, encoding="utf-8")
        raise UserError(
            f"no valid script after {tries} answers; the last one: {draft.errors[0]}",
            where=endpoint.chat_url,
            hint=f"it is kept in {rejected}; more --tries or another model may do it",
        )
    return {**draft.script, "written_by": model, "design": {"appearance": order.appearance}}


def prompt(
    idea: IdeaOption = "",
    shots: ShotsOption = 10,
    scenes: ScenesOption = 3,
    appearance: AppearanceOption = "once",
    schema_only: Annotated[bool, typer.Option("--schema-only", help="Only the JSON schema of a script.")] = False,
) -> None:
    """Print a prompt that makes any language model write a script, schema included."""
    from stbench.schema import schema_text
    from stbench.suites.authoring import Order, authoring_prompt

    order = Order(idea=idea, shots=shots, scenes=scenes, appearance=appearance)
    order.check()
    print(schema_text() if schema_only else authoring_prompt(order), end="")
