"""`stbench fetch`: the one command that downloads weights, and only after their licences were shown and accepted."""

from __future__ import annotations

import importlib
import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stbench.errors import UserError

HUB = "storymem.hub"
MODES = ("mi2v", "mm2v")
_EPILOG = """\b
Examples:
  stbench fetch wan2.2-a14b
  stbench fetch wan2.2-a14b --into /data/models --yes
  stbench fetch wan2.2-a14b --part lora --mode mm2v --into /data/models --yes

\b
A download that broke off continues when the command is repeated."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(fetch)


def fetch(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of `stbench list models`.", show_default=False)],
    into: Annotated[Path, typer.Option(help="Folder of downloads; each repository gets a folder in it.")] = Path("models"),
    part: Annotated[
        list[str] | None, typer.Option(help="Only one of t2v, m2v, lora, clip, hpsv3, qwen2-vl; may be repeated.", show_default="all")
    ] = None,
    mode: Annotated[str, typer.Option(help="Which memory adapters: mi2v or mm2v.")] = "mi2v",
    yes: Annotated[bool, typer.Option("--yes", help="I accept the licences: download now.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Show the licences and sizes of a model's weights and, with --yes, download what is not here yet."""
    hub: Any = importlib.import_module(HUB)
    wanted = _wanted(hub, model, part or list(hub.PARTS), mode)
    report = []
    for name, repository in wanted.items():
        state = hub.state(name, mode=mode, into=into)
        print(f"{name:<5} {repository.what}: {repository.about()}  {state}", file=sys.stderr)
        path = None
        if yes and not state.startswith("here"):
            path = hub.fetch(repository, into, roles=hub.roles_of(name))
            state = f"here ({path})"
            print(f"{name:<5} {state}", file=sys.stderr)
        report.append({"part": name, "repository": repository.hub_id, "licence": repository.licence, "state": state})
    ready = all(str(entry["state"]).startswith("here") for entry in report)
    if json:
        print(json_module.dumps({"model": model, "ready": ready, "parts": report}, ensure_ascii=False), flush=True)
    if ready:
        found = all(hub.local(repository) for repository in wanted.values())
        first = "" if found else f"export {hub.ENVIRONMENT}={into} && "
        print(f"ready; next: {first}stbench run --method storymem --model {model}", file=sys.stderr)
    elif not yes:
        print("nothing was downloaded; read the licences, then add --yes", file=sys.stderr)


def _wanted(hub: Any, model: str, parts: list[str], mode: str) -> dict[str, Any]:
    """Part → repository, all names checked."""
    profiles: Any = importlib.import_module("storymem.profiles")
    if model != profiles.WAN.name:
        note = "its weights come with the package" if model in profiles.NAMES else f"no model {model!r}"
        raise UserError(note, where="stbench fetch", expected=profiles.WAN.name)
    for part in parts:
        if part not in hub.PARTS:
            raise UserError(f"part {part!r}", where="--part", expected=f"one of: {', '.join(hub.PARTS)}")
    if mode not in MODES:
        raise UserError(f"mode {mode!r}", where="--mode", expected=f"one of: {', '.join(MODES)}")
    return {part: hub.repository(part, mode) for part in dict.fromkeys(parts)}
