"""Errors of a script in the words of its author: which field, what was found, what was expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stbench.errors import did_you_mean


def field_path(loc: tuple[int | str, ...]) -> str:
    """("scenes", 0, "cut") → "scenes[0].cut".

    Example:
        >>> field_path(("scenes", 0, "cut", 2))
        'scenes[0].cut[2]'
    """
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.lstrip(".")


def explain(error: Mapping[str, Any]) -> str:
    """What is wrong, in the words of a script's author."""
    if error["type"] == "missing":
        return "the field is missing" + _near(str(error["loc"][-1]), error["input"])
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]).partition("|")[0]
    return f"found {one_line(repr(error['input']), 60)}"


def _near(field: str, data: Any) -> str:
    """What may have been meant: a key that nearly has the field's name."""
    question = did_you_mean(field, [str(key) for key in data], cutoff=0.75) if isinstance(data, dict) else None
    return f" ({one_line(question, 60).replace('did you mean', 'is it')})" if question else ""


def expected(error: Mapping[str, Any], place: str) -> dict[str, str]:
    """What would have been right, as arguments of a `UserError`."""
    if error["type"] == "value_error":
        said = str(error["ctx"]["error"]).partition("|")[2]
        return {"expected": said} if said else {}
    from stbench.script import FIELD_HELP

    name = re.sub(r"\[\d+\]$", "", place).rpartition(".")[2]
    is_entry = place.endswith("]") and name in FIELD_HELP
    whole, entry = FIELD_HELP.get(name, (str(error["msg"]), ""))
    return {"expected": entry if is_entry else whole}


def json_kind(data: Any) -> str:
    """What JSON calls a value."""
    return {list: "list", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}.get(type(data), "value")


def one_line(text: str, width: int) -> str:
    """Text on one line, cut to a width."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"
