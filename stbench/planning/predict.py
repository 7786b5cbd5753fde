"""Work on a device → seconds. A sum of what each resource takes, in closed form; nothing is fitted but one factor (`calibrate`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stbench.errors import UserError
from stbench.planning.devices import Device
from stbench.planning.work import StageWork

WHOLE = ""  # a factor for every stage that has none of its own

Factors = Mapping[str, float]  # stage → measured over computed


def computed_s(work: StageWork, device: Device, *, gpus: int = 1) -> float:
    """Seconds that the device computes for a stage, uncalibrated.

    Example:
        >>> from stbench.planning.devices import device_named
        >>> round(computed_s(StageWork(name="denoise", matmul_flops=742e12), device_named("h100")), 3)
        1.0
    """
    arithmetic = (
        work.matmul_flops / device.matmul_per_s + work.attention_flops / device.attention_per_s + work.conv_flops / device.conv_per_s
    )
    memory = work.moved_bytes / device.moved_per_s
    return (arithmetic + memory) / (gpus if work.shared else 1) + work.operations * device.operation_s


def sent_s(work: StageWork, device: Device) -> float:
    """Seconds of sending, over PCIe and to other GPUs, that nothing hides."""
    if work.exchanged_bytes and not device.link_per_s:
        raise UserError(f"{device.name} has no link to other GPUs", where="--gpus", expected="1")
    exchanged = work.exchanged_bytes / device.link_per_s if work.exchanged_bytes else 0.0
    return exchanged + work.pageable_bytes / device.pageable_per_s


def seconds(work: StageWork, device: Device, factors: Factors, *, gpus: int = 1) -> float:
    """Seconds of a stage: computing, or fetching weights where that takes longer, and sending."""
    factor = factors.get(work.name, factors.get(WHOLE, 1.0))
    busy = factor * computed_s(work, device, gpus=gpus)
    return max(busy, work.pinned_bytes / device.pinned_per_s) + sent_s(work, device)


def total_s(stages: Sequence[StageWork], device: Device, factors: Factors, *, gpus: int = 1) -> float:
    """Seconds of a whole shot."""
    return sum(seconds(work, device, factors, gpus=gpus) for work in stages)
