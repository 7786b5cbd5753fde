"""What a device can do: a data sheet's numbers, and the part of them that real kernels reach.

Numbers are of dense arithmetic, in operations and bytes per second. Where an efficiency has no source it is an assumption, the same for
all devices of a family, and every plan says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from stbench.errors import UserError, did_you_mean

FILE = Path(__file__).with_name("devices.json")
MEMORY_EFFICIENCY = 0.85  # of the bandwidth, for operations that read and write whole tensors
CONV_EFFICIENCY = 0.4  # of the TF32 peak, for 3-D convolutions in float32
LINK_EFFICIENCY = 0.8  # of NVLink, and of PCIe from pinned memory
PAGEABLE_EFFICIENCY = 0.25  # of PCIe, from and to memory that is not pinned
ASSUMED = (
    "matrix products reach 75% of the data sheet's peak on data-centre GPUs (60% on the L40S, 85% on GeForce)",
    f"convolutions reach {CONV_EFFICIENCY:.0%} of the TF32 peak, memory {MEMORY_EFFICIENCY:.0%} of its bandwidth",
    f"NVLink and PCIe from pinned memory reach {LINK_EFFICIENCY:.0%}, PCIe from pageable memory {PAGEABLE_EFFICIENCY:.0%}",
    "operations that are bound by memory do not overlap with those that are bound by arithmetic",
)


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device.

    Attributes:
        key: As `--device` names it.
        name: What it is.
        memory_bytes: On it; None where it was not looked up.
        matmul_per_s: Operations of matrix products that kernels reach.
        attention_per_s: Of attention.
        conv_per_s: Of convolutions.
        moved_per_s: Bytes of its own memory.
        pageable_per_s: Bytes over PCIe from pageable memory, one way.
        pinned_per_s: From pinned memory.
        link_per_s: Bytes to the other GPUs of a machine, one way; 0: there is no such link.
        operation_s: Time of a call of the tensor library that nothing hides.
        source: Of its numbers.
        assumed: What has no source.
    """

    key: str
    name: str
    memory_bytes: float | None
    matmul_per_s: float
    attention_per_s: float
    conv_per_s: float
    moved_per_s: float
    pageable_per_s: float
    pinned_per_s: float
    link_per_s: float
    operation_s: float = 0.0
    source: str
    assumed: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def devices() -> dict[str, Device]:
    """All devices that have a data sheet here."""
    found = {}
    for key, row in json.loads(FILE.read_text(encoding="utf-8")).items():
        attention = row["attention_source"]
        found[key] = Device(
            key=key,
            name=row["name"],
            memory_bytes=row["memory_gib"] * 2**30,
            matmul_per_s=row["matmul"] * row["bf16_flops"],
            attention_per_s=row["attention"] * row["bf16_flops"],
            conv_per_s=CONV_EFFICIENCY * row["tf32_flops"],
            moved_per_s=MEMORY_EFFICIENCY * row["bytes_per_s"],
            pageable_per_s=PAGEABLE_EFFICIENCY * row["pcie_bytes_per_s"],
            pinned_per_s=LINK_EFFICIENCY * row["pcie_bytes_per_s"],
            link_per_s=LINK_EFFICIENCY * row["link_bytes_per_s"],
            source=f"{row['source']}; attention at {row['attention']:.0%}: {attention}",
            assumed=ASSUMED,
        )
    return found


def device_named(key: str) -> Device:
    """A device by its name; a `UserError` with the nearest one."""
    known = devices()
    if key not in known:
        raise UserError(f"found {key!r}", where="--device", expected="one of: " + ", ".join(known), hint=did_you_mean(key, known))
    return known[key]


CPU = Device(  # the shape of one core, assumed; its speed is that of a measured shot
    key="cpu",
    name="the CPU of that run",
    memory_bytes=None,
    matmul_per_s=80e9,
    attention_per_s=80e9,
    conv_per_s=80e9,
    moved_per_s=10e9,
    pageable_per_s=float("inf"),
    pinned_per_s=float("inf"),
    link_per_s=0.0,
    operation_s=5e-6,
    source="none for a CPU",
    assumed=("a core's products, memory and calls stand as 80 GFLOP/s to 10 GB/s to 5 us; one measured shot scales all three",),
)
