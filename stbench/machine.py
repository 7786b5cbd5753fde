"""The machine while a shot was made: how busy it was, whether its clock jumped, and what the GPU's own driver says.

These facts decide later whether a time may be believed (`stbench.profiling.validity`). What a system does not tell is left out: no fact is
guessed. The GPU's driver is asked through NVML where the package `nvidia-ml-py` is installed (extra `nvml`).
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from stbench.timing import ON_HOST, resident_bytes

SLOWED = {  # bits of NVML's clocks event reasons that make a time wrong
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
POWER_CAP = 0x4  # usual on a GPU that works hard
_SCHEDULER = Path("/proc/self/schedstat")  # nanoseconds: on a core, waiting for one


class Watch:
    """A `with` block around the making of a shot; afterwards `seconds` and `facts()`.

    Args:
        device: Where the shot is made ("cpu", "cuda", "cuda:1").
    """

    def __init__(self, device: str):
        self._gpu = Gpu.of(device)
        self.began = self.seconds = 0.0
        self._facts: dict[str, Any] = {}

    def __enter__(self) -> Watch:
        self._gpu_before = self._gpu.read() if self._gpu else {}
        self._cpu, self._wall, self._waited = time.process_time(), time.time(), waited_s()
        self.began = time.perf_counter()
        return self

    def __exit__(self, *error: Any) -> None:
        self.seconds = time.perf_counter() - self.began
        waited = waited_s()
        facts: dict[str, Any] = {
            ON_HOST: resident_bytes(),
            "cpu_s": round(time.process_time() - self._cpu, 4),
            "clock_drift_s": round(time.time() - self._wall - self.seconds, 4),
            "cores": cores(),
            "processor": processor(),
        }
        if waited is not None and self._waited is not None:
            facts["cpu_wait_s"] = round(waited - self._waited, 4)
        if hasattr(os, "getloadavg"):
            facts["load_1m"] = round(os.getloadavg()[0], 2)
        if self._gpu:
            facts["gpu"] = self._gpu.between(self._gpu_before, self._gpu.read())
        self._facts = facts

    def facts(self) -> dict[str, Any]:
        """What was seen, JSON-able: see `stbench.profiling.reading.Facts` for the names."""
        return self._facts


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def processor() -> str:
    """What the processor calls itself."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def waited_s() -> float | None:
    """Seconds that the main thread was ready to run and had no core; None where the system does not count them."""
    try:
        return int(_SCHEDULER.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None


class Gpu:
    """One GPU as NVML sees it.

    Args:
        nvml: The module `pynvml`, initialised.
        handle: Of the device.
    """

    def __init__(self, nvml: Any, handle: Any):
        self._nvml, self._handle = nvml, handle

    @classmethod
    def of(cls, device: str) -> Gpu | None:
        """The GPU behind torch's name for it; None for a CPU, and where NVML is not there."""
        return _gpu(device) if device.startswith("cuda") else None

    def read(self) -> dict[str, Any]:
        """What NVML says now; what it does not know of this GPU is left out."""
        nvml, gpu = self._nvml, self._handle
        new = "nvmlDeviceGetCurrentClocksEventReasons"
        reasons = getattr(nvml, new if hasattr(nvml, new) else "nvmlDeviceGetCurrentClocksThrottleReasons")
        asked: dict[str, Callable[[], Any]] = {
            "energy_j": lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000,
            "reasons": lambda: int(reasons(gpu)),
            "temperature_c": lambda: int(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)),
            "clock_mhz": lambda: int(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)),
            "clock_max_mhz": lambda: int(nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM)),
            "processes": lambda: len(nvml.nvmlDeviceGetComputeRunningProcesses(gpu)),
        }
        found = {}
        for name, ask in asked.items():
            try:
                found[name] = ask()
            except nvml.NVMLError:
                continue
        return found

    def between(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
        """Facts of the time between two readings."""
        facts = {name: after[name] for name in ("temperature_c", "clock_mhz", "clock_max_mhz") if name in after}
        facts["name"] = self._name()
        if "energy_j" in before and "energy_j" in after:
            facts["energy_j"] = round(after["energy_j"] - before["energy_j"], 3)
        readings = [reading for reading in (before, after) if "reasons" in reading]
        if readings:
            bits = 0
            for reading in readings:
                bits |= reading["reasons"]
            facts["slowed"] = [word for bit, word in SLOWED.items() if bits & bit]
            facts["power_capped"] = bool(bits & POWER_CAP)
        counts = [reading["processes"] for reading in (before, after) if "processes" in reading]
        if counts:
            facts["other_processes"] = max(0, max(counts) - 1)  # this one is not told by its number: a container has numbers of its own
        return facts

    def _name(self) -> str:
        name = self._nvml.nvmlDeviceGetName(self._handle)
        return name.decode() if isinstance(name, bytes) else str(name)


@lru_cache(maxsize=16)
def _gpu(device: str) -> Gpu | None:
    try:
        import pynvml
    except ImportError:
        return None
    import torch

    unique = str(torch.cuda.get_device_properties(torch.device(device)).uuid)
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(unique if unique.startswith("GPU-") else f"GPU-{unique}")
    except pynvml.NVMLError:
        return None
    return Gpu(pynvml, handle)
