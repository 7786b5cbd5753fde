"""Wan2.2's published table of times and memory, and how far the arithmetic is from it, row by row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from stbench.planning.work import Kind, Order, costing

FILE = Path(__file__).with_name("wan22.json")
TIME_WITHIN, MEMORY_WITHIN = 0.20, 0.15
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Row:
    """One published time. `peak_gb` is of each GPU."""

    device: str
    method: str
    gpus: int
    seconds: float
    peak_gb: float


@dataclass(frozen=True, kw_only=True)
class Residual:
    """A published row and what the arithmetic says."""

    row: Row
    seconds: float
    peak_gb: float
    calibrated: bool  # the row that the factor comes from

    @property
    def time_error(self) -> float:
        """Predicted over published, less one."""
        return self.seconds / self.row.seconds - 1

    @property
    def memory_error(self) -> float:
        """Predicted over published, less one."""
        return self.peak_gb / self.row.peak_gb - 1

    @property
    def within(self) -> bool:
        """Both are as near as they should be."""
        return abs(self.time_error) <= TIME_WITHIN and abs(self.memory_error) <= MEMORY_WITHIN

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict."""
        return {
            **vars(self.row),
            "predicted_seconds": self.seconds,
            "predicted_peak_gb": self.peak_gb,
            "time_error": self.time_error,
            "memory_error": self.memory_error,
            "calibrated": self.calibrated,
            "within": self.within,
        }


@lru_cache(maxsize=1)
def table() -> Mapping[str, Any]:
    """The file."""
    data: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return data


def rows() -> list[Row]:
    """The published rows; the first is the one to calibrate with."""
    return [Row(**dict(zip(table()["columns"], row, strict=True))) for row in table()["rows"]]


def order_of(row: Row) -> Order:
    """The order that a row is the answer to."""
    return Order(method=row.method, model="a14b", options={}, setup="wan2.2", gpus=row.gpus)


def kind_of(method: str) -> Kind:
    """The kind of a published video."""
    return Kind(known=1 if method == "wan-i2v-chain" else 0)


def residuals() -> list[Residual]:
    """Every row, predicted after calibrating with the first alone."""
    from stbench.planning.calibrate import published_calibration
    from stbench.planning.devices import devices
    from stbench.planning.predict import total_s

    factors, found = published_calibration().factors, []
    for number, row in enumerate(rows()):
        cost, kind = costing(order_of(row)), kind_of(row.method)
        room = cost.rooms(kind)[0]
        took = total_s(cost.stages(kind, room.placement), devices()[row.device], factors, gpus=row.gpus)
        found.append(Residual(row=row, seconds=took, peak_gb=room.device_bytes / GB, calibrated=number == 0))
    return found
