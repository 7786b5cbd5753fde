"""Seals: a short hash inside each stored JSON object, over all the rest of it, so that one flipped bit anywhere is noticed.

A seal is against accidents (a failing disk, a slip in an editor), not against people: whoever can write the file can seal it.
What an older version wrote has no seal and is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stbench.keys import digest

FIELD = "seal"
CHARS = 16


def sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same object with its seal, which comes last.

    Example:
        >>> broken(sealed({"a": 1})), broken({**sealed({"a": 1}), "a": 2}), broken({"a": 1})
        (False, True, False)
    """
    bare = {name: value for name, value in data.items() if name != FIELD}
    return {**bare, FIELD: digest(bare)[:CHARS]}


def broken(data: Mapping[str, Any]) -> bool:
    """The object has a seal and is not what was sealed. False without a seal."""
    if FIELD not in data:
        return False
    try:
        return sealed(data)[FIELD] != data[FIELD]
    except (ValueError, RecursionError):  # NaN, or nested beyond reason: we never wrote that
        return True


class Lines:
    """The sealed lines of one file, read in order: once one has a seal, all later ones must."""

    def __init__(self) -> None:
        self._sealed = False

    def accepts(self, data: Mapping[str, Any]) -> bool:
        """The next line is as it was written."""
        self._sealed = self._sealed or FIELD in data
        return not broken(data) and (FIELD in data) == self._sealed
