"""A name → object table with lazy `"module:attribute"` strings, duplicate errors and did-you-mean.

The only extension mechanism of the project: built-in names are strings, so that listing them imports nothing heavy;
installed packages add theirs through the entry-point groups `stbench.methods` and `stbench.metrics`.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

from stbench.errors import UserError

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one kind of thing, resolved on first use.

    Args:
        kind: What the names stand for, singular ("method").
        group: Entry-point group through which other packages add names, or None.

    Example:
        >>> names = Registry[object]("codec")
        >>> names.add("json", "json:dumps")
        >>> names.get("json")({"a": 1})
        '{"a": 1}'
        >>> names.get("jsn")
        Traceback (most recent call last):
        ...
        stbench.errors.UserError: unknown codec 'jsn'; expected one of: json; did you mean 'json'?
    """

    def __init__(self, kind: str, group: str | None = None):
        self.kind, self.group = kind, group
        self._targets: dict[str, str] = {}
        self._families: dict[str, str] = {}  # pattern of names → module that has an attribute for each of them
        self._searched = False

    def add(self, name: str, target: str) -> None:
        """Register `target` ("module:attribute") under `name`; a second, different target is an error."""
        known = self._targets.get(name)
        if known is not None and known != target:
            raise UserError(f"{self.kind} {name!r} is registered twice: {known} and {target}")
        self._targets[name] = target

    def add_family(self, name: str, pattern: str, target: str) -> None:
        """Register all names that match `pattern` at once; `name` stands for them in lists.

        The module of `target` must have an attribute for each of them (a module's `__getattr__` may make it).

        Example:
            >>> names = Registry[object]("power")
            >>> names.add_family("e-N", "e[0-9]", "math:e")
            >>> names.names(), names.target("e7")
            (['e-N'], 'math:e7')
        """
        self.add(name, target)
        self._families[pattern] = target.partition(":")[0]

    def _search(self) -> None:
        if self.group is None or self._searched:
            return
        self._searched = True
        from importlib.metadata import entry_points

        for point in entry_points(group=self.group):
            self.add(point.name, point.value)

    def names(self) -> list[str]:
        """All names, sorted; imports nothing but entry-point metadata."""
        self._search()
        return sorted(self._targets)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def target(self, name: str) -> str:
        """The `"module:attribute"` string of `name`; a `UserError` with the nearest name if there is none."""
        if name not in self._targets:
            self._search()
        if name not in self._targets:
            family = next((module for pattern, module in self._families.items() if re.fullmatch(pattern, name)), None)
            if family is not None:
                return f"{family}:{name}"
            near = difflib.get_close_matches(name, self.names(), n=1)
            raise UserError(
                f"unknown {self.kind} {name!r}",
                expected="one of: " + ", ".join(self.names()),
                hint=f"did you mean {near[0]!r}?" if near else None,
            )
        return self._targets[name]

    def get(self, name: str) -> T:
        """The object behind `name`, imported now."""
        module, _, attribute = self.target(name).partition(":")
        return cast(T, getattr(importlib.import_module(module), attribute))
