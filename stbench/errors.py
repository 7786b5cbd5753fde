"""Errors a user can act on.

A `UserError` is printed as one line without a traceback and ends the program with its exit code. Anything else that is
raised is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

EXIT_OK = 0
EXIT_GATE_FAILED = 1
EXIT_USAGE = 2
EXIT_PARTIAL = 3
EXIT_INVALID = 4
EXIT_INTERRUPTED = 130


def did_you_mean(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """A question with the nearest of `names`, for an error's hint; None if none is near.

    Example:
        >>> did_you_mean("wrld", ["world", "world-mini"])
        "did you mean 'world'?"
    """
    from difflib import get_close_matches

    near = get_close_matches(name, list(names), n=1, cutoff=cutoff)
    return f"did you mean {near[0]!r}?" if near else None


def printable(text: str) -> str:
    r"""Text of a user's file as part of one line, without what could steer a terminal.

    Example:
        >>> printable("a\x1b[31m\nb")
        'a?[31m b'
    """
    return "".join(char if char.isprintable() else " " if char.isspace() else "?" for char in text)


class UserError(Exception):
    """Bad input: one clear line that says what was found, what was expected and what to do.

    Args:
        what: What is wrong ("field 'cut' has 3 entries").
        where: File, command or field that holds it.
        expected: What would have been right.
        hint: What to do next, if that is not obvious from `expected`.
    """

    exit_code = EXIT_USAGE

    def __init__(self, what: str, *, where: str | None = None, expected: str | None = None, hint: str | None = None):
        self.what, self.where, self.expected, self.hint = what, where, expected, hint
        line = f"{where}: {what}" if where else what
        if expected:
            line += f"; expected {expected}"
        if hint:
            line += f"; {hint}"
        super().__init__(re.sub(r"\s*[\r\n]\s*", " ", line))  # a library's message may have lines of its own


class InvalidRunError(UserError):
    """A run folder that cannot be trusted (foreign, half-made, altered)."""

    exit_code = EXIT_INVALID
