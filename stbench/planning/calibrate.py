"""One measured number that scales the arithmetic: the first row of a published table, or one shot of a run.

What a data sheet and an efficiency leave out (launches, gaps, kernels that are not perfect) is taken to be the same share everywhere, so
that one factor, measured over computed, stands for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from stbench.errors import UserError
from stbench.planning.devices import CPU, Device, devices
from stbench.planning.predict import WHOLE, computed_s, sent_s
from stbench.planning.published import Row, order_of, rows
from stbench.planning.work import Costing, Kind, Order, costing
from stbench.timing import WHOLE_SHOT

if TYPE_CHECKING:
    from stbench.store import RunFolder


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What scales the arithmetic, and where it comes from.

    Attributes:
        factors: Stage, or "" for all others, → measured over computed.
        other_s: Seconds of a shot that no counted stage explains.
        device: That it was measured on.
        source: For people.
    """

    factors: Mapping[str, float]
    other_s: float = 0.0
    device: Device
    source: str


@lru_cache(maxsize=1)
def published_calibration() -> Calibration:
    """From the first row of Wan2.2's table: one H100."""
    row: Row = rows()[0]
    cost = costing(order_of(row))
    device = devices()[row.device]
    stages = cost.stages(Kind(), cost.rooms(Kind())[0].placement)
    sent = sum(sent_s(stage, device) for stage in stages)
    factor = (row.seconds - sent) / sum(computed_s(stage, device) for stage in stages)
    source = f"Wan2.2's published {row.seconds:g} s for one video on one {device.name}: factor {factor:.3f}"
    return Calibration(factors={WHOLE: factor}, device=device, source=source)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A shot that was timed, as far as planning reads it.

    Attributes:
        id: Story and shot.
        seconds: Of the whole shot, less what it waited for a core.
        stages: Stage → seconds, waiting taken off in proportion.
        denoise: Facts that the sampling loop noted.
        gpu: Name of the GPU, "" on a CPU.
        warm: Models were loaded and had made such a shot before.
    """

    id: str
    seconds: float
    stages: Mapping[str, float]
    denoise: Mapping[str, Any]
    gpu: str
    warm: bool

    @property
    def kind(self) -> Kind:
        """What it cost, as planned."""
        return Kind(memory=int(self.denoise.get("memory", 0)), known=int(self.denoise.get("known", 0)))


@dataclass
class _Open:
    whole: Mapping[str, Any]
    stages: dict[str, float] = field(default_factory=dict)
    denoise: Mapping[str, Any] = field(default_factory=dict)


def shots_of(run: RunFolder) -> list[Shot]:
    """The shots of a run that were timed, in the order in which they were made."""
    found: list[_Open] = []
    for span in run.timings():
        if span.get("event") != "span" or not isinstance(span.get("seconds"), int | float):
            continue
        if span.get("stage") == WHOLE_SHOT:
            found.append(_Open(whole=span))
        elif found and (span.get("story"), span.get("shot")) == (found[-1].whole.get("story"), found[-1].whole.get("shot")):
            stage = str(span["stage"])
            found[-1].stages[stage] = found[-1].stages.get(stage, 0.0) + float(span["seconds"])
            if stage == "denoise":
                found[-1].denoise = span.get("detail") or {}
    return [_closed(shot) for shot in found]


def _closed(shot: _Open) -> Shot:
    whole, detail = shot.whole, shot.whole.get("detail") or {}
    on_cpu = not str(whole.get("device", "")).startswith("cuda")
    took = float(whole["seconds"])
    quiet = max(0.0, took - float(detail.get("cpu_wait_s", 0.0))) if on_cpu else took
    share = quiet / took if took else 1.0
    return Shot(
        id=f"{whole.get('story')} {whole.get('shot')}",
        seconds=quiet,
        stages={stage: seconds * share for stage, seconds in shot.stages.items()},
        denoise=shot.denoise,
        gpu=str((detail.get("gpu") or {}).get("name", "")) if not on_cpu else "",
        warm=bool(whole.get("warm")),
    )


def run_calibration(run: RunFolder) -> Calibration:
    """From the warm shot of a run whose time is the median.

    Raises:
        UserError: It has none with memory and steps noted, or ran on a GPU that has no data sheet here.
    """
    m = run.manifest
    shots = sorted((shot for shot in shots_of(run) if shot.warm and shot.denoise), key=lambda shot: shot.seconds)
    if not shots:
        raise UserError(
            "has no warm shot with a noted sampling loop", where=str(run.path), hint="film at least three shots with stbench run"
        )
    shot = shots[len(shots) // 2]
    device = _device(shot, run)
    cost = costing(Order(method=m.method, model=m.model, options=m.options))
    return calibration_of(shot, cost, device, _placement(shot, cost, run), source=f"shot {shot.id} of {run.name}, {shot.seconds:.3g} s")


def calibration_of(shot: Shot, cost: Costing, device: Device, placement: str, *, source: str) -> Calibration:
    """Factors of the stages that one shot measured; what no stage explains stays as it is."""
    factors = {}
    for work in cost.stages(shot.kind, placement):
        computed = computed_s(work, device)
        if computed > 0 and work.name in shot.stages:
            factors[work.name] = max(0.0, shot.stages[work.name] - sent_s(work, device)) / computed
    other = max(0.0, shot.seconds - sum(shot.stages[name] for name in factors))
    factors[WHOLE] = factors.get("denoise", 1.0)
    return Calibration(factors=factors, other_s=other, device=device, source=source)


def _device(shot: Shot, run: RunFolder) -> Device:
    if not run.manifest.device.startswith("cuda"):
        return CPU
    key = match_gpu(shot.gpu)
    if key is None:
        raise UserError(f"ran on {shot.gpu or 'a GPU without a name'}", where=str(run.path), expected="one of: " + ", ".join(devices()))
    return devices()[key]


def match_gpu(name: str) -> str | None:
    """The device that a driver's name means.

    Example:
        >>> [match_gpu(name) for name in ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA GeForce RTX 4090", "Tesla T4")]
        ['h100', 'a100-80', 'rtx-4090', None]
    """
    words = re.sub(r"[^a-z0-9]+", "", name.lower())
    known = {"h100": "h100", "h200": "h200", "a100": "a100-80", "l40s": "l40s", "rtx4090": "rtx-4090", "rtx5090": "rtx-5090"}
    return next((key for part, key in known.items() if part in words), None)


def _placement(shot: Shot, cost: Costing, run: RunFolder) -> str:
    """Where the weights were, as the shot's record notes it; resident where it does not."""
    story, _, id = shot.id.partition(" ")
    record = run.record(story, id)
    return str(record.notes.get("placement", "resident")) if record else "resident"
