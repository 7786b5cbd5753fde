"""Schema numbers: older files are brought up to date when they are read, newer ones are refused with what they need.

Files on disk are never rewritten for it. A step takes the data of one schema and gives that of the next; a stored run of every
earlier schema is a fixture of the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stbench.errors import InvalidRunError
from stbench.seal import FIELD as SEAL
from stbench.seal import broken

CURRENT = 3
Step = Callable[[dict[str, Any]], dict[str, Any]]


def _record_2(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 stopped a story at the first failed shot, so no shot lacked an earlier one."""
    return {**data, "lacks": []}


def _manifest_2(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 did not film again to measure the spread."""
    return {**data, "repeat": None}


def _as_it_is(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 had no seals."""
    return data


STEPS: Mapping[tuple[str, int], Step] = {
    ("record", 1): _record_2,
    ("manifest", 1): _manifest_2,
    ("record", 2): _as_it_is,
    ("manifest", 2): _as_it_is,
}
FIRST_SEALED = 3


def migrated(kind: str, data: Any, *, where: Path) -> dict[str, Any]:
    """Data of the current schema, its number under `schema_number`; `intact` says whether it is what was written.

    Args:
        kind: "manifest" or "record".
        data: What the file holds.
        where: The file, for errors.

    Raises:
        InvalidRunError: Not an object, no schema number, or a number that this program does not know.
    """
    if not isinstance(data, dict):
        raise InvalidRunError(f"holds a JSON {type(data).__name__}", where=str(where), expected="an object")
    schema = data.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise InvalidRunError(f"has schema {schema!r:.40}", where=str(where), expected=f"a number from 1 to {CURRENT}")
    if schema > CURRENT:
        raise InvalidRunError(
            f"has schema {schema}",
            where=str(where),
            expected=f"at most {CURRENT}",
            hint=f"a newer stbench wrote it; update to one that knows schema {schema}",
        )
    intact = not broken(data) and (SEAL in data or schema < FIRST_SEALED)
    data = {key: value for key, value in data.items() if key not in ("schema", SEAL)}
    for number in range(schema, CURRENT):
        data = STEPS[kind, number](data)
    return {**data, "schema_number": CURRENT, "intact": intact}
