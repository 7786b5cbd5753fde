"""From shots to a suite: seconds, hours, memory, money, and how many GPUs a deadline needs."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stbench.errors import UserError
from stbench.planning.calibrate import Calibration
from stbench.planning.devices import Device
from stbench.planning.predict import seconds
from stbench.planning.work import Costing, Kind, Order, Room

if TYPE_CHECKING:
    from stbench.story import Story

GIB = 2**30
HOUR_S = 3600.0
_DEADLINE = re.compile(r"(\d+(?:\.\d+)?)([mhd])")
_UNIT_S = {"m": 60.0, "h": HOUR_S, "d": 24 * HOUR_S}


@dataclass(frozen=True, kw_only=True)
class KindRow:
    """Shots of one kind: how many, and what each takes."""

    kind: Kind
    shots: int
    stages_s: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """Of one shot."""
        return math.fsum(self.stages_s.values())


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A placement: the most memory of any shot, and whether the device has it (None where its memory is not known)."""

    room: Room
    fits: bool | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A prediction.

    Attributes:
        order: What was planned.
        device: On what.
        calibration: What scales it.
        inputs: What was counted.
        assumed: What was not known.
        suite: Name of the suite.
        stories: How many.
        placements: Memory by placement.
        placement: The one that is planned with.
        rows: By kind of shot.
        gpu_hours: Of the whole suite on one GPU (or on the GPUs of one shot, each counted).
        longest_story_s: Which no number of GPUs shortens.
        gpus: That finish by the deadline; None without one, or where none does.
        deadline_s: Asked for.
        price: Per GPU-hour.
    """

    order: Order
    device: Device
    calibration: Calibration
    inputs: Mapping[str, Any]
    assumed: tuple[str, ...]
    suite: str
    stories: int
    placements: tuple[Placed, ...]
    placement: str
    rows: tuple[KindRow, ...]
    gpu_hours: float
    longest_story_s: float
    gpus: int | None = None
    deadline_s: float | None = None
    price: float | None = None

    @property
    def shots(self) -> int:
        """Of the suite."""
        return sum(row.shots for row in self.rows)

    @property
    def fits(self) -> bool:
        """Some placement fits the device, or nobody knows its memory."""
        return any(placed.fits is not False for placed in self.placements)

    @property
    def cost(self) -> float | None:
        """Of the suite, at the price."""
        return None if self.price is None else self.price * self.gpu_hours

    def to_json(self) -> dict[str, Any]:
        """One JSON-able object."""
        return {
            "verdict": "fits" if self.fits else "does not fit",
            "prediction": True,
            "method": self.order.method,
            "model": self.order.model,
            "setup": self.order.setup,
            "gpus_per_shot": self.order.gpus,
            "device": {"key": self.device.key, "name": self.device.name, "source": self.device.source},
            "calibration": {"source": self.calibration.source, "factors": dict(self.calibration.factors)},
            "inputs": dict(self.inputs),
            "assumed": list(self.assumed),
            "suite": {"name": self.suite, "stories": self.stories, "shots": self.shots},
            "placement": self.placement,
            "placements": [
                {
                    "placement": p.room.placement,
                    "device_bytes": p.room.device_bytes,
                    "host_bytes": p.room.host_bytes,
                    "at": p.room.at,
                    "fits": p.fits,
                }
                for p in self.placements
            ],
            "shots": [
                {"memory": row.kind.memory, "known": row.kind.known, "n": row.shots, "seconds": row.seconds, "stages": dict(row.stages_s)}
                for row in self.rows
            ],
            "gpu_hours": self.gpu_hours,
            "longest_story_hours": self.longest_story_s / HOUR_S,
            "cost": self.cost,
            "gpus_for_deadline": self.gpus,
        }


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a person asks beside."""

    price: float | None = None
    deadline_s: float | None = None
    placement: str | None = None
    suite: str = ""


def make_plan(order: Order, cost: Costing, stories: Sequence[Story], device: Device, calibration: Calibration, wishes: Wishes) -> Plan:
    """Predict a suite.

    Args:
        order: What is planned.
        cost: Its work.
        stories: Of the suite.
        device: On what.
        calibration: What scales the arithmetic.
        wishes: Price, deadline, placement.
    """
    by_story = [cost.kinds(story) for story in stories]
    kinds = sorted({kind for part in by_story for kind in part}, key=lambda kind: (kind.memory, kind.known))
    placements = _placements(cost, kinds, device)
    placement = _chosen(placements, wishes.placement)
    rows = {kind: _row(cost, kind, by_story, device, calibration, placement, order.gpus) for kind in kinds}
    lengths = [math.fsum(rows[kind].seconds for kind in part) for part in by_story]
    gpus = None if wishes.deadline_s is None else gpus_for(lengths, wishes.deadline_s)
    return Plan(
        order=order,
        device=device,
        calibration=calibration,
        inputs=cost.inputs,
        assumed=(*device.assumed, *cost.assumed),
        suite=wishes.suite,
        stories=len(stories),
        placements=placements,
        placement=placement,
        rows=tuple(rows.values()),
        gpu_hours=order.gpus * math.fsum(lengths) / HOUR_S,
        longest_story_s=max(lengths),
        gpus=None if gpus is None else order.gpus * gpus,
        deadline_s=wishes.deadline_s,
        price=wishes.price,
    )


def _row(
    cost: Costing, kind: Kind, by_story: Sequence[Sequence[Kind]], device: Device, calibration: Calibration, placement: str, gpus: int
) -> KindRow:
    stages = {work.name: seconds(work, device, calibration.factors, gpus=gpus) for work in cost.stages(kind, placement)}
    if calibration.other_s:
        stages["other"] = calibration.other_s
    return KindRow(kind=kind, shots=sum(part.count(kind) for part in by_story), stages_s=stages)


def _placements(cost: Costing, kinds: Sequence[Kind], device: Device) -> tuple[Placed, ...]:
    most: dict[str, Room] = {}
    largest = {kind.known: kind for kind in kinds}  # in order of memory: the last of each needs most
    for room in (room for kind in largest.values() for room in cost.rooms(kind)):
        known = most.get(room.placement)
        most[room.placement] = room if known is None or room.device_bytes > known.device_bytes else known
    limit = device.memory_bytes
    return tuple(Placed(room=room, fits=None if limit is None else room.device_bytes <= limit) for room in most.values())


def _chosen(placements: Sequence[Placed], wanted: str | None) -> str:
    """The placement that was asked for, or the first that fits, or the one that needs least."""
    names = [placed.room.placement for placed in placements]
    if wanted is not None:
        if wanted not in names:
            raise UserError(f"found {wanted!r}", where="--placement", expected="one of: " + ", ".join(names))
        return wanted
    return next((placed.room.placement for placed in placements if placed.fits is not False), names[-1])


def gpus_for(lengths_s: Sequence[float], deadline_s: float) -> int | None:
    """How many GPUs finish whole stories by a deadline; None where the longest story alone takes longer.

    A story's shots follow one another, so a story stays on one GPU. Longest first, each to the GPU that is free first.

    Example:
        >>> gpus_for([3.0, 3.0, 2.0, 2.0], 5.0), gpus_for([3.0, 3.0], 2.0)
        (2, None)
    """
    for gpus in range(max(1, math.ceil(math.fsum(lengths_s) / deadline_s - 1e-9)), len(lengths_s) + 1):
        free = [0.0] * gpus
        for length in sorted(lengths_s, reverse=True):
            heapq.heappush(free, heapq.heappop(free) + length)
        if max(free) <= deadline_s:
            return gpus
    return None


def parse_deadline(text: str) -> float:
    """Seconds of "90m", "24h" or "2d".

    Example:
        >>> parse_deadline("1.5h")
        5400.0
    """
    found = _DEADLINE.fullmatch(text.strip())
    if found is None or float(found[1]) == 0:
        raise UserError(f"found {text!r}", where="--deadline", expected="a number and m, h or d, such as 24h")
    return float(found[1]) * _UNIT_S[found[2]]
