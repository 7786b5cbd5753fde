"""Fuzzing of everything that a stranger may hand us: scripts, run folders, journals, videos, pictures, weights.

An input is *clean* if it is read or refused with a `UserError`, in bounded time. Anything else is a finding: another exception, a hang,
a file opened for writing or a name read outside of the sandbox, a process or a connection started. Inputs are mutations of good ones
(`Mutator`, seeded: the same numbers give the same inputs); with atheris installed, `python tests/soak/fuzz.py atheris TARGET` lets
coverage guide them instead.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from guard import Guard
from mutator import Mutator
from targets import SHARES, Targets

HANG_S = 20  # of processor time; ordinary inputs take milliseconds


@dataclass
class Findings:
    """What a target came to."""

    tried: int = 0
    read: int = 0  # inputs that were good enough to be read
    wrong: dict[str, bytes] = field(default_factory=dict)  # where it failed → the first input that did
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> int:
        """Inputs that were read or refused as they should."""
        return self.tried - sum(self.counts.values())


def warm_up() -> None:
    """Import what readers import when they are first called, so that only their own doing is watched."""
    import importlib

    for name in (
        "stbench.check",
        "stbench.claim",
        "stbench.finished",
        "stbench.adoption.probe",
        "stbench.gating.evidence",
        "storymem.stored",
        "yaml",
    ):
        importlib.import_module(name)


def try_one(target: Callable[[bytes], object], data: bytes, found: Findings, guard: Guard) -> None:
    """Give a target one input and note what became of it."""
    from stbench.errors import UserError

    found.tried += 1
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    guard.on = True
    try:
        target(data)
        found.read += 1
    except UserError as error:
        if "\n" in str(error):
            _note(found, "an error of several lines", data)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/" not in frame.filename]
        last = next((f for f in reversed(frames) if "stbench" in f.filename or "storymem" in f.filename), frames[-1] if frames else None)
        _note(found, f"{type(error).__name__}: {str(error)[:80]} at {last and f'{Path(last.filename).name}:{last.lineno}'}", data)
    finally:
        guard.on = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _note(found: Findings, what: str, data: bytes) -> None:
    found.counts[what] += 1
    found.wrong.setdefault(what, data)


def fuzz(targets: Targets, guard: Guard, inputs: int, seed: int = 0) -> Iterator[tuple[str, Findings]]:
    """Try about `inputs` inputs, target by target."""
    for name, (target, good) in targets.all.items():
        found, mutator = Findings(), Mutator(seed)
        for number in range(max(inputs * SHARES[name] // 1000, 1)):
            data = mutator.rng.randbytes(8) if name == "folder" else mutator.bytes(good[number % len(good)])
            if number < len(good):
                data = good[number]  # the good ones first: they must be read
            try_one(target, data, found, guard)
        yield name, found


def main() -> None:
    """Fuzz with a run that was made before: FOLDER (with run/ and tales/), N, and optionally a target for atheris."""
    folder, sandbox = Path(sys.argv[1]), Path(sys.argv[2])
    sandbox.mkdir(parents=True)
    if sys.argv[3] == "atheris":
        import atheris

        with atheris.instrument_imports(include=["stbench", "storymem"]):
            warm_up()
    warm_up()
    targets, guard = Targets(sandbox, folder / "run", folder / "tales" / "ant.json"), Guard(sandbox)
    if sys.argv[3] == "atheris":
        _with_coverage(targets, guard, sys.argv[4], sys.argv[5:])
        return
    for name, found in fuzz(targets, guard, int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 0):
        print(f"{name:<14} {found.tried:>7} tried  {found.clean:>7} clean  {found.read:>6} read", flush=True)
        for what, count in found.counts.most_common():
            print(f"    {count} x {what}   {found.wrong[what][:100]!r}", flush=True)


def _with_coverage(targets: Targets, guard: Guard, name: str, options: list[str]) -> None:
    import atheris

    target, good = targets.all[name]
    corpus = targets.sandbox / "corpus"
    corpus.mkdir()
    for number, data in enumerate(good):
        (corpus / str(number)).write_bytes(data)

    def one(data: bytes) -> None:
        found = Findings()
        try_one(target, data, found, guard)
        if found.wrong:
            raise AssertionError(next(iter(found.wrong)))

    atheris.Setup([sys.argv[0], str(corpus), *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
