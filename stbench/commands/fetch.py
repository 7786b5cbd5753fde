"""`stbench fetch`: the one command that downloads weights, and only after their licences were shown and accepted."""

from __future__ import annotations

import importlib
import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stbench.errors import UserError

HUB, REPOSITORIES = "storymem.hub", "storymem.repositories"  # reached by name: the harness imports no method
WORLD = "world"
MODES = ("mi2v", "mm2v")
_EPILOG = """\b
Examples:
  stbench fetch wan2.2-a14b
  stbench fetch wan2.2-a14b --into /data/models --yes
  stbench fetch wan2.2-a14b --part lora --mode mm2v --into /data/models --yes
  stbench fetch storydiffusion
  stbench fetch ic-lora --part flux --part storyboard --into /data/models --yes

\b
A download that broke off continues when the command is repeated."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(fetch)


def fetch(
    model: Annotated[
        str, typer.Argument(metavar="MODEL|METHOD", help="wan2.2-a14b, or a method: then its weights alone.", show_default=False)
    ],
    into: Annotated[Path, typer.Option(help="Folder of downloads; each repository gets a folder in it.")] = Path("models"),
    part: Annotated[
        list[str] | None, typer.Option(help="Only this part, as t2v, m2v, lora or sdxl; may be repeated.", show_default="all")
    ] = None,
    mode: Annotated[str, typer.Option(help="Which memory adapters: mi2v or mm2v.")] = "mi2v",
    yes: Annotated[bool, typer.Option("--yes", help="I accept the licences: download now.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Show the licences and sizes of the weights of a model or a method and, with --yes, download what is not here yet."""
    from stbench import needs

    hub: Any = importlib.import_module(HUB)
    method = "storymem" if model == needs.PUBLISHED else model
    wanted = _wanted(method, model, part or [], mode)
    width = max(map(len, wanted))
    report = []
    for name, repository in wanted.items():
        state = needs.state(method, name, mode=mode, into=into)
        print(f"{name:<{width}} {repository.what}: {repository.about()}  {state}", file=sys.stderr)
        if yes and not state.startswith("here"):
            hub.fetch(repository, into, roles=hub.roles_of(name))
            state = needs.state(method, name, mode=mode, into=into)
            print(f"{name:<{width}} {state}", file=sys.stderr)
        facts = {"part": name, "repository": repository.hub_id, "licence": repository.licence, "state": state}
        report.append({**facts, "size_bytes": repository.size_bytes, "command": repository.command(into)})
    lacking = [entry for entry in report if not str(entry["state"]).startswith("here")]
    if json:
        print(json_module.dumps({"model": model, "ready": not lacking, "parts": report}, ensure_ascii=False), flush=True)
    if not lacking:
        found = all(hub.local(repository) for repository in wanted.values())
        first = "" if found else f"export {hub.ENVIRONMENT}={into} && "
        print(f"ready; next: {first}stbench run --method {method} --model {needs.PUBLISHED}", file=sys.stderr)
    elif not yes:
        print("nothing was downloaded; read the licences, then add --yes, or run:", file=sys.stderr)
        for entry in lacking:
            print(f"  {entry['command']}", file=sys.stderr)


def _wanted(method: str, model: str, parts: list[str], mode: str) -> dict[str, Any]:
    """Part → repository, all names checked."""
    from stbench.methods import METHODS
    from stbench.needs import PUBLISHED, weights_of

    where = "stbench fetch"
    if model == WORLD:
        raise UserError("its weights come with the package", where=where, expected=PUBLISHED)
    try:
        METHODS.target(method)
    except UserError as error:
        raise UserError(f"no model and no method {model!r}", where=where, expected=f"{PUBLISHED} or a method", hint=error.hint) from error
    known = weights_of(method)
    if not known:
        raise UserError("there is nothing that could be fetched for it", where=f"{where} {method}", hint="see `stbench list methods`")
    for part in parts:
        if part not in known:
            raise UserError(f"part {part!r}", where="--part", expected=f"one of: {', '.join(known)}")
    if mode not in MODES:
        raise UserError(f"mode {mode!r}", where="--mode", expected=f"one of: {', '.join(MODES)}")
    published: Any = importlib.import_module(REPOSITORIES)
    return {part: published.repository(part, mode) if part in published.PARTS else known[part] for part in dict.fromkeys(parts or known)}
