"""The command `storymem`: the generator alone, for someone who wants a film and no benchmark.

A film is made in a folder that can be continued, as `stbench run` makes it, without suites and scores.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from stbench.errors import EXIT_OK, EXIT_PARTIAL

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
_EPILOG = """\b
Examples:
  storymem generate my-story.json
  storymem generate my-story.json --reference hero.png --seed 7
  storymem generate my-story.json --model wan2.2-a14b --set placement=group-offload
  torchrun --nproc-per-node 4 -m storymem generate my-story.json --model wan2.2-a14b"""


@app.callback()
def storymem() -> None:
    """Multi-shot films with a memory."""


@app.command(epilog=_EPILOG)
def generate(
    story: Annotated[Path, typer.Argument(metavar="STORY.json", help="A script in ST-Bench's format.", show_default=False)],
    model: Annotated[str, typer.Option(help="A model profile, a hub id or a model folder.")] = "world",
    out: Annotated[Path | None, typer.Option(help="Folder of the film.", show_default="films/<script>-s<seed>")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Each shot derives its own from it.")] = 0,
    reference: Annotated[
        list[str] | None, typer.Option(metavar="IMAGE", help="A picture that memory starts with; may be repeated.", show_default=False)
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of StoryMem; may be repeated.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Film a story. The same command continues; the path of the film is printed on stdout."""
    from stbench.config import RunConfig, check_device, parse_options
    from stbench.display import make_display
    from stbench.runner import run
    from stbench.story import safe_id
    from stbench.workers import helped, led

    config = RunConfig(
        method="storymem",
        suite=str(story),
        model=model,
        seed=seed,
        options=parse_options(set_ or []),
        references=tuple(reference or ()),
        out=out or Path("films") / f"{safe_id(story.stem)}-s{seed}",
        device=check_device(device),
        score=False,
    )
    if helped(config):
        return
    with led(config), make_display() as display:
        outcome = run(config, display)
    for path in outcome.paths["films"]:
        print(path, flush=True)
    if outcome.verdict != "complete":
        print(f"partial: {outcome.done} of {outcome.expected} shots; the same command continues", file=sys.stderr)
    raise typer.Exit(EXIT_OK if outcome.verdict == "complete" else EXIT_PARTIAL)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point; errors and signals as `stbench` has them."""
    from stbench.cli import run_app

    run_app(app, "storymem", arguments)


if __name__ == "__main__":
    main()
