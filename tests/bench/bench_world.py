"""What the project shows, measured by its own commands, in one run: `tox -e bench`.

    python tests/bench/bench_world.py                                    world-mini, in a temporary folder
    python tests/bench/bench_world.py --suite world --runs runs/bench    the whole suite, kept; the same command continues

Nothing here asserts: it prints, and a person judges. Times are of this machine while it ran; the load is printed with
them. A run that was already there is not filmed again, so its wall time is not shown (its seconds per shot are: they are in
its records). Seconds per shot are the method's own, from the records; wall times include start-up, scoring and reports.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stbench.errors import UserError
from stbench.scores import Aggregate, aggregate
from stbench.stats import paired
from stbench.store import RunFolder

METHODS = ("storymem", "wan-t2v", "world-truth", "frozen")
CONSISTENCY = ("cross_shot_consistency", "cross_shot_consistency_top10", "cross_shot_appearance", "entity_consistency")
STBENCH = (sys.executable, "-m", "stbench.cli")


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A command that ended: its time, its exit code, and the JSON object that it printed."""

    seconds: float
    code: int
    answer: dict[str, Any]


def timed(*arguments: str) -> Timed:
    """Run `stbench arguments` to its end."""
    start = time.perf_counter()
    done = subprocess.run([*STBENCH, *arguments], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 3):
        sys.exit(f"stbench {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return Timed(seconds=seconds, code=done.returncode, answer=json.loads(done.stdout) if "--json" in arguments else {})


def run_arguments(method: str, suite: str, out: Path) -> list[str]:
    """The command line of one run."""
    return ["run", "--method", method, "--suite", suite, "--out", str(out), "--json"]


def line(name: str, value: str, about: str = "") -> None:
    """Print one finding."""
    print(f"  {name:<44} {value:>26}  {about}".rstrip(), flush=True)


def show_start_up() -> None:
    """Time of `stbench --help`, and what the import of the command line brings along."""
    times = [timed("--help").seconds for _ in range(7)]
    line("stbench --help, median of 7", f"{statistics.median(times):.3f} s", f"fastest {min(times):.3f} s; wanted < 0.3 s")
    code = "import sys, stbench.cli; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    line("import stbench.cli imports torch", "yes" if found == "True" else "no")


def show_run(method: str, suite: str, out: Path) -> RunFolder:
    """Film and score with one method, and print how long that took."""
    there = finished_shots(out)
    run = timed(*run_arguments(method, suite, out))
    folder = RunFolder.open(out)
    records = [record for part in folder.story_records() for record in part.records]
    per_shot = statistics.median(record.seconds for record in records)
    wall = f"{run.seconds:.1f} s" if there == 0 else f"{there} shots were there"
    counts = folder.manifest.counts
    line(f"stbench run, {method}", wall, f"{counts.done}/{counts.expected} shots; median {per_shot:.2f} s a shot; {run.answer['verdict']}")
    return folder


def show_again(method: str, suite: str, folder: RunFolder) -> None:
    """Repeat a finished run, score it again, check it."""
    again = timed(*run_arguments(method, suite, folder.path))
    shots = again.answer["n"]
    line("the same command again", f"{again.seconds:.1f} s", f"{shots['reused']} shots reused, {shots['made']} made")
    line("stbench score", f"{timed('score', str(folder.path), '--json').seconds:.1f} s")
    line("stbench check", f"{timed('check', str(folder.path), '--json').seconds:.1f} s")


def finished_shots(out: Path) -> int:
    """Shots that a run folder holds; 0 for no folder."""
    try:
        return sum(len(part.records) for part in RunFolder.open(out).story_records())
    except UserError:
        return 0


def show_kill(method: str, suite: str, whole: RunFolder, out: Path) -> None:
    """Kill a run half-way with SIGKILL, repeat the command, and compare the scores with an uninterrupted run's."""
    if finished_shots(out):
        line("killed half-way and repeated", "skipped", f"{out} is not empty")
        return
    half = whole.manifest.counts.expected // 2
    process = subprocess.Popen([*STBENCH, *run_arguments(method, suite, out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and finished_shots(out) < half:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    survived = finished_shots(out)
    again = timed(*run_arguments(method, suite, out))
    shots = again.answer["n"]
    line("killed half-way and repeated", f"{shots['reused']} reused, {shots['made']} made", f"{survived} shots had survived the kill")
    same = values(RunFolder.open(out)) == values(whole)
    line("scores equal those of the uninterrupted run", "yes" if same else "NO")


def values(folder: RunFolder) -> dict[tuple[str, str, str | None], float | str | None]:
    """(metric, story, shot) → value, or the reason for none."""
    return {(row.metric, row.story, row.shot): row.reason if row.value is None else row.value for row in folder.scores()}


def show_scores(runs: dict[str, RunFolder]) -> None:
    """Every metric of every method, with its interval by story and n scored / expected."""
    lines = {method: {found.metric: found for found in aggregate(folder.scores())} for method, folder in runs.items()}
    metrics = list(dict.fromkeys(metric for found in lines.values() for metric in found))
    print(f"\n  {'metric':<32}" + "".join(f"{method:>30}" for method in runs))
    for metric in metrics:
        print(f"  {metric:<32}" + "".join(f"{cell(found.get(metric)):>30}" for found in lines.values()))


def cell(found: Aggregate | None) -> str:
    """Mean, interval, n."""
    if found is None or found.mean is None:
        return "–"
    span = f" [{found.low:.3f}, {found.high:.3f}]" if found.low is not None and found.high is not None else ""
    return f"{found.mean:.3f}{span} {found.n_scored}/{found.n_expected}"


def show_paired(runs: dict[str, RunFolder], base: str, new: str, metrics: tuple[str, ...]) -> None:
    """Paired changes from one method to another."""
    if base not in runs or new not in runs:
        return
    before, after = runs[base].scores(), runs[new].scores()
    for metric in metrics:
        change = paired(before, after, metric)
        if change.mean is None:
            line(f"{new} - {base}: {metric}", "–", change.reason or "")
            continue
        span = (
            f"95% [{change.low:+.4f}, {change.high:+.4f}]"
            if change.low is not None and change.high is not None
            else "one story: no interval"
        )
        verdict = "excludes zero" if change.significant else "includes zero"
        line(f"{new} - {base}: {metric}", f"{change.mean:+.4f}", f"{span}, {verdict}; {change.n} pairs in {change.n_stories} stories")


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suite", default="world-mini")
    parser.add_argument("--runs", type=Path, help="keep the runs here (default: a temporary folder)")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--no-kill", action="store_true", help="leave out the run that is killed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root: Path = options.runs or Path(temporary)
        print(f"suite {options.suite}; {os.cpu_count()} CPU cores, load {os.getloadavg()[0]:.1f}; Python {sys.version.split()[0]}\n")
        show_start_up()
        runs = {method: show_run(method, options.suite, root / f"{method}-{options.suite}") for method in options.methods}
        first = options.methods[0]
        show_again(first, options.suite, runs[first])
        if not options.no_kill:
            show_kill(first, options.suite, runs[first], root / f"killed-{first}-{options.suite}")
        show_scores(runs)
        print("\n  paired changes")
        show_paired(runs, "wan-t2v", "world-truth", CONSISTENCY)
        show_paired(runs, "wan-t2v", "storymem", (*CONSISTENCY, "truth_colour_kept", "truth_accessory_kept"))
        show_paired(runs, "world-truth", "frozen", CONSISTENCY)


if __name__ == "__main__":
    main()
