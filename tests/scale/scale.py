"""`tox -e scale`: what one run on many workers shows, measured, with the limits it must keep.

    python tests/scale/scale.py                        bounded: about fifteen minutes on two free cores
    python tests/scale/scale.py --long                 50 kills of each kind
    python tests/scale/scale.py --only efficiency      one part; also: memory, kills, storage, world

Shots sleep, so they need no processor: what is left is the overhead of the harness. Ends with 1 if a limit is not kept.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_runs import PLUGINS, Place, killed_run

HERE = Path(__file__).resolve().parent
EFFICIENCY, OVERHEAD_S, MEMORY_MIB = 0.95, 0.020, 64
WORKERS = 16


@dataclass(kw_only=True)
class Verdicts:
    """What was found, and which limits were not kept."""

    missed: list[str] = field(default_factory=list)

    def line(self, text: str, *, kept: bool | None = None) -> None:
        """Say a figure, and whether it keeps its limit, where it has one."""
        mark = "" if kept is None else "   ok" if kept else "   MISSED"
        print(f"  {text}{mark}", flush=True)
        if kept is False:
            self.missed.append(text)


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """Of one run with sleeping shots.

    Attributes:
        steady: Time that the workers slept, of the time from a worker's first shot to its last.
        whole: The same, of all workers' time from the command's start to its last shot.
        wall_s, cpu_s: Per shot beside the sleep: on the clock, and of the processor (median).
        idle: Share of a processor that a worker uses while its shot sleeps: heartbeats, and the engine's own threads (median).
    """

    steady: float
    whole: float
    wall_s: float
    cpu_s: float
    idle: float


def efficiency(place: Place, words: list[str], *, sleep_s: float) -> Efficiency:
    """Run, then read it off the journal's segments and the fake method's log."""
    process = place.start(*words, "--no-score", sleep_s=sleep_s)
    if process.wait(timeout=1800) != 0:
        raise SystemExit(place.said())
    events = place.journal()
    began = next(event["time"] for event in events if event["event"] == "run_started")
    spans: dict[str, list[float]] = {}
    for event in events:
        if event["event"] in ("shot_started", "shot_done"):
            spans.setdefault(event.get("writer", "main"), []).append(event["time"])
    shots = sum(place.lengths)
    present_s = sum(times[-1] - times[0] for times in spans.values())
    last = max(times[-1] for times in spans.values())
    between = [b - a - sleep_s for times in spans.values() for a, b in zip(times[::2], times[2::2], strict=False)]
    began_cpu, woke_cpu = processor_times(place.log), processor_times(place.log.with_name(place.log.name + ".slept"))
    cpu = [after - woke for pid, times in began_cpu.items() for woke, after in zip(woke_cpu[pid][1:], times[2:], strict=False)]
    asleep = [woke - before for pid, times in began_cpu.items() for before, woke in zip(times[1:], woke_cpu[pid][1:], strict=True)]
    return Efficiency(
        steady=shots * sleep_s / present_s,
        whole=shots * sleep_s / (len(spans) * (last - began)),
        wall_s=statistics.median(between),
        cpu_s=statistics.median(cpu),
        idle=statistics.median(asleep) / sleep_s,
    )


def processor_times(log: Path) -> dict[str, list[float]]:
    """What each process had used at each of its shots. A process's first shot, which loads libraries, is the caller's to leave out."""
    used: dict[str, list[float]] = {}
    for line in log.read_text().splitlines():
        *_, pid, cpu = line.split()
        used.setdefault(pid, []).append(float(cpu))
    return used


def part_efficiency(work: Path, verdicts: Verdicts, options: argparse.Namespace) -> None:
    print(f"Efficiency: {WORKERS} workers, 32 stories of {options.shots} shots that sleep {options.sleep:g} s")
    for executor in ("local", "ray"):
        if executor not in options.executors:
            continue
        place = Place(folder=work / f"efficiency-{executor}", lengths=[options.shots] * (2 * WORKERS))
        found = efficiency(place, ["--executor", executor, "--workers", str(WORKERS)], sleep_s=options.sleep)
        verdicts.line(f"{executor:<5}  efficiency {found.steady:.3f} (limit {EFFICIENCY})", kept=found.steady >= EFFICIENCY)
        verdicts.line(f"{executor:<5}  with the start of the workers {found.whole:.3f}")
        verdicts.line(f"{executor:<5}  overhead per shot: processor {found.cpu_s * 1e3:.1f} ms (limit 20)", kept=found.cpu_s <= OVERHEAD_S)
        verdicts.line(f"{executor:<5}  while a shot sleeps, its worker uses {found.idle:.2%} of a processor")
        verdicts.line(f"{executor:<5}  overhead per shot: clock {found.wall_s * 1e3:.1f} ms, with all that the machine does besides")


def part_memory(work: Path, verdicts: Verdicts, options: argparse.Namespace) -> None:
    """The driver's side of a run over a fleet that answers at once: growth of its peak from 100 to 10,000 stories, their scripts aside."""
    print("Driver's memory while 10 shots a story are filmed, beyond its stories in the manifest")
    grown = {}
    for stories in (100, 1_000, 10_000):
        code = f"import memory; memory.main({stories})"
        done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
        held, peak = map(float, done.stdout.split())
        grown[stories] = peak
        verdicts.line(f"{stories:>6} stories: {held:.1f} MiB of stories, {peak:.1f} MiB more while filming")
    growth = grown[10_000] - grown[100]
    verdicts.line(f"growth from 100 to 10,000 stories: {growth:.1f} MiB (limit {MEMORY_MIB})", kept=growth <= MEMORY_MIB)


def part_kills(work: Path, verdicts: Verdicts, options: argparse.Namespace) -> None:
    print("Kills (SIGKILL) at random moments of runs with four workers, 8 stories, 32 shots that sleep 0.5 s")
    lengths = [6, 2, 5, 3, 4, 4, 3, 5]
    plain = Place(folder=work / "plain", lengths=lengths)
    if plain.start().wait(timeout=1800) != 0:
        raise SystemExit(plain.said())
    reference = plain.facts()
    local, ray = ["--workers", "4"], ["--executor", "ray", "--workers", "4"]
    many = options.kills or (50 if options.long else 3)
    few = options.kills or (50 if options.long else 1)
    if "local" in options.executors:
        kill(work, verdicts, reference, lengths, "worker", many, local, options, executor="local")
        kill(work, verdicts, reference, lengths, "driver", many, local, options, executor="local")
    if "ray" in options.executors:
        with cluster() as (address, strike_node):
            words = [*ray, "--ray-address", address]
            kill(work, verdicts, reference, lengths, "worker", many, words, options, executor="ray")
            kill(work, verdicts, reference, lengths, "node", few, words, options, executor="ray", nodes=strike_node)
            kill(work, verdicts, reference, lengths, "driver", few, words, options, executor="ray")


def kill(
    work: Path,
    verdicts: Verdicts,
    reference: dict[str, Any],
    lengths: list[int],
    what: str,
    times: int,
    words: list[str],
    options: argparse.Namespace,
    *,
    executor: str,
    nodes: Callable[[], None] | None = None,
) -> None:
    """Runs of up to five strikes each, until there were enough."""
    if what not in options.strikes:
        return
    struck = lost = twice = redone = runs = 0
    wrong: list[str] = []
    stories: list[str] = []
    while struck < times and runs < times:
        place = Place(folder=work / f"{executor}-{what}-{runs}", lengths=lengths)
        strikes = [what] * min(5, times - struck)
        found = killed_run(place, reference, strikes, words, random.Random(f"{options.seed} {executor} {what} {runs}"), nodes)
        runs += 1
        struck, lost, twice, redone = (
            struck + sum(found.struck.values()),
            lost + found.lost,
            twice + found.twice,
            redone + found.redone,
        )
        wrong += found.wrong
        stories += found.stories
    verdicts.line(
        f"{executor:<5}  {what:<6}  {struck:>3} killed in {runs} runs: {lost} lost, {twice} made twice, {redone} in progress made again, "
        f"{len(wrong)} otherwise wrong",
        kept=struck >= times and not (lost or twice or wrong),
    )
    for text in [*wrong, *stories]:
        print(f"         {text[:3000]}", flush=True)


class cluster:  # noqa: N801 (used like a function, in a `with`)
    """A Ray cluster of two machines, both this one: a head with the driver's job, and one that can be killed."""

    def __enter__(self) -> tuple[str, Callable[[], None]]:
        from ray.cluster_utils import Cluster

        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "180", "PYTHONPATH": str(PLUGINS)}
        memory = {"object_store_memory": 80 * 2**20}
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, **memory})
        node = [self._cluster.add_node(num_cpus=2, **memory)]

        def strike() -> None:
            self._cluster.remove_node(node.pop(), allow_graceful=False)
            node.append(self._cluster.add_node(num_cpus=2, **memory))

        return self._cluster.address, strike

    def __exit__(self, *error: object) -> None:
        self._cluster.shutdown()


def part_storage(work: Path, verdicts: Verdicts, options: argparse.Namespace) -> None:
    from object_store import by_command, by_faulty_client, by_two_machines, server

    print("Object store: moto's S3 server on this machine")
    place = Place(folder=work / "storage", lengths=[3, 2, 2])
    with server():
        wrong = by_command(place)
        verdicts.line(f"filmed into a mirror, disk lost, same command: {wrong or 'the same run, nothing made again'}", kept=not wrong)
        for seed in range(options.seed, options.seed + (20 if options.long else 3)):
            injected, wrong = by_faulty_client(place, seed)
            verdicts.line(f"{injected} requests failed (seed {seed}): {wrong or 'the same shots came back'}", kept=not wrong)
        lengths = [4, 2, 3, 3]
        alone = Place(folder=work / "storage-alone", lengths=lengths)
        if alone.start().wait(timeout=1800) != 0:
            raise SystemExit(alone.said())
        reference = alone.facts()
        for killed, times in ((False, 1), (True, 10 if options.long else 2)):
            for seed in range(options.seed, options.seed + times):
                found, wrong = by_two_machines(work, reference, lengths, killed=killed, seed=seed)
                what = "two machines, one of them killed" if killed else "two machines at the same time"
                verdicts.line(f"{what}: {found}; {wrong or 'the same run'}", kept=not wrong)


def part_world(work: Path, verdicts: Verdicts, options: argparse.Namespace) -> None:
    """The embedded model, on one thread each: frames and scores of two workers, and of scoring beside them, are those of one process."""
    print("Story World, three stories, storymem")
    found = []
    for words in ([], ["--workers", "2", "--score-workers", "1"]):
        place = Place(folder=work / f"world{len(words)}", lengths=[])
        process = place.start(*words, "--method", "storymem", "--suite", "world-mini")
        if process.wait(timeout=7200) not in (0, 3):
            raise SystemExit(place.said())
        found.append(place.facts())
    shots = len(found[0]["records"])
    verdicts.line(f"{shots} shots, records, frames and scores bit for bit the same", kept=shots > 0 and found[0] == found[1])


PARTS: dict[str, Callable[[Path, Verdicts, argparse.Namespace], None]] = {
    "efficiency": part_efficiency,
    "memory": part_memory,
    "kills": part_kills,
    "storage": part_storage,
    "world": part_world,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="50 kills of each kind")
    parser.add_argument("--only", default=",".join(name for name in PARTS if name != "world"), help="parts, with commas between")
    parser.add_argument("--executors", default="local,ray")
    parser.add_argument("--strikes", default="worker,driver,node", help="what the part kills strikes")
    parser.add_argument("--kills", type=int, help="how many of each kind, instead of 3 (Ray's drivers and nodes: 1), or of 50 with --long")
    parser.add_argument("--shots", type=int, default=4, help="of each of the 32 stories in the part efficiency")
    parser.add_argument("--sleep", type=float, default=16.0, help="seconds of one shot in the part efficiency")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory(prefix="stbench-scale-") as folder:
        for name in options.only.split(","):
            PARTS[name](Path(folder), verdicts, options)
    for text in verdicts.missed:
        print(f"MISSED: {text}")
    sys.exit(1 if verdicts.missed else 0)


if __name__ == "__main__":
    main()
