"""May these times be believed? Every rule that fails is a reason; one reason makes a profile INVALID, and then it has no headline.

After MLPerf: accuracy and timing apart, VALID or INVALID with the failed rule and what to do, and never a latency from an invalid run.
What a run does not say is not assumed to have been well.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stbench.profiling.reading import ShotTiming, Timings

MIN_SHOTS = 5  # warm ones: fewer say nothing about the next
MAX_WAIT = 0.05  # of a shot's time: ready to run, and no core free
MAX_LOAD = 1.25  # per core, over the last minute, this process included
MAX_DRIFT = 0.01  # of a shot's time, and at least DRIFT_S: time of day against a clock that nobody sets
DRIFT_S = 0.25
MAX_CEILING_CHANGE = 0.10  # between two measurements of the same product


@dataclass(frozen=True, kw_only=True)
class Validity:
    """The word, and why.

    Attributes:
        reasons: Of INVALID, each with what to do.
        remarks: What a reader should know of a VALID one, too.
    """

    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """No rule failed."""
        return not self.reasons

    @property
    def word(self) -> str:
        """VALID or INVALID."""
        return "VALID" if self.valid else "INVALID"


def validity(timings: Timings) -> Validity:
    """Apply every rule."""
    warm = timings.warm
    reasons = [reason for rule in RULES for reason in rule(warm)] + list(_ceiling(timings))
    if timings.damaged:
        reasons.append(f"{timings.damaged} damaged lines in timing.jsonl: film again")
    capped = sum(bool(_gpu(shot).get("power_capped")) for shot in warm)
    remarks = [f"the GPU was at its power limit during {capped} of {len(warm)} shots, as it is under full load"] if capped else []
    if warm and warm[0].device.startswith("cuda") and not any(_gpu(shot) for shot in warm):
        remarks.append("NVML was not there (pip install 'stbench[nvml]'): throttling and other users of the GPU are not known")
    return Validity(reasons=tuple(reasons), remarks=tuple(remarks))


def _enough(warm: Sequence[ShotTiming]) -> Iterator[str]:
    if len(warm) < MIN_SHOTS:
        yield f"too few samples: {len(warm)} warm shots, at least {MIN_SHOTS} are needed: film more shots"


def _known(warm: Sequence[ShotTiming]) -> Iterator[str]:
    silent = sum("clock_drift_s" not in shot.facts for shot in warm)
    if silent:
        yield f"{silent} of {len(warm)} shots do not say how busy the machine was: film them again with this version"


def _one_machine(warm: Sequence[ShotTiming]) -> Iterator[str]:
    found = {(shot.device.partition(":")[0], shot.facts.get("processor"), _gpu(shot).get("name"), shot.facts.get("cores")) for shot in warm}
    if len(found) > 1:
        yield f"the shots were made on {len(found)} kinds of device: film them on one"


def _clock(warm: Sequence[ShotTiming]) -> Iterator[str]:
    drifts = [float(shot.facts.get("clock_drift_s", 0.0)) for shot in warm]
    bad = [drift for drift, shot in zip(drifts, warm, strict=True) if abs(drift) > max(DRIFT_S, MAX_DRIFT * shot.seconds)]
    if bad:
        worst = max(bad, key=abs)
        yield f"clock jump: the time of day moved by {worst:+.2f} s during {len(bad)} shots: set the clock or wake the machine first"


def _throttled(warm: Sequence[ShotTiming]) -> Iterator[str]:
    slowed = [shot for shot in warm if _gpu(shot).get("slowed")]
    if slowed:
        words = sorted({str(word) for shot in slowed for word in _gpu(shot)["slowed"]})
        yield f"throttled: {', '.join(words)} during {len(slowed)} of {len(warm)} shots: cool the GPU"


def _shared(warm: Sequence[ShotTiming]) -> Iterator[str]:
    others = [int(_gpu(shot).get("other_processes", 0)) for shot in warm]
    if any(others):
        yield f"shared GPU: up to {max(others)} other processes on it, in {sum(n > 0 for n in others)} of {len(warm)} shots: use one alone"


def _busy(warm: Sequence[ShotTiming]) -> Iterator[str]:
    shares = [float(shot.facts["cpu_wait_s"]) / shot.seconds for shot in warm if "cpu_wait_s" in shot.facts and shot.seconds > 0]
    if shares and (share := statistics.median(shares)) > MAX_WAIT:
        yield f"busy CPU: the shots waited {share:.0%} of their time for a core (at most {MAX_WAIT:.0%}): stop what else runs"
    loads = [float(shot.facts["load_1m"]) / max(1, int(shot.facts.get("cores", 1))) for shot in warm if "load_1m" in shot.facts]
    if not shares and loads and (load := statistics.median(loads)) > MAX_LOAD:
        yield f"busy CPU: a load of {load:.1f} per core (at most {MAX_LOAD:g}): stop what else runs"


def _ceiling(timings: Timings) -> Iterator[str]:
    speeds = [float(found["flops_per_s"]) for found in timings.ceilings if isinstance(found.get("flops_per_s"), int | float)]
    if len(speeds) > 1 and min(speeds) < (1 - MAX_CEILING_CHANGE) * max(speeds):
        change = 1 - min(speeds) / max(speeds)
        yield f"the device's own speed changed by {change:.0%} while it ran (at most {MAX_CEILING_CHANGE:.0%}): wait until it is quiet"


def _gpu(shot: ShotTiming) -> dict[str, Any]:
    found = shot.facts.get("gpu")
    return dict(found) if isinstance(found, dict) else {}


RULES: tuple[Callable[[Sequence[ShotTiming]], Iterator[str]], ...] = (_enough, _known, _one_machine, _clock, _throttled, _shared, _busy)
