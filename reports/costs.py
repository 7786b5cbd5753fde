"""What films cost: seconds by stage from timing.jsonl, seconds and memory per shot from records and spans.

Nothing is guessed: a run whose method did not measure memory has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from reports.tables import RunScores, metric_keys
from stbench.profiling.reading import read_timings
from stbench.profiling.summary import p90, quantile
from stbench.timing import LOAD, OUTSIDE, PEAK, WHOLE_SHOT

if TYPE_CHECKING:
    import pandas as pd

GIB = 2**30
OTHER = "other"
MEMORY_FRAMES, PEAK_GIB = "memory frames", "peak GiB"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of work over a whole run, cold shots included. `n` counts shots; `p90_s` is None with fewer than ten of them."""

    name: str
    n: int
    total_s: float
    median_s: float
    p90_s: float | None


def stages(run: RunScores) -> list[Stage]:
    """One line per stage: loading, whole shots, then the stages in the order in which they first appear."""
    timings = read_timings(run.run)
    found: dict[str, list[float]] = {LOAD: list(timings.loads_s), WHOLE_SHOT: [shot.seconds for shot in timings.shots]}
    for shot in timings.shots:
        for name, seconds in shot.by_stage.items():
            found.setdefault(name, []).append(seconds)
    return [
        Stage(name=name, n=len(values), total_s=math.fsum(values), median_s=quantile(values, 0.5), p90_s=p90(values))
        for name, values in found.items()
        if values
    ]


def stage_frame(runs: Sequence[RunScores]) -> pd.DataFrame:
    """Per run and stage of a shot: shots, seconds in all, median, p90, and seconds per shot. What no stage covers is "other"."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for run in runs:
        found = stages(run)
        shots = next((stage for stage in found if stage.name == WHOLE_SHOT), None)
        inner = [stage for stage in found if stage.name != WHOLE_SHOT and stage.name not in OUTSIDE]
        if shots is None:
            continue
        rows += [{"run": run.title, "stage": s.name, **_facts(s), "seconds_per_shot": s.total_s / shots.n} for s in inner]
        rest = shots.total_s - sum(stage.total_s for stage in inner)
        name = OTHER if inner else "whole shot"
        rows.append({"run": run.title, "stage": name, **_facts(shots), "total_s": rest, "seconds_per_shot": max(0.0, rest / shots.n)})
    rows.sort(key=lambda row: row["stage"] == OTHER)  # last, whichever run names it first
    return pd.DataFrame(rows)


def _facts(stage: Stage) -> dict[str, Any]:
    return {name: value for name, value in asdict(stage).items() if name != "name"}


def seconds_per_shot(runs: Sequence[RunScores]) -> float | None:
    """Mean over the finished shots of these runs, or None."""
    seconds = [record.seconds for run in runs for part in run.parts for record in part.records]
    return math.fsum(seconds) / len(seconds) if seconds else None


def peak_bytes(run: RunScores) -> dict[tuple[str, str], int]:
    """(story, shot) → most memory that a span of the shot tells; empty where none was measured."""
    peaks: dict[tuple[str, str], int] = {}
    for span in run.timings:
        detail: Mapping[str, Any] = span.get("detail") or {}
        value = detail.get(PEAK)
        if isinstance(value, int | float) and span.get("shot"):
            unit = (str(span.get("story")), str(span["shot"]))
            peaks[unit] = max(peaks.get(unit, 0), int(value))
    return peaks


def memory_frame(runs: Sequence[RunScores]) -> pd.DataFrame:
    """Per run and place in the story: mean number of memory frames given to a shot, and mean peak memory where it was measured."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for run in runs:
        frames: dict[int, list[float]] = {}
        peaks: dict[int, list[float]] = {}
        measured = peak_bytes(run)
        for part in run.parts:
            for record in part.records:
                frames.setdefault(record.index + 1, []).append(len(memory_of(record.notes)))
                if (part.story.id, record.shot) in measured:
                    peaks.setdefault(record.index + 1, []).append(measured[(part.story.id, record.shot)] / GIB)
        for quantity, found in ((MEMORY_FRAMES, frames), (PEAK_GIB, peaks)):
            if any(any(values) for values in found.values()):
                for place, values in sorted(found.items()):
                    mean = math.fsum(values) / len(values)
                    rows.append({"run": run.title, "quantity": quantity, "place": place, "mean": mean, "n_stories": len(values)})
    return pd.DataFrame(rows)


def memory_of(notes: Mapping[str, Any]) -> list[str]:
    """Ids of the shots whose keyframes a shot saw, as its method noted them, one per keyframe."""
    memory = notes.get("memory")
    if not isinstance(memory, Sequence) or isinstance(memory, str):
        return []
    return [str(item.get("shot")) if isinstance(item, Mapping) else str(item) for item in memory]


def cost_frame(runs: Sequence[RunScores], metric: str) -> pd.DataFrame:
    """Per run: mean of a metric, seconds per shot, peak memory or none, and whether no other run is better at no higher cost.

    Runs without a value are left out. A metric that was computed in several ways gives its first way only.
    """
    import pandas as pd

    key = next((key for key in metric_keys(runs) if key[1] == metric), None)
    rows: list[dict[str, Any]] = []
    higher = True
    for run in runs:
        line = run.line(key) if key else None
        seconds = seconds_per_shot([run])
        if line is None or line.mean is None or seconds is None:
            continue
        higher = line.higher_is_better is not False
        peaks = peak_bytes(run)
        gib = max(peaks.values()) / GIB if peaks else None
        rows.append({"title": run.title, "metric": metric, "mean": line.mean, "seconds_per_shot": seconds, "peak_gib": gib})
    for cost in ("seconds_per_shot", "peak_gib"):
        for row in rows:
            row[f"front_{cost}"] = on_front(row, rows, cost=cost, higher_is_better=higher)
    return pd.DataFrame(rows)


def on_front(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], *, cost: str, higher_is_better: bool) -> bool:
    """No other row is at least as good and as cheap, and better in one of the two.

    Example:
        >>> rows = [{"mean": 0.5, "s": 1.0}, {"mean": 0.6, "s": 2.0}, {"mean": 0.55, "s": 3.0}]
        >>> [on_front(row, rows, cost="s", higher_is_better=True) for row in rows]
        [True, True, False]
    """
    if row[cost] is None:
        return False
    sign = 1 if higher_is_better else -1
    for other in rows:
        if other[cost] is None:
            continue
        gain, saving = sign * (other["mean"] - row["mean"]), row[cost] - other[cost]
        if gain >= 0 and saving >= 0 and (gain > 0 or saving > 0):
            return False
    return True
