"""Secrets, home folders and user names stay out of what is stored: manifests, journals and the command lines in them.

A run folder is meant to be shared. What is hidden: values of environment variables whose names speak of secrets, tokens of
well-known shapes, user names and passwords in URLs, the home folder (it becomes `~`) and users' names in other paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

HIDDEN = "[hidden]"
SECRET_NAME = re.compile(r"TOKEN(?!IZ)|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.IGNORECASE)
SHAPES = re.compile(
    r"hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|sk-[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{16}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}"
)
IN_URL = re.compile(r"(?<=://)[^/\s@:]+(:[^/\s@]*)?(?=@)")
IN_HOMES = re.compile(r"(?<=/home/)[^/\s\"':]+|(?<=/Users/)[^/\s\"':]+|(?<=\\Users\\)[^\\\s\"':]+")
PART_ENDS = r"(?=[/\\\s\"':,;)]|$)"  # of a path
NOBODY = ("root", "user", "ubuntu", "runner")  # login names that tell nothing, and are parts of many paths
Rules = tuple[tuple[re.Pattern[str], str], ...]
LEAST = 6  # a secret shorter than this would hide ordinary words


def redacted(value: Any) -> Any:
    """A JSON-able value with every string cleaned; numbers and structure stay.

    Example:
        >>> redacted({"url": "https://alice:pw@host/x", "n": 1})
        {'url': 'https://[hidden]@host/x', 'n': 1}
    """
    return _cleaned(value, _rules(tuple(os.environ.items())))


def _cleaned(value: Any, rules: Rules) -> Any:
    if isinstance(value, str):
        for pattern, word in rules:
            value = pattern.sub(word, value)
        return value
    if isinstance(value, Mapping):
        return {key: _cleaned(part, rules) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(part, rules) for part in value]
    return value


@lru_cache(maxsize=4)
def _rules(environment: tuple[tuple[str, str], ...]) -> Rules:
    """What to look for and what to put in its place, in order; found once per environment, since every line of a journal asks."""
    secrets = {value for name, value in environment if SECRET_NAME.search(name) and len(value) >= LEAST}
    return (
        *((re.compile(re.escape(secret)), HIDDEN) for secret in sorted(secrets, key=len, reverse=True)),
        (SHAPES, HIDDEN),
        (IN_URL, HIDDEN),
        *((re.compile(re.escape(folder) + PART_ENDS), "~") for folder in _homes()),
        *((re.compile(r"(?<=[/\\])" + re.escape(name) + PART_ENDS), HIDDEN) for name in _users()),
        (IN_HOMES, HIDDEN),
    )


def _homes() -> list[str]:
    """The home folder as it is written and as it resolves; never the root."""
    found = []
    for name in ("HOME", "USERPROFILE"):
        home = os.environ.get(name)
        if home and len(home) > 2:
            found += [home.rstrip("/\\"), str(Path(home).resolve())]
    return sorted({home for home in found if len(home) > 2}, key=len, reverse=True)


def _users() -> set[str]:
    """Login names of whoever runs this."""
    return {name for variable in ("USER", "LOGNAME", "USERNAME") if (name := os.environ.get(variable)) and name not in NOBODY}
