"""The tables of StoryMem's paper as runs: which methods stand in which table, which runs are missing, and how they are made.

A run of a table is a run like any other, in `OUT/runs/<method>-s<seed>`: it can be continued, scored, checked and reported by itself,
and both tables share what they have in common. A method that cannot run here costs its row, with the reason, and nothing else.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stbench.config import RunConfig
from stbench.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_PARTIAL, UserError
from stbench.files import SaveError

if TYPE_CHECKING:
    from stbench.display import Display

WHOLE = "storymem"
ORDER = (WHOLE, "wan-i2v-chain", "wan-t2v")  # expected on consistency, best first
TABLES: Mapping[int, tuple[str, ...]] = {
    1: ("wan-t2v", "wan-i2v-chain", "storydiffusion", "ic-lora", "holocine", WHOLE),
    2: ("first-frame-memory", "no-quality-filter", "no-sink", WHOLE),
}
PAPER_PROTOCOL = "storymem-paper"
DEFAULTS = {"world": ("world", "world")}  # model → suite, protocol
OTHERS = ("st-bench", PAPER_PROTOCOL)
LOG_TAIL_BYTES = 4000


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for.

    Attributes:
        tables: Numbers of tables.
        model: As for `stbench run`.
        suite: None: `world` for the world model, else `st-bench`.
        protocol: None: `world` for the world model, else that which comes nearest to the paper's.
        seeds: Of the runs of every method.
        also: More rows: names of methods, or folders of runs.
        options: `--set` for the StoryMem methods.
        limit: Only the first stories.
        device: As for `stbench run`.
        out: Folder of tables and runs.
        jobs: Runs at the same time.
    """

    tables: tuple[int, ...]
    model: str
    suite: str | None
    protocol: str | None
    seeds: tuple[int, ...]
    also: tuple[str, ...]
    options: Mapping[str, str]
    limit: int | None
    device: str
    out: Path
    jobs: int

    def methods(self, table: int) -> tuple[str, ...]:
        """Methods of one table, in the order of its rows; StoryMem is last, as in the paper."""
        *others, whole = TABLES[table]
        return tuple(dict.fromkeys((*others, *self.also, whole)))

    def command(self) -> str:
        """The command line that asks for this, ready to paste."""
        words = ["stbench", "paper", *(word for number in self.tables for word in ("--table", str(number)))]
        words += ["--seeds", ",".join(map(str, self.seeds)), "--out", str(self.out), "--jobs", str(self.jobs)]
        for name in ("model", "suite", "protocol", "limit", "device"):
            value = getattr(self, name)
            words += [] if value is None else [f"--{name}", str(value)]
        words += [word for name in self.also for word in ("--also", name)]
        return shlex.join([*words, *(word for key, value in self.options.items() for word in ("--set", f"{key}={value}"))])

    def config(self, method: str, seed: int) -> RunConfig:
        """The run of a method."""
        suite, protocol = DEFAULTS.get(self.model, OTHERS)
        return RunConfig(
            method=method,
            suite=self.suite or suite,
            model=self.model,
            seed=seed,
            options=dict(self.options) if is_storymem(method) else {},
            protocol=self.protocol or protocol,
            out=self.out / "runs" / f"{method}-s{seed}",
            limit=self.limit,
            device=self.device,
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which runs are to be made or continued, and which methods cannot run here."""

    configs: tuple[RunConfig, ...]
    missing: Mapping[str, str]  # method → why
    shots: int = 0  # of all runs


def is_storymem(method: str) -> bool:
    """StoryMem, or one of its presets."""
    from stbench.methods import METHODS

    return METHODS.target(method).partition(":")[0].partition(".")[0] == WHOLE and method not in ORDER[1:]


def is_run(name: str) -> bool:
    """A further row that is a folder, not a method."""
    return (Path(name) / "manifest.json").is_file()


def plan(wanted: Wanted) -> Plan:
    """Check every method before the first is run.

    Raises:
        UserError: Not one of them can run; the reason of the first.
    """
    from stbench.methods import METHODS
    from stbench.runner import prepare

    for name in wanted.also:
        if not is_run(name):
            METHODS.target(name)  # a slip of the pen is no reason to run the others
    names = dict.fromkeys(name for table in wanted.tables for name in (WHOLE, *wanted.methods(table)) if not is_run(name))
    configs: list[RunConfig] = []
    missing: dict[str, str] = {}
    first: UserError | None = None
    shots = 0
    for name in names:
        try:
            if name not in wanted.also and name not in METHODS.names():
                raise UserError("is not part of this installation")
            mine = [wanted.config(name, seed) for seed in wanted.seeds]
            shots += len(mine) * prepare(mine[0])[2].counts.expected
        except UserError as error:
            first, missing[name] = first or error, str(error).removeprefix(f"{name}: ")
            continue
        configs += mine
    if first is not None and not configs:
        raise first
    return Plan(configs=tuple(configs), missing=missing, shots=shots)


def make(plan: Plan, wanted: Wanted, display: Display) -> dict[str, str]:
    """Make or continue every run.

    Returns:
        Method → what went wrong, for those that could not be run after all.

    Raises:
        SaveError: The disk refused.
        InterruptedRunError: Ctrl-C; finished shots are safe.
    """
    from stbench.runner import InterruptedRunError

    wrong: dict[str, str] = {}
    try:
        for config, problem in _alone(plan.configs, display) if wanted.jobs == 1 else _side_by_side(plan.configs, wanted, display):
            if problem:
                wrong[config.method] = problem
                display.line(f"  {config.method} seed {config.seed}: {problem}")
    except (KeyboardInterrupt, InterruptedRunError) as error:
        done = sum(1 for _ in (wanted.out / "runs").glob("*/shots/*/*.json"))
        raise InterruptedRunError(folder=wanted.out, done=done, expected=plan.shots, command=wanted.command()) from error
    return wrong


def _alone(configs: Sequence[RunConfig], display: Display) -> Iterator[tuple[RunConfig, str | None]]:
    """One after the other, in this process."""
    from stbench.display import make_display
    from stbench.runner import run

    for number, config in enumerate(configs, start=1):
        display.line(f"[{number} of {len(configs)}] {config.method}, seed {config.seed}")
        try:
            with make_display() as own:
                run(config, own)
        except SaveError:
            raise
        except UserError as error:
            yield config, str(error)
            continue
        yield config, None


def _side_by_side(
    configs: Sequence[RunConfig], wanted: Wanted, display: Display, start: Callable[..., int] = subprocess.call
) -> Iterator[tuple[RunConfig, str | None]]:
    """Each run in a process of its own, several at a time; what they print is in OUT/logs."""
    logs = wanted.out / "logs"
    logs.mkdir(parents=True, exist_ok=True)

    def one(config: RunConfig) -> tuple[RunConfig, str | None]:
        log = logs / f"{Path(str(config.out)).name}.log"
        display.line(f"  {config.method}, seed {config.seed}: started; see {log}")
        with log.open("ab") as file:
            words = [sys.executable, "-m", "stbench.cli", *shlex.split(config.command())[1:]]
            code = start(words, stdout=subprocess.DEVNULL, stderr=file, stdin=subprocess.DEVNULL, env=_environment(wanted.jobs))
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt
        display.line(f"  {config.method}, seed {config.seed}: {'done' if code == EXIT_OK else f'ended with {code}'}")
        return config, None if code in (EXIT_OK, EXIT_PARTIAL) else _last_line(log) or f"ended with {code}"

    pool = ThreadPoolExecutor(wanted.jobs)
    try:
        yield from pool.map(one, configs)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _environment(jobs: int) -> dict[str, str]:
    """Processes share the cores, unless somebody has decided otherwise."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    return {"OMP_NUM_THREADS": threads, **os.environ}


def _last_line(log: Path) -> str:
    lines = log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else ""


def titles(wanted: Wanted, table: int, missing: Mapping[str, str]) -> dict[str, list[Path]]:
    """Title of a row → its run folders, one per seed, in the order of the table; rows without a run are left out."""
    found: dict[str, list[Path]] = {}
    for name in wanted.methods(table):
        if is_run(name):
            found[Path(name).resolve().name] = [Path(name)]
        elif name not in missing:
            folders = [Path(str(wanted.config(name, seed).out)) for seed in wanted.seeds]
            found[name] = [folder for folder in folders if is_run(str(folder))]
    return {title: folders for title, folders in found.items() if folders}
