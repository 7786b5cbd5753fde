"""`tox -e soak`: kill tests, fault injection and fuzzing, and how many of each were tried and came out as promised.

    python tests/soak/soak.py            about a minute of processor time, never more than 10 minutes
    python tests/soak/soak.py --long     every point, every fault, every file, 120,000 inputs

Ends with 1 if anything did not come out as promised, and says what. A section that runs out of time says how much it left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from faults import FaultTest, all_faults
from forked import PATHS, Server
from kills import WORDS, KillTest, Verdict

HERE = Path(__file__).resolve().parent
GUIDED = ("script.json", "script.yaml", "script.md", "manifest", "record", "journal", "scores")


class Section:
    """One part of the soak: counts, complains, and keeps to its time."""

    def __init__(self, name: str, seconds: float, total: int):
        self.name, self.total, self._end = name, total, time.monotonic() + seconds
        self._began = time.monotonic()
        self.tried = self.good = 0
        self._last_line = time.monotonic()

    def run(self, verdicts: Iterator[Verdict]) -> None:
        """Take verdicts until they or the time are over."""
        for verdict in verdicts:
            self.tried += 1
            self.good += not verdict.wrong
            if verdict.wrong:
                print(f"  WRONG  {self.name}: {verdict.mode} at {verdict.point}: {'; '.join(verdict.wrong)[:2000]}", flush=True)
            if time.monotonic() - self._last_line > 20:
                self._last_line = time.monotonic()
                print(f"  {self.name}: {self.tried}/{self.total}", flush=True)
            if time.monotonic() > self._end:
                break

    def line(self, tried: str, good: str) -> str:
        """Its line of the table."""
        left = f"   {self.total - self.tried} left out: out of time" if self.tried < self.total else ""
        return f"{self.name:<15} {self.tried:>7} {tried:<9} {self.good:>7} {good:<9} {time.monotonic() - self._began:6.0f} s{left}"


def kills(test: KillTest, every: int, seconds: float) -> Section:
    """Stop the run at its points."""
    section = Section("kill points", seconds, -(-len(test.points) * 5 // every))
    section.run(test.trials(every))
    return section


def faults(test: FaultTest, every: int, seconds: float) -> Section:
    """Inject faults."""
    todo = all_faults()[::every]
    section = Section("faults", seconds, len(todo))
    section.run(test.fault(fault) for fault in todo)
    return section


def flips(test: FaultTest, every: int, seconds: float) -> Section:
    """Flip bits in files."""
    section = Section("flipped bits", seconds, -(-len(test.flips()) * 6 // every))
    section.run(test.all_flips(every))
    return section


def fuzz(folder: Path, inputs: int, seed: int, seconds: float) -> tuple[int, int]:
    """Fuzz in a process of its own, which is watched and bounded; returns tried and clean."""
    words = [sys.executable, str(HERE / "fuzz.py"), str(folder), str(folder.parent / "sandbox"), str(inputs), str(seed)]
    tried = clean = 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            for line in process.stdout:
                print(f"  {line}", end="", flush=True)
                parts = line.split()
                if " tried " in line and " clean " in line:
                    tried, clean = tried + int(parts[parts.index("tried") - 1]), clean + int(parts[parts.index("clean") - 1])
            process.wait(timeout=seconds)
        finally:
            process.kill()
    if process.returncode != 0:
        print(f"  WRONG  fuzzing ended with {process.returncode}", flush=True)
        clean = min(clean, tried - 1)
    return tried, clean


def guided(folder: Path, runs: int) -> tuple[int, int]:
    """Fuzz the readers in Python with atheris, which looks for inputs that reach new code; (0, 0) if it is not installed."""
    if importlib.util.find_spec("atheris") is None:
        print("  atheris is not installed (pip install 'stbench[soak]'): no coverage-guided fuzzing", flush=True)
        return 0, 0
    tried = clean = 0
    for name in GUIDED:
        sandbox = folder.parent / f"guided-{name}"
        words = [sys.executable, str(HERE / "fuzz.py"), str(folder), str(sandbox), "atheris", name, f"-runs={runs}", "-seed=1"]
        done = subprocess.run([*words, "-max_len=4096", "-timeout=20"], capture_output=True, text=True, check=False, cwd=folder.parent)
        ran = re.search(r"Done (\d+) runs", done.stderr)
        tried, clean = tried + runs, clean + (int(ran[1]) if ran and done.returncode == 0 else 0)
        reached = re.findall(r"cov: (\d+)", done.stderr)
        print(f"  {name:<14} {runs:>7} guided by coverage, {reached[-1] if reached else '?'} places reached", flush=True)
        if done.returncode:
            print(f"  WRONG  {name}: {done.stderr[-1500:]}", flush=True)
    return tried, clean


def main() -> None:
    """Run all parts and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="every point, fault and file; 120,000 inputs")
    parser.add_argument("--minutes", type=float, help="time in all (10; with --long 240)")
    parser.add_argument("--kill-every", type=int, help="every so many pairs of point and way to be stopped (17; with --long 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzing")
    options = parser.parse_args()
    seconds = 60 * (options.minutes or (240 if options.long else 10))
    every = options.kill_every or (1 if options.long else 17)
    sys.path[:0] = [path for path in PATHS if path not in sys.path]
    import fake_methods

    fake_methods.install()
    home, server = Path(tempfile.mkdtemp(prefix="stbench-soak-")), Server()
    try:
        test = FaultTest(home, server)
        print(f"{len(test.points)} points, {len(all_faults())} faults, {len(test.flips())} files", flush=True)
        parts = [
            kills(test, every, 0.4 * seconds),
            faults(test, 1 if options.long else 3, 0.2 * seconds),
            flips(test, 1 if options.long else 9, 0.2 * seconds),
        ]
        server.run(WORDS, test.whole)
        inputs = 120_000 if options.long else 15_000
        tried, clean = fuzz(test.whole, inputs, options.seed, 0.2 * seconds)
        guided_tried, guided_clean = guided(test.whole, 5_000 if options.long else 500)
    finally:
        server.close()
        shutil.rmtree(home, ignore_errors=True)
    print()
    for part, words in zip(parts, (("tried", "survived"), ("injected", "handled"), ("tried", "mended")), strict=True):
        print(part.line(*words))
    print(f"{'fuzz inputs':<15} {tried:>7} {'tried':<9} {clean:>7} {'clean':<9}")
    print(f"{'guided inputs':<15} {guided_tried:>7} {'tried':<9} {guided_clean:>7} {'clean':<9}", flush=True)
    sys.exit(any(part.tried != part.good for part in parts) or tried != clean or guided_tried != guided_clean)


if __name__ == "__main__":
    main()
