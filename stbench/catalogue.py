"""`stbench list`: names that commands take, with one line each. Reads docstrings without importing what they describe."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path
from typing import Any

from stbench.errors import UserError
from stbench.registry import Registry

REGISTRIES = {"methods": "stbench.methods:METHODS", "metrics": "metrics.base:METRICS", "protocols": "metrics.protocols:PROTOCOLS"}
MODELS = "storymem.profiles"
OWN = ("stbench", "storymem")  # packages with methods of this project
KINDS: Registry[Any] = Registry("kind of thing")
for _kind in (*REGISTRIES, "models", "suites"):
    KINDS.add(_kind, _kind)


def catalogue(kind: str) -> list[tuple[str, str]]:
    """(name, one line about it) of everything of a kind, sorted by name.

    Raises:
        UserError: Unknown kind.
    """
    KINDS.target(kind)  # an unknown kind is refused, with the nearest name
    if kind == "models":
        return _models()
    if kind == "suites":
        return _suites()
    registry: Registry[Any] = load(REGISTRIES[kind])
    return [(name, about(registry, name) + (_lacking(name) if kind == "methods" else "")) for name in registry]


def load(target: str) -> Any:
    """The object behind "module:attribute"."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def own_methods() -> list[tuple[str, str]]:
    """(name, one line about it) of every method of this project, whatever else is installed and whatever this machine lacks."""
    registry: Registry[Any] = load(REGISTRIES["methods"])
    own = [name for name in registry if registry.target(name).partition(".")[0] in OWN]
    return [(name, about(registry, name, here=False)) for name in own]


def about(registry: Registry[Any], name: str, *, here: bool = True) -> str:
    """First line of the docstring of a registered class; of a protocol or a recipe, its title.

    Args:
        registry: Where it is registered.
        name: Its name.
        here: Whether to say what of it is missing on this machine.
    """
    module, _, attribute = registry.target(name).partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return f"({module} is not installed)"
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == attribute:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return str(getattr(registry.get(name), "title" if here else "about", ""))


def _lacking(method: str) -> str:
    """Which weights of a method are not here, by part; recipes say in their titles what they lack."""
    from stbench import needs

    parts = [need.part for need in needs.missing(method) if need.hub_id]
    where = "" if needs.draws(method) else f"with --model {needs.PUBLISHED} "
    return f" ({where}missing here: {', '.join(parts)})" if parts else ""


def _models() -> list[tuple[str, str]]:
    profiles = importlib.import_module(MODELS)
    entries: list[tuple[str, str]] = []
    for name in profiles.NAMES:
        try:
            entries.append((name, profiles.about(name)))
        except UserError as error:
            entries.append((name, f"not ready: {error}"))
    return entries


def _suites() -> list[tuple[str, str]]:
    """From their indexes alone: a suite may be large."""
    from stbench.suites import find_suite, list_suites

    suites = [(name, find_suite(name)) for name in list_suites()]
    return [(name, f"{len(suite.entries)} stories, {suite.shots} shots, {suite.cuts} cuts: {suite.description}") for name, suite in suites]
