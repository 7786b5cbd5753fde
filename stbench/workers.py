"""One command in several processes (torchrun): the first one runs it, the others help its method.

What a run does, claims and writes is rank 0's alone. The others build the same method and call its `serve(device)`, again and again,
until it says False; at the end of the command rank 0 tells them so with `release(device)`. Both are optional parts of a method.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stbench.errors import UserError

if TYPE_CHECKING:
    from stbench.config import RunConfig


def processes() -> int:
    """How many torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def helped(config: RunConfig) -> bool:
    """In every process but the first: help until the command is done, then True. In the first one (or the only one): False."""
    if processes() == 1 or int(os.environ.get("RANK", "0")) == 0:
        return False
    from stbench.config import resolve_device
    from stbench.methods import METHODS

    method = METHODS.get(config.method).from_options(model=config.model, options=config.options)
    serve = getattr(method, "serve", None)
    while serve is not None and serve(resolve_device(config.device)):
        pass
    return True


@contextmanager
def led(config: RunConfig) -> Iterator[None]:
    """In the first process: let the others go when the `with` block is done without an error (with one, torchrun stops them)."""
    release = None
    if processes() > 1:
        from stbench.methods import METHODS

        release = getattr(METHODS.get(config.method), "release", None)
        if release is None:
            raise UserError(
                f"{config.method} runs in one process", where="torchrun", expected="a method that splits a shot, or no torchrun"
            )
    yield
    if release is not None:
        from stbench.config import resolve_device

        release(resolve_device(config.device))
