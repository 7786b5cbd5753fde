"""The end of a run, for people (the end card) and for programs (one JSON object)."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.files import TEMP_PREFIX
from stbench.repeat import in_words
from stbench.scores import Aggregate

if TYPE_CHECKING:
    from stbench.runner import RunOutcome

WIDTH = 80
SHOWN_PATHS = ("films", "sheets", "table", "scores", "scores_csv", "side", "html")


def print_end_card(outcome: RunOutcome) -> None:
    """Verdict first, then shots, table, paths, and the next command; on stderr."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else WIDTH)
    word = outcome.verdict.upper()
    console.print()
    style = "bold green" if outcome.verdict == "complete" else "bold yellow"
    console.print(Text(word, style=style), Text(f"  {outcome.folder.name}"), sep="", soft_wrap=True)
    for line in _shot_lines(outcome):
        console.print(line, markup=False, soft_wrap=True)
    if outcome.aggregates:
        console.print()
        console.print(score_table(outcome.aggregates))
        for line in missing_lines(outcome.aggregates):
            console.print(line, markup=False)
    console.print()
    for name, value in outcome.paths.items():
        if name in SHOWN_PATHS:
            console.print(f"{name.replace('_', ' '):<11} {_show_paths(value)}", markup=False, soft_wrap=True)
    console.print(f"{'next':<11} {next_command(outcome)}", markup=False, soft_wrap=True)


def _shot_lines(outcome: RunOutcome) -> list[str]:
    lines = [f"shots: {outcome.made} made, {outcome.reused} reused   {outcome.done}/{outcome.expected} finished"]
    if outcome.failed or outcome.skipped:
        lines.append(f"       {outcome.failed} failed, {outcome.skipped} missing or skipped; why: {outcome.folder.events_path}")
    if outcome.folder.manifest.repeat:
        lines.append(f"       {in_words(outcome.folder.manifest.repeat)}")
    return lines


def score_table(lines: Iterable[Aggregate]) -> Any:
    """A rich table: metric, unit, n scored/expected, mean, interval by story; at most 80 columns wide."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="")
    table.add_column("metric", overflow="fold")  # where it is narrow, names are folded and no number is cut
    table.add_column("", no_wrap=True)
    table.add_column("unit", overflow="fold")
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("mean", justify="right", no_wrap=True)
    table.add_column("95% CI, by story", no_wrap=True)
    for line in lines:
        mean = "none" if line.mean is None else f"{line.mean:.3f}"
        interval = "" if line.low is None or line.high is None else f"{line.low:.3f} .. {line.high:.3f}"
        mark = "" if line.complete else " !"
        table.add_row(line.metric, line.arrow, line.unit, f"{line.n_scored}/{line.n_expected}{mark}", mean, interval)
    return table


def missing_lines(lines: Iterable[Aggregate]) -> list[str]:
    """Why values are missing: one line per metric and reason."""
    return [f"! {line.metric}: {n} without a value: {reason}" for line in lines for reason, n in line.reasons.items()]


def _show_paths(value: Any) -> str:
    """A path as it is; several as their folder and count."""
    values = [value] if isinstance(value, str | Path) else value.values() if isinstance(value, Mapping) else value
    paths = [Path(path) for path in values]
    if not paths:
        return "none"
    if len(paths) == 1:
        return str(paths[0])
    return f"{paths[0].parent}/  ({len(paths)} files)"


def next_command(outcome: RunOutcome) -> str:
    """What a person would most likely do now."""
    if outcome.done < outcome.expected and not outcome.command.startswith("stbench score"):
        return outcome.command
    if not outcome.scored:
        return shlex.join(["stbench", "score", str(outcome.folder.path)])
    others = _neighbours(outcome.folder.path)
    if others:
        return shlex.join(["stbench", "report", *(str(path) for path in (*others[:3], outcome.folder.path))])
    if "--method storymem" in outcome.command and "--out" not in outcome.command and "--set" not in outcome.command:
        return outcome.command.replace("--method storymem", "--method wan-t2v") + "   # the same without memory"
    return shlex.join(["stbench", "check", str(outcome.folder.path)])


def _neighbours(path: Path) -> list[Path]:
    """Other runs of the same suite beside this one: there to be compared with."""
    from stbench.errors import UserError
    from stbench.manifest import FILE, read_manifest

    suite = read_manifest(path).suite.digest
    found: list[Path] = []
    for other in sorted(path.parent.iterdir()):
        if other != path and not other.name.startswith(TEMP_PREFIX) and (other / FILE).is_file():
            try:
                if read_manifest(other).suite.digest == suite:
                    found.append(other)
            except UserError:
                continue
    return found


def as_json(outcome: RunOutcome) -> dict[str, Any]:
    """The one JSON object on stdout."""
    repeat = outcome.folder.manifest.repeat
    return {
        "verdict": outcome.verdict,
        "run": str(outcome.folder.path),
        "n": {
            "expected": outcome.expected,
            "done": outcome.done,
            "made": outcome.made,
            "reused": outcome.reused,
            "failed": outcome.failed,
            "skipped": outcome.skipped,
        },
        "repeat": repeat.model_dump() if repeat else None,
        "scores": [line.to_json() for line in outcome.aggregates],
        "paths": json_paths(outcome.paths),
        "next": next_command(outcome),
    }


def json_paths(paths: Mapping[str, Any]) -> dict[str, Any]:
    """Paths as strings, lists as lists, mappings as mappings."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(part) for key, part in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [plain(part) for part in value]
        return str(value)

    return {name: plain(value) for name, value in paths.items()}
