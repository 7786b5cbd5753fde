"""Numbers that papers print, as data with their source: reference rows to read measured ones against, never mixed with them.

A published row has no seeds, no interval and settings that the paper does not tell, so it takes no part in any comparison, mark of
best or gate. One JSON file per protocol lies beside this file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """What a paper prints about one method: metric name (as in this project) → value."""

    method: str
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """A table of a paper, whole, under the protocol that comes nearest to its own."""

    protocol: str
    title: str
    source: str
    suite: str
    note: str
    rows: tuple[PublishedRow, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The columns, in the paper's order."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.values))

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict."""
        rows = [{"method": row.method, "values": dict(row.values)} for row in self.rows]
        return {"title": self.title, "source": self.source, "suite": self.suite, "note": self.note, "rows": rows}


def published_tables(protocol: str) -> tuple[PublishedTable, ...]:
    """The tables that belong to a protocol; none for most.

    Example:
        >>> table = published_tables("storymem-paper")[0]
        >>> table.rows[-1].method, table.rows[-1].values["cross_shot_consistency"]
        ('StoryMem', 0.5065)
        >>> published_tables("world")
        ()
    """
    known = {path.stem: path for path in FOLDER.glob("*.json")}  # looked up, so that a name is never a path
    if protocol not in known:
        return ()
    data = json.loads(known[protocol].read_text(encoding="utf-8"))
    return tuple(
        PublishedTable(
            protocol=data["protocol"],
            title=table["title"],
            source=table["source"],
            suite=table["suite"],
            note=table["note"],
            rows=tuple(PublishedRow(method=row["method"], values=row["values"]) for row in table["rows"]),
        )
        for table in data["tables"]
    )
