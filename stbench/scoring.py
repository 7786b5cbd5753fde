"""Reaching the metrics and the reports: by name only, so that the harness imports neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol

from stbench.registry import Registry
from stbench.scores import Score
from stbench.store import RunFolder
from stbench.sums import write_sums


class Progress(Protocol):
    """How a scorer says how far it is."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """`done` of `total` steps; now at `what`."""
        ...


class ScoreRun(Protocol):
    """Scores a run under a protocol, reusing stored rows whose keys are unchanged."""

    def __call__(self, run: RunFolder, *, protocol: str, device: str, progress: Progress | None, **how: Any) -> list[Score]:
        """All rows of the protocol, one for each expected unit."""
        ...


SCORERS: Registry[ScoreRun] = Registry("scorer")
SCORERS.add("metrics", "metrics.scoring:score_run")

REPORTERS: Registry[Callable[[list[RunFolder], Path], Any]] = Registry("reporter")
REPORTERS.add("reports", "reports.report:write_report")

COMPARERS: Registry[Callable[[list[RunFolder]], Any]] = Registry("comparer")
COMPARERS.add("reports", "reports.compare:compare_runs")
COMPARERS.add("terminal", "reports.comparison_text:print_comparison")
COMPARERS.add("scores", "reports.terminal:print_scores")

STUDIES: Registry[Callable[..., Any]] = Registry("study")
STUDIES.add("reports", "reports.study:write_study")

PAPERS: Registry[Callable[..., Any]] = Registry("paper table")
PAPERS.add("reports", "reports.paper_tables:write_paper_table")

PROFILERS: Registry[Callable[..., Mapping[str, Path]]] = Registry("profiler")
PROFILERS.add("reports", "reports.latency:write_profile")

TRENDS: Registry[Callable[..., Path]] = Registry("trend")
TRENDS.add("reports", "reports.trend_page:write_trend")

FRAME_POLICIES: Registry[Callable[[str], str]] = Registry("frame policy")
FRAME_POLICIES.add("metrics", "metrics.frames:check_policy")

PROTOCOLS = "metrics.protocols"


def check_protocol(name: str) -> None:
    """Refuse an unknown protocol before an hour is spent; the `UserError` has the nearest name."""
    _protocols().target(name)


def check_frames(policy: str) -> None:
    """Refuse an unknown `--frames` before films are taken over."""
    FRAME_POLICIES.get("metrics")(policy)


def get_protocol(name: str) -> Any:
    """A protocol (`metrics.protocols.Protocol`): its metrics, its choices, and `caption()` for a table; UserError for an unknown name."""
    return _protocols().get(name)


def _protocols() -> Registry[Any]:
    import importlib

    registry: Registry[Any] = importlib.import_module(PROTOCOLS).PROTOCOLS
    return registry


def score_folder(
    run: RunFolder, *, protocol: str, device: str, progress: Progress | None, how: Mapping[str, Any] | None = None
) -> list[Score]:
    """Score a run and store the rows; rows of other protocols stay. `how`: `frames`, `workers` and `half`, where they were given."""
    rows = SCORERS.get("metrics")(run, protocol=protocol, device=device, progress=progress, **(how or {}))
    run.replace_scores(rows, protocol=protocol)
    return rows


def report_runs(runs: list[RunFolder], out: Path) -> dict[str, Any]:
    """Write the report of one or more runs into a folder.

    Returns:
        Name → path, or list of paths, of what was written.
    """
    paths = REPORTERS.get("reports")(runs, out)
    if is_dataclass(paths) and not isinstance(paths, type):
        paths = {f.name: getattr(paths, f.name) for f in fields(paths)}
    if not isinstance(paths, Mapping):
        raise TypeError(f"write_report returned {type(paths).__name__}, expected a mapping or dataclass of paths")
    written = {name: value for name, value in paths.items() if value}
    write_sums(out, [path for path in written.values() if isinstance(path, Path)])
    return written
