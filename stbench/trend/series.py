"""Runs → series: one per quantity and kind of run, a point per run in the order in which they were started.

A quantity is a metric's name, or a cost: `shot.p50` (median seconds of warm shots), `STAGE.p50`, `peak_mem` (GiB on the device, or of
the process on a CPU). A point that may not stand beside the newest one (another device, metric version or encoder; INVALID times; no value)
stays in the series with its reason, and is left out when steps are looked for.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stbench.errors import UserError
from stbench.profiling.profile import device_words
from stbench.profiling.reading import ShotTiming, read_timings
from stbench.profiling.validity import validity
from stbench.scores import aggregate
from stbench.timing import WHOLE_SHOT
from stbench.trend.steps import FLOOR, MIN_POINTS, Step, find_steps, noise

if TYPE_CHECKING:
    from stbench.manifest import Manifest
    from stbench.store import RunFolder

SHOT, P50, PEAK = "shot.p50", ".p50", "peak_mem"
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Point:
    """A run's value, or why it has none that counts.

    Attributes:
        label: What a reader knows the run by: its commit, or the day when it was started.
        started: Seconds since the epoch.
        value: The number; may be there although it does not count.
        low: Lower end of its 95% interval, where it has one.
        high: Upper end.
        reason: Why it does not count, or None.
        kind: What it must share with the others: device, or version and encoder.
    """

    run: str
    label: str
    started: float
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One quantity of one kind of run.

    Attributes:
        group: Method, model and options, as a title.
        quantity: Metric or cost.
        unit: Of the values.
        higher_is_better: None where neither is.
        points: In order.
        noise: Standard deviation from neighbour to neighbour; None with too few points.
        steps: Where the level changed; `at` counts all points.
    """

    group: str
    quantity: str
    unit: str
    higher_is_better: bool | None
    points: tuple[Point, ...]
    noise: float | None
    steps: tuple[Step, ...]

    @property
    def counted(self) -> tuple[Point, ...]:
        """The points that count."""
        return tuple(point for point in self.points if point.reason is None)

    def word(self, step: Step) -> str:
        """BETTER, WORSE or CHANGED."""
        if self.higher_is_better is None:
            return "CHANGED"
        return "BETTER" if (step.after > step.before) == self.higher_is_better else "WORSE"

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict."""
        steps = [
            {
                "run": self.points[step.at].run,
                "label": self.points[step.at].label,
                "before": step.before,
                "after": step.after,
                "change": step.change,
                "word": self.word(step),
            }
            for step in self.steps
        ]
        return {
            "group": self.group,
            "quantity": self.quantity,
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "noise": self.noise,
            "points": [asdict(point) for point in self.points],
            "steps": steps,
        }


def read_series(runs: Sequence[RunFolder], wanted: Sequence[str] = (), *, floor: float = FLOOR) -> list[Series]:
    """Series of several runs.

    Args:
        runs: In any order.
        wanted: Quantities; by default every metric, and `shot.p50`.
        floor: The smallest relative change that is a step.

    Raises:
        UserError: No run has a wanted quantity.
    """
    groups: dict[str, list[tuple[Manifest, dict[str, tuple[str, bool | None, Point]]]]] = {}
    for run in sorted(runs, key=lambda run: run.manifest.started):
        groups.setdefault(group_of(run.manifest), []).append((run.manifest, _points(run, wanted)))
    found = []
    for group, members in groups.items():
        names = list(dict.fromkeys(name for _, points in members for name in points))
        for name in [*wanted] if wanted else names:
            if name in names:
                rows = [points[name] for _, points in members if name in points]
                unit, higher, _ = rows[-1]
                of_name = [point for _, _, point in rows]
                found.append(series_of(group, name, of_name, unit=unit, higher_is_better=higher, floor=floor))
    missing = [name for name in wanted if all(series.quantity != name for series in found)]
    if missing or not found:
        known = sorted({name for run in runs for name in _points(run, ())} | {PEAK, "STAGE.p50"})
        what = f"no run has {', '.join(missing)}" if missing else "no run has scores or times"
        raise UserError(what, where="--of", expected=f"one of: {', '.join(known)}")
    return found


def group_of(manifest: Manifest) -> str:
    """What runs must share to be one series: method, options, model, suite and how many of its stories."""
    options = "".join(f" {key}={value}" for key, value in sorted(manifest.options.items()))
    size = f"{len(manifest.stories)} stories of {manifest.suite.name} {manifest.suite.digest[:8]}"
    return f"{manifest.method}{options} on {manifest.model}, {size}"


def _points(run: RunFolder, wanted: Sequence[str]) -> dict[str, tuple[str, bool | None, Point]]:
    """Quantity → unit, direction and point of one run."""
    manifest = run.manifest
    about: dict[str, Any] = {"run": manifest.name, "label": label_of(manifest), "started": manifest.started}
    found: dict[str, tuple[str, bool | None, Point]] = {}
    for line in aggregate(run.scores()):
        if wanted and line.metric not in wanted:
            continue
        kind = f"{line.protocol} v{line.version} {line.encoder_digest or ''}".strip()
        reason = None if line.mean is not None else next(iter(line.reasons), "no value")
        if not line.complete and reason is None:
            reason = f"{line.n_scored} of {line.n_expected} scored"
        point = Point(**about, value=line.mean, low=line.low, high=line.high, reason=reason, kind=kind)
        found.setdefault(line.metric, (line.unit, line.higher_is_better, point))
    costs = [name for name in wanted if name.endswith(P50) or name == PEAK] if wanted else [SHOT]
    return found | _costs(run, costs, about)


def _costs(run: RunFolder, names: Sequence[str], about: dict[str, Any]) -> dict[str, tuple[str, bool | None, Point]]:
    timings = read_timings(run)
    shots = timings.warm or timings.shots
    if not shots:
        return {}
    verdict, device = validity(timings), device_words(shots[-1])
    reason = None if verdict.valid else f"INVALID times: {verdict.reasons[0]}"
    found: dict[str, tuple[str, bool | None, Point]] = {}
    for name in names:
        if name == PEAK:
            most = timings.peak_bytes or timings.host_bytes
            if most is not None:
                found[name] = ("GiB", False, Point(**about, value=most / GIB, kind=device))
        elif (value := _median_s(shots, name.removesuffix(P50))) is not None:
            found[name] = ("s", False, Point(**about, value=value, reason=reason, kind=device))
    return found


def _median_s(shots: Sequence[ShotTiming], stage: str) -> float | None:
    values = [shot.seconds if stage == WHOLE_SHOT else shot.by_stage.get(stage) for shot in shots]
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def label_of(manifest: Manifest) -> str:
    """The commit of the program, where it ran from a checkout; else the day of the run."""
    day = time.strftime("%Y-%m-%d", time.gmtime(manifest.started))
    return manifest.versions.get("commit") or day


def series_of(
    group: str, quantity: str, points: Sequence[Point], *, unit: str, higher_is_better: bool | None, floor: float = FLOOR
) -> Series:
    """A series with its noise and steps. Points of another kind than the newest get a reason and do not count."""
    points = [_beside(point, points[-1]) for point in points]
    counted = [(at, point.value) for at, point in enumerate(points) if point.reason is None and point.value is not None]
    values = [value for _, value in counted]
    steps = [Step(at=counted[s.at][0], before=s.before, after=s.after, score=s.score) for s in find_steps(values, floor=floor)]
    return Series(
        group=group,
        quantity=quantity,
        unit=unit,
        higher_is_better=higher_is_better,
        points=tuple(points),
        noise=noise(values) if len(values) >= MIN_POINTS else None,
        steps=tuple(steps),
    )


def _beside(point: Point, newest: Point) -> Point:
    """The point, with a reason where it may not be compared with the newest."""
    if point.reason is None and point.kind != newest.kind:
        return Point(**{**asdict(point), "reason": f"not comparable: {point.kind}, the newest: {newest.kind}"})
    return point
