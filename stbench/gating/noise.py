"""A/A noise: the same command again and again, to learn how far numbers move when nothing changed; and base and new in turns.

A run knows the command that made it (its journal does), so it can be repeated into a scratch folder. Each film is made by a process of
its own, as a user's would be.
"""

from __future__ import annotations

import itertools
import math
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stbench.errors import EXIT_OK, UserError
from stbench.gating.baseline import Noise
from stbench.gating.evidence import ByShot, Evidence, evidence_of
from stbench.gating.judge import numbers_of
from stbench.gating.rules import Rule
from stbench.journal import read_journal
from stbench.methods import METHODS
from stbench.store import RunFolder

OUT = "{out}"
FOREIGN = "stbench.external."  # methods that start a program which their options name
PROGRAM = (sys.executable, "-m", "stbench.cli")
_VALUED, _FLAGS = ("--out", "--repeat", "--mirror"), ("--verify", "--json")  # words of a run's command that a repetition leaves out
Say = Callable[[str], None]


def call(words: Sequence[str]) -> None:
    """Run a command; what it prints is shown only if it fails, in one `UserError`."""
    try:
        done = subprocess.run(list(words), capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(f"cannot be started ({error.strerror or error})", where=words[0]) from error
    if done.returncode != EXIT_OK:
        said = " ".join((done.stderr or done.stdout).split())[-400:]
        raise UserError(f"ended with {done.returncode}: {said or 'it said nothing'}", where=shlex.join(words))


def command_of(run: RunFolder) -> list[str]:
    """The words after `stbench` that made a run, without its folder.

    Raises:
        UserError: It was not filmed by `stbench run`, or by a program of its own, which a folder must not name (anybody may have made it).
    """
    commands = [event["command"] for event in read_journal(run.events_path).events if isinstance(event.get("command"), str)]
    words = shlex.split(commands[-1]) if commands else []
    if words[:2] != ["stbench", "run"]:
        raise UserError("its journal knows no `stbench run` command to repeat", where=str(run.path))
    kept: list[str] = []
    rest = iter(words[1:])
    for word in rest:
        if word in _VALUED:
            next(rest, None)
        elif word not in _FLAGS:
            kept.append(word)
    methods = [value for name, value in itertools.pairwise(kept) if name == "--method"]
    if len(methods) != 1 or "--method=" in shlex.join(kept) or METHODS.target(methods[0]).startswith(FOREIGN):
        raise UserError(
            f"its journal's command is not repeated: {shlex.join(kept)}", where=str(run.path), expected="one method, of no program"
        )
    return kept


def film_again(run: RunFolder, times: int, *, say: Say) -> list[Evidence]:
    """Repeat a run `times` times in scratch folders, scoring where the run has scores; what each measured."""
    words, found = command_of(run), []
    for number in range(1, times + 1):
        say(f"A/A {number} of {times}: stbench {shlex.join(words)}")
        with _scratch() as out:
            found.append(_film([*PROGRAM, *words, "--out", str(out)], out, score=bool(run.scores())))
    return found


def in_turns(run: RunFolder, base_command: str, rounds: int, *, say: Say) -> tuple[list[Evidence], list[Evidence]]:
    """Film with another command and with this program, in turns, so that both meet the same machine.

    Args:
        run: Its command is repeated by this program.
        base_command: What films with the base; `{out}` in it becomes the run folder.
        rounds: How often each.
        say: Told before each film.

    Returns:
        What the base measured, and what this program did.
    """
    if OUT not in base_command:
        raise UserError(f"found {base_command!r}", where="--interleave", expected=f"a command with {OUT} where the run folder stands")
    words = command_of(run)
    base: list[Evidence] = []
    new: list[Evidence] = []
    for number in range(1, rounds + 1):
        for kind, found in (("base", base), ("new", new)):
            say(f"round {number} of {rounds}: {kind}")
            with _scratch() as out:
                parts = [word.replace(OUT, str(out)) for word in shlex.split(base_command)]
                command = parts if kind == "base" else [*PROGRAM, *words, "--out", str(out), "--no-score"]
                found.append(_film(command, out, score=False))
    return base, new


def _film(command: Sequence[str], out: Path, *, score: bool) -> Evidence:
    call(command)
    run = RunFolder.open(out)
    if score and not run.scores():
        call([*PROGRAM, "score", str(out)])
        run = RunFolder.open(out)
    return evidence_of(run)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stbench-aa-") as folder:
        yield Path(folder) / "run"


def noise_of(runs: Sequence[Evidence]) -> Noise:
    """The largest difference of any two runs, for every number that a rule could be about.

    Raises:
        UserError: Fewer than two runs, or runs on several kinds of device.
    """
    if len(runs) < 2:
        raise UserError("one run has no noise", where="--aa", expected="at least one repetition")
    devices = sorted({run.device for run in runs})
    if len(devices) > 1:
        raise UserError(f"the runs were made on {' and '.join(devices)}", where="--aa", expected="one kind of device")
    numbers = [numbers_of(run) for run in runs]
    largest: dict[str, float] = {}
    share: dict[str, float] = {}
    for name in numbers[0]:
        values = [part[name] for part in numbers if name in part and math.isfinite(part[name])]
        if len(values) == len(numbers):
            low, high = min(values), max(values)
            largest[name] = high - low
            if low > 0:
                share[name] = high / low - 1
    return Noise(runs=len(runs), largest=largest, share=share)


def refuse_below_noise(rules: Sequence[Rule], noise: Noise, evidence: Evidence) -> None:
    """Refuse limits that A/A runs already exceed: such a gate would fail by itself."""
    numbers = numbers_of(evidence)
    for rule in rules:
        name = rule.about.rpartition("/")[2]
        if rule.ahead or name not in noise.largest or name not in numbers:
            continue
        limit, seen = rule.limit(numbers[name]), noise.largest[name]
        if seen > limit:
            share = f" ({100 * noise.share[name]:.1f}%)" if name in noise.share else ""
            raise UserError(
                f"the limit {rule.text} is below A/A noise: {noise.runs} runs of the same command differ by up to {seen:.4g}{share}",
                where="--rule",
                expected="a wider limit, or a quieter machine",
            )


def merged(runs: Sequence[Evidence]) -> Evidence:
    """One run in place of several of the same command: of each shot the median time and the largest memory."""
    stages = dict.fromkeys(stage for run in runs for stage in run.seconds)
    seconds = {stage: _by_shot([run.seconds.get(stage, {}) for run in runs], statistics.median) for stage in stages}
    return runs[0].model_copy(update={"seconds": seconds, "peaks": _by_shot([run.peaks for run in runs], max)})


def _by_shot(parts: Sequence[ByShot], combine: Callable[[list[float]], float]) -> ByShot:
    found: dict[str, dict[str, list[float]]] = {}
    for story, shots in itertools.chain.from_iterable(part.items() for part in parts):
        for shot, value in shots.items():
            found.setdefault(story, {}).setdefault(shot, []).append(value)
    return {story: {shot: combine(values) for shot, values in shots.items()} for story, shots in found.items()}
