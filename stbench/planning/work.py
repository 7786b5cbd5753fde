"""Work to be done, as a method's own package counts it; found by name, so that the harness imports no model."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from stbench.errors import UserError

if TYPE_CHECKING:
    from stbench.story import Story

PLANNERS = ("storymem.planning:PLANNER",)
SETUPS = ("storymem", "wan2.2")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be planned.

    Attributes:
        method: Its name.
        model: Its name.
        options: `--set` options.
        setup: "storymem": this package; "wan2.2": as its published table was made (one GPU with offload, several with FSDP and Ulysses).
        gpus: GPUs that share one shot; more than one with the setup "wan2.2" only.
        size: Height and width in pixels; None: the profile's.
        frames: Of a shot; None: the profile's.
    """

    method: str
    model: str
    options: Mapping[str, str]
    setup: str = "storymem"
    gpus: int = 1
    size: tuple[int, int] | None = None
    frames: int | None = None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Shots that cost the same: how many memory frames they see, and how many of their own frames are given."""

    memory: int = 0
    known: int = 0


@dataclass(frozen=True, kw_only=True)
class StageWork:
    """One stage of one shot.

    Attributes:
        name: As in the spans of a run.
        matmul_flops: Of matrix products, two operations per multiply-add.
        attention_flops: Of attention.
        conv_flops: Of convolutions.
        moved_bytes: That its operations read and write.
        operations: Calls of the tensor library: each costs the host some time, which a GPU hides and a CPU does not.
        pageable_bytes: Over PCIe while nothing computes.
        pinned_bytes: Over PCIe while the device computes.
        exchanged_bytes: That each GPU sends to the others of its shot.
        shared: Whether the GPUs of a shot share it; else each does all of it.
    """

    name: str
    matmul_flops: float = 0.0
    attention_flops: float = 0.0
    conv_flops: float = 0.0
    moved_bytes: float = 0.0
    operations: int = 0
    pageable_bytes: float = 0.0
    pinned_bytes: float = 0.0
    exchanged_bytes: float = 0.0
    shared: bool = False

    @property
    def flops(self) -> float:
        """All operations."""
        return self.matmul_flops + self.attention_flops + self.conv_flops


@dataclass(frozen=True, kw_only=True)
class Room:
    """Memory that a placement needs on each GPU, what the library itself takes included."""

    placement: str
    device_bytes: float
    at: str  # the stage that needs most
    host_bytes: float = 0.0


class Costing(Protocol):
    """The work of one order."""

    inputs: Mapping[str, Any]  # what was counted: steps, size, frames, memory, …
    assumed: Sequence[str]  # what was not known

    def kinds(self, story: Story) -> list[Kind]:
        """The kind of each shot of a story, in order."""
        ...

    def stages(self, kind: Kind, placement: str) -> list[StageWork]:
        """What a shot of this kind takes in a placement."""
        ...

    def rooms(self, kind: Kind) -> list[Room]:
        """Memory in each placement, the one that holds most on the device first."""
        ...


class Planner(Protocol):
    """Counts work for the methods that it knows."""

    methods: tuple[str, ...]

    def cost(self, order: Order) -> Costing:
        """The work of an order; a `UserError` for what cannot be."""
        ...


def costing(order: Order) -> Costing:
    """Count an order by the planner that knows its method."""
    known: list[str] = []
    for target in PLANNERS:
        module, _, attribute = target.partition(":")
        planner: Planner = getattr(importlib.import_module(module), attribute)
        if order.method in planner.methods:
            return planner.cost(order)
        known += planner.methods
    raise UserError(f"nobody counts the work of {order.method!r}", where="--method", expected="one of: " + ", ".join(known))
