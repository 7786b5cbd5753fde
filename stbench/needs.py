"""What a method needs that does not come with the package: published weights, and the places of recipes. What of it is here, what is not.

Nothing heavy is imported to say that something is missing; whether what is here is whole costs the imports of those who read it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stbench.errors import UserError
from stbench.methods import METHODS

REPOSITORIES, HUB = "storymem.repositories", "storymem.hub"  # reached by name: the harness imports no method
PUBLISHED = "wan2.2-a14b"  # the model whose weights are meant
KEYFRAMED, RECIPES, STORYMEM = "stbench.baselines.", "stbench.external.", ("storymem.method", "storymem.presets")


@dataclass(frozen=True, kw_only=True)
class Need:
    """One thing that is not on this machine.

    Attributes:
        part: Its name, as in `--set weights.PART=…`, or for a recipe `--set PART=…`.
        what: What it is; of weights also hub id, licence and size.
        get: The command that gets it; empty where none is known.
        hub_id: Of weights.
        licence: Of weights.
        size_bytes: Of weights, about.
    """

    part: str
    what: str
    get: str
    hub_id: str | None = None
    licence: str | None = None
    size_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict of what is known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def weights_of(method: str) -> dict[str, Any]:
    """Part → repository of the weights that a method films with when `--model` is `PUBLISHED`; empty for methods without any.

    Example:
        >>> list(weights_of("storydiffusion")), list(weights_of("wan-i2v-chain")), list(weights_of("videos"))
        (['sdxl', 'm2v'], ['t2v', 'm2v'], [])
    """
    published: Any = importlib.import_module(REPOSITORIES)
    if draws(method):
        return {**_class(method).repositories(), "m2v": published.PARTS["m2v"]}
    ours = METHODS.target(method).partition(":")[0] in STORYMEM
    return {part: published.PARTS[part] for part in published.OF_METHOD.get(method, published.PARTS if ours else ())}


def draws(method: str) -> bool:
    """Whether a method draws keyframes with weights of its own, so that it cannot run on the model of the package alone."""
    return METHODS.target(method).startswith(KEYFRAMED) and hasattr(METHODS.get(method), "repositories")


def state(method: str, part: str, *, mode: str = "mi2v", into: Path | None = None) -> str:
    """Whether a part of a method's weights is on this machine (or in the folder `into`): "here (PATH)", "incomplete (…)" or "missing"."""
    published: Any = importlib.import_module(REPOSITORIES)
    wanted = weights_of(method)[part]
    path = (published.in_root(into, wanted) if into else None) or published.local(wanted)
    if path is None:
        return "missing"
    if part in published.PARTS:
        found: str = importlib.import_module(HUB).state(part, mode=mode, into=into)
        return found
    try:
        _class(method).check_part(part, path)
    except UserError as error:
        return f"incomplete ({error.what})"
    return f"here ({path})"


def missing(method: str) -> list[Need]:
    """What a method needs and this machine lacks."""
    if METHODS.target(method).startswith(RECIPES):
        places: Mapping[str, Any] = _class(method).lacking
        return [Need(part=name, what=place.what, get=place.get) for name, place in places.items()]
    return [
        Need(
            part=part,
            what=f"{wanted.what}: {wanted.about()}" + ("" if found == "missing" else f", {found}"),
            get=f"stbench fetch {method} --part {part}",
            hub_id=wanted.hub_id,
            licence=wanted.licence,
            size_bytes=wanted.size_bytes,
        )
        for part, wanted in weights_of(method).items()
        if not (found := state(method, part)).startswith("here")
    ]


def _class(method: str) -> Any:
    return METHODS.get(method)
