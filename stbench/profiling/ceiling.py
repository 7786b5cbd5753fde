"""What a device reaches at its best: one large matrix product, one large copy. The measure that utilisation is told against.

A data sheet's peak is of another clock, another power limit and another library than the run's; what this device does now is not.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

SIDE = {"cpu": 1024, "cuda": 8192}
COPY_BYTES = {"cpu": 2**26, "cuda": 2**31}
BUDGET_S = 0.25  # of each of the two, on a CPU; a GPU needs less
AT_LEAST = 3


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """The best of several tries.

    Attributes:
        flops_per_s: Of the product, two operations per multiply-add.
        bytes_per_s: Of the copy, read and written.
        dtype: Of the product.
        threads: On a CPU.
    """

    flops_per_s: float
    bytes_per_s: float
    dtype: str
    threads: int

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict."""
        return asdict(self)


def measure_ceiling(device: str, dtype: str | None = None) -> Ceiling:
    """Measure a device now.

    Args:
        device: "cpu", "cuda", …
        dtype: Of the product, as torch names it; by default float32 on a CPU, bfloat16 on a GPU.
    """
    import torch

    kind = torch.device(device).type
    dtype = dtype or ("float32" if kind == "cpu" else "bfloat16")
    side, count = SIDE[kind], COPY_BYTES[kind] // 4
    with torch.no_grad():
        left = torch.randn(side, side, device=device).to(getattr(torch, dtype))
        out = torch.empty_like(left)
        product_s = _best(lambda: torch.mm(left, left, out=out), device)
        source = torch.ones(count, device=device)
        target = torch.empty_like(source)
        copy_s = _best(lambda: target.copy_(source), device)
    return Ceiling(flops_per_s=2.0 * side**3 / product_s, bytes_per_s=8.0 * count / copy_s, dtype=dtype, threads=torch.get_num_threads())


def _best(work: Any, device: str) -> float:
    """Least seconds of several tries; the first is not counted."""
    import torch

    def once() -> float:
        began = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    once()
    best, spent, tries = float("inf"), 0.0, 0
    while tries < AT_LEAST or spent < BUDGET_S:
        took = once()
        best, spent, tries = min(best, took), spent + took, tries + 1
    return best
