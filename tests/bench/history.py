"""Micro-benchmarks over time: is the newest run slower than those before, and since when?

    pytest tests/bench/micro/bench_*.py --benchmark-only --benchmark-storage=file://runs/bench --benchmark-autosave
    python tests/bench/history.py runs/bench [--limit 2.0] [--any-machine] [--json]

Reads what pytest-benchmark saved, prints a table and writes `runs/bench/index.html` (steps marked by the rule of `stbench trend`). The
value is the fastest round: other work on the machine makes rounds slower, never faster. Compared is the newest run with the median of the
earlier ones on the same machine and processor, or with `--any-machine` (for CI, where each run gets another one) on the same processor.
Exits with 1 if a benchmark takes more than `limit` times as long, has vanished since the last of them, or has no finite value.
Limits are wide on purpose: this catches blunders, and the page shows the rest.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from reports.trend_page import write_trend
from stbench.trend.series import Point, Series, series_of


@dataclass(frozen=True, kw_only=True)
class Saved:
    """One saved run of the benchmarks."""

    name: str
    label: str
    started: float
    kind: str
    seconds: dict[str, float]


def read_saved(folder: Path, *, any_machine: bool = False) -> list[Saved]:
    """All saved runs below a folder, oldest first; with `any_machine` their kind is the processor alone."""
    found = [_saved(path, json.loads(path.read_text(encoding="utf-8")), any_machine) for path in sorted(folder.rglob("*.json"))]
    return sorted(found, key=lambda one: one.started)


def _saved(path: Path, data: dict[str, Any], any_machine: bool) -> Saved:
    machine = data["machine_info"]
    processor = machine.get("cpu", {}).get("brand_raw", "")
    commit = str(data.get("commit_info", {}).get("id") or "")[:12]
    return Saved(
        name=path.stem,
        label=f"{commit}{'+' * bool(data.get('commit_info', {}).get('dirty'))}" or path.stem,
        started=datetime.fromisoformat(data["datetime"]).timestamp(),
        kind=processor if any_machine else f"{machine.get('node')} {processor}".strip(),
        seconds={bench["fullname"].partition("micro/")[2]: float(bench["stats"]["min"]) for bench in data["benchmarks"]},
    )


def history(saved: list[Saved]) -> list[Series]:
    """A series per benchmark."""
    names = list(dict.fromkeys(name for one in saved for name in one.seconds))
    series = []
    for name in names:
        points = [_point(one, one.seconds[name]) for one in saved if name in one.seconds]
        series.append(series_of("micro-benchmarks, fastest round", name, points, unit="s", higher_is_better=False))
    return series


def _point(one: Saved, seconds: float) -> Point:
    reason = None if math.isfinite(seconds) else "it has no finite value"
    return Point(
        run=one.name, label=one.label, started=one.started, value=seconds if reason is None else None, reason=reason, kind=one.kind
    )


def compare(saved: list[Saved], limit: float) -> list[tuple[str, float | None, float | None, str]]:
    """(benchmark, before, now, word) of the newest run against the earlier ones of its kind."""
    *before, now = saved
    same = [one for one in before if one.kind == now.kind]
    rows = []
    for name in dict.fromkeys([*(same[-1].seconds if same else ()), *now.seconds]):
        earlier = [one.seconds[name] for one in same if name in one.seconds]
        base = statistics.median(earlier) if earlier else None
        value = now.seconds.get(name)
        rows.append((name, base, value, _word(base, value, limit)))
    return rows


def _word(base: float | None, value: float | None, limit: float) -> str:
    if value is None:
        return "VANISHED"
    if not math.isfinite(value) or (base is not None and not math.isfinite(base)):
        return "NO NUMBER"
    if base is None:
        return "new"
    return "SLOWER" if value > limit * base else "ok"


def main() -> None:
    """Read, compare, print, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=float, default=2.0)
    parser.add_argument("--any-machine", action="store_true", help="compare what ran on the same processor, on whichever machine")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    saved = read_saved(options.folder, any_machine=options.any_machine)
    if not saved:
        sys.exit(f"{options.folder} holds no saved benchmarks")
    rows = compare(saved, options.limit)
    out = sys.stderr if options.json else sys.stdout
    for name, base, value, word in rows:
        ratio = f"{value / base:.2f}x" if base and value else ""
        print(f"{name[-58:]:<58}{'–' if value is None else f'{1000 * value:9.3f} ms':>13} {ratio:>7} {word}", file=out)
    page = write_trend(history(saved), options.folder, title="Micro-benchmarks")
    print(f"page  {page}", file=out)
    if options.json:
        named = [{"benchmark": name, "before_s": base, "now_s": value, "word": word} for name, base, value, word in rows]
        print(json.dumps({"runs": len(saved), "benchmarks": named, "page": str(page)}, allow_nan=False))
    sys.exit(any(word in ("SLOWER", "VANISHED", "NO NUMBER") for *_, word in rows))


if __name__ == "__main__":
    main()
