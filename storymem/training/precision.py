"""Which numbers the trainings multiply in: bfloat16 where the processor has matrix units for it, float32 elsewhere.

Weights, gradients, norms and attention stay in float32 either way. On a CPU with AMX a bfloat16 product is 6-10 times faster than
a float32 one (137-189 against 1,070-1,786 GFLOP/s on one core, products of the sizes that occur here); on one without, it is many times
slower, so nothing is gained by forcing it. Two machines therefore do not train to the same last digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.nn import functional


@cache
def matmul_dtype() -> torch.dtype:
    """bfloat16 or float32, by what this processor is fast at."""
    return torch.bfloat16 if torch.cpu._is_amx_tile_supported() else torch.float32


_attention = functional.scaled_dot_product_attention


def _float32_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    with torch.autocast("cpu", enabled=False):
        return _attention(query.float(), key.float(), value.float(), *args, **kwargs).to(query.dtype)


@contextmanager
def mixed() -> Iterator[None]:
    """The autocast of a training's forward pass; does nothing where `matmul_dtype` is float32.

    Attention is kept in float32 inside: torch's bfloat16 backward pass of it is five times slower on a CPU.
    """
    if matmul_dtype() == torch.float32:
        yield
        return
    functional.scaled_dot_product_attention = _float32_attention
    try:
        with torch.autocast("cpu", torch.bfloat16):
            yield
    finally:
        functional.scaled_dot_product_attention = _attention
