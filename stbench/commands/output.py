"""What commands print, and how: examples in `--help`, one JSON object for programs, text of users' files made harmless."""

from __future__ import annotations

import json
from typing import Any

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
    if json_wanted:
        print_json({what: [{"name": name, "about": about} for name, about in entries]})
        return
    width = max((len(name) for name, _ in entries), default=0)
    for name, about in entries:
        print(f"{name:<{width}}  {about}".rstrip())
