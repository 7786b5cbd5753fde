"""`tox -e soak`: kill tests, fault injection and fuzzing, and how many of each were tried and came out as promised.

    python tests/soak/soak.py                            about a minute of processor time, never more than 10 minutes
    python tests/soak/soak.py --long                     every point, every fault, every file, 120,000 inputs
    python tests/soak/soak.py --long --keep soak.jsonl   the same; stopped and started again, it goes on

Ends with 1 if anything did not come out as promised, and says what. A part that runs out of time says how much it left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from faults import FaultTest, all_faults
from forked import PATHS, Server
from kills import WORDS, Verdict
from ledger import Ledger, Tally

HERE = Path(__file__).resolve().parent
PARTS = ("kills", "faults", "flips", "fuzz", "guided")
GUIDED = ("script.json", "script.yaml", "script.md", "manifest", "record", "journal", "scores")
CHUNK = 5_000  # fuzzed inputs of one process
HANG_S = 1800  # for one such process, on a machine that is busy with other things
Trial = tuple[str, Callable[[], Tally]]
Anything = TypeVar("Anything")


class Part:
    """One part of the soak: counts, complains, and keeps to its time.

    Args:
        name: Of its line in the table.
        share: Of the time of the whole soak.
        tried, good: Words of its line.
        trials: What there is to try, each with a name that is its own.
    """

    def __init__(self, name: str, share: float, tried: str, good: str, trials: Sequence[Trial]):
        self.name, self.share, self._words, self._trials = name, share, (tried, good), trials
        self.tried = self.good = self.left = self.earlier = 0
        self.seconds = 0.0

    def run(self, ledger: Ledger, seconds: float) -> None:
        """Try everything, or as much as fits into the time; what the ledger knows takes none."""
        began = said = time.monotonic()
        for number, (name, act) in enumerate(self._trials, start=1):
            tally = ledger.get(f"{self.name}: {name}")
            if tally is not None:
                self.earlier += tally.tried
            elif time.monotonic() - began > seconds:
                self.left += 1
                continue
            else:
                tally = act()
                ledger.add(f"{self.name}: {name}", tally)
            self.tried, self.good = self.tried + tally.tried, self.good + tally.good
            for wrong in tally.wrong:
                print(f"  WRONG  {self.name}: {name}: {wrong[:2000]}", flush=True)
            if time.monotonic() - said > 20:
                said = time.monotonic()
                print(f"  {self.name}: {number}/{len(self._trials)}", flush=True)
        self.seconds = time.monotonic() - began

    def line(self) -> str:
        """Its line of the table."""
        tried, good = self._words
        notes = [f"{self.earlier} of them earlier"] * bool(self.earlier)
        notes += [f"{self.left} of {len(self._trials)} trials left out: out of time"] * bool(self.left)
        return f"{self.name:<13} {self.tried:>7} {tried:<8} {self.good:>7} {good:<8} {self.seconds:6.0f} s   {'; '.join(notes)}".rstrip()


def of(verdict: Verdict) -> Tally:
    """A verdict in numbers."""
    return Tally(good=int(not verdict.wrong), wrong=tuple(verdict.wrong))


def spread(things: Sequence[Anything], every: int) -> list[Anything]:
    """Every `every`-th thing, in an order in which those that come first are spread over all of them."""
    chosen = things[::every]
    step = next(s for s in range(max(round(0.618 * len(chosen)), 1), len(chosen) + 2) if math.gcd(s, len(chosen)) == 1)
    return [chosen[(k * step) % len(chosen)] for k in range(len(chosen))]


def kills(test: FaultTest, every: int) -> list[Trial]:
    """Stop the run at its points, in every way."""
    return [
        (f"{mode} at {number} {test.points[number - 1]}", lambda number=number, mode=mode: of(test.trial(number, mode)))
        for number, mode in spread(test.pairs(), every)
    ]


def faults(test: FaultTest, every: int) -> list[Trial]:
    """Inject faults."""
    return [(str(fault), lambda fault=fault: of(test.fault(fault))) for fault in spread(all_faults(), every)]


def flips(test: FaultTest, every: int) -> list[Trial]:
    """Flip bits in files."""
    return [
        (f"{name} at {at:g}, {'rotten' if rotten else 'changed'}", lambda n=name, at=at, r=rotten: of(test.flip(n, at=at, rotten=r)))
        for name, at, rotten in spread(test.all_flips(), every)
    ]


def fuzz(folder: Path, inputs: int, seed: int) -> list[Trial]:
    """Fuzz every reader, in processes that are watched and bounded."""

    def chunk(seed: int) -> Tally:
        sandbox = folder.parent / f"sandbox-{seed}"
        words = [sys.executable, str(HERE / "fuzz.py"), str(folder), str(sandbox), str(CHUNK), str(seed)]
        done = _run(words, folder)
        shutil.rmtree(sandbox, ignore_errors=True)
        counts = [(int(tried), int(clean)) for tried, clean in re.findall(r"(\d+) tried +(\d+) clean", done.stdout)]
        tried, clean = sum(tried for tried, _ in counts), sum(clean for _, clean in counts)
        wrong = [line.strip() for line in done.stdout.splitlines() if line.startswith("    ")]
        if done.returncode != 0:
            wrong.append(f"it ended with {done.returncode}: {done.stderr[-1500:]}")
        return Tally(tried=max(tried, 1), good=min(clean, tried - bool(wrong)), wrong=tuple(wrong))

    return [(f"{CHUNK} inputs of seed {seed + k}", lambda s=seed + k: chunk(s)) for k in range(max(inputs // CHUNK, 1))]


def guided(folder: Path, runs: int) -> list[Trial]:
    """Fuzz the readers in Python with atheris, which looks for inputs that reach new code; nothing if it is not installed."""
    if importlib.util.find_spec("atheris") is None:
        print("  atheris is not installed (pip install 'stbench[soak]'): no coverage-guided fuzzing", flush=True)
        return []

    def one(name: str) -> Tally:
        words = [sys.executable, str(HERE / "fuzz.py"), str(folder), str(folder.parent / f"guided-{name}"), "atheris", name]
        done = _run([*words, f"-runs={runs}", "-seed=1", "-max_len=4096", f"-timeout={HANG_S}"], folder)
        ran, reached = re.search(r"Done (\d+) runs", done.stderr), re.findall(r"cov: (\d+)", done.stderr)
        print(f"  {name:<14} {runs:>7} guided by coverage, {reached[-1] if reached else '?'} places reached", flush=True)
        good = ran is not None and done.returncode == 0
        return Tally(tried=runs, good=int(ran[1]) if ran and good else 0, wrong=() if good else (done.stderr[-1500:],))

    return [(f"{name} {runs}", lambda name=name: one(name)) for name in GUIDED]


def _run(words: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd, timeout=HANG_S)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"it took more than {HANG_S} s")


def main() -> None:
    """Run all parts and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="every point, fault and file; 120,000 inputs")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="what was tried is kept here, and not tried again")
    parser.add_argument("--minutes", type=float, help="time in all (10; with --long 240)")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="only these parts")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzing")
    options = parser.parse_args()
    long: bool = options.long
    seconds = 60 * (options.minutes or (240 if long else 10))
    sys.path[:0] = [path for path in PATHS if path not in sys.path]
    import fake_methods

    fake_methods.install()
    home, server, ledger = Path(tempfile.mkdtemp(prefix="stbench-soak-")), Server(), Ledger(options.keep)
    try:
        test = FaultTest(home, server)
        server.run(WORDS, test.whole)  # once more: now its caches are there, too
        print(f"{len(test.points)} points, {len(all_faults())} faults, {len(test.flips())} files", flush=True)
        everything = (
            Part("kill points", 0.4, "tried", "survived", kills(test, 1 if long else 17)),
            Part("faults", 0.2, "injected", "handled", faults(test, 1 if long else 3)),
            Part("flipped bits", 0.2, "tried", "mended", flips(test, 1 if long else 9)),
            Part("fuzz inputs", 0.15, "tried", "clean", fuzz(test.whole, 120_000 if long else 15_000, options.seed)),
            Part("guided inputs", 0.05, "tried", "clean", guided(test.whole, 5_000 if long else 500)),
        )
        parts = [part for name, part in zip(PARTS, everything, strict=True) if name in (options.only or PARTS)]
        for part in parts:
            part.run(ledger, part.share * seconds / sum(other.share for other in parts))
    finally:
        server.close()
        shutil.rmtree(home, ignore_errors=True)
    print("", *(part.line() for part in parts), sep="\n", flush=True)
    sys.exit(any(part.tried != part.good for part in parts))


if __name__ == "__main__":
    main()
