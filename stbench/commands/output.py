"""What commands print, and how: examples in `--help`, one JSON object for programs, text of users' files made harmless."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any, TextIO

from stbench.errors import printable as printable


def examples(*commands: str) -> str:
    """An epilog that `--help` prints line by line."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


def print_json(data: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    print(json.dumps(data, ensure_ascii=False, allow_nan=False), flush=True)


def print_catalogue(what: str, json_wanted: bool) -> None:
    """Names of a kind of thing, each with one line about it; a `UserError` for an unknown kind."""
    from stbench.catalogue import catalogue

    entries = catalogue(what)
    missing = _missing(entries) if what == "methods" else {}
    if json_wanted:
        lacks = {name: {"missing": [need.to_json() for need in needs]} for name, needs in missing.items()}
        print_json({what: [{"name": name, "about": about, **lacks.get(name, {})} for name, about in entries]})
        return
    _print_columns(entries, sys.stdout)
    if missing:
        print("\nNot on this machine:", file=sys.stderr)
        _print_columns(sorted(_said_once(missing)), sys.stderr, indent="  ")
        print("\nstbench fetch METHOD    licences and sizes of its weights; with --yes, downloads them", file=sys.stderr)
        print("--set PLACE=PATH        says where a place of a recipe is; nothing is installed for you", file=sys.stderr)


def _missing(entries: list[tuple[str, str]]) -> dict[str, list[Any]]:
    """Method → what it lacks."""
    from stbench.needs import missing

    return {name: needs for name, _ in entries if (needs := missing(name))}


def _said_once(missing: dict[str, list[Any]]) -> Iterator[tuple[str, str]]:
    """(name, one line) of everything that is missing: weights once, whoever needs them, and the places of each recipe."""
    weights = {need.part: need.what for needs in missing.values() for need in needs if need.hub_id}
    yield from weights.items()
    for name, needs in missing.items():
        for need in needs:
            if not need.hub_id:
                yield f"{name} {need.part}", need.what + (f"; to get it: {need.get}" if need.get else "")


def _print_columns(entries: list[tuple[str, str]], file: TextIO, *, indent: str = "") -> None:
    """A name and a line each; on a terminal, lines that are too long go on under their beginning."""
    width = max((len(name) for name, _ in entries), default=0) + len(indent)
    columns = shutil.get_terminal_size().columns if file.isatty() else 0
    for name, about in entries:
        line = f"{indent + name:<{width}}  {about}".rstrip()
        if columns > 2 * width:
            line = textwrap.fill(line, columns, subsequent_indent=" " * (width + 2), break_on_hyphens=False)
        print(line, file=file)
