"""Runs of the fake method on many processes, started, watched, struck and judged from outside, as a user's machine would."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PLUGINS = Path(__file__).resolve().parents[1] / "stbench" / "plugins"
VOLATILE = {"seconds", "seal", "attempt"}
LOOK_EVERY_S = 0.2
PATIENCE_S = 1800
DRIVER = """
import sys
sys.path.insert(0, {plugins!r})
import fake_methods
fake_methods.install()
from stbench.executors import ray_cluster
ray_cluster.CARRIED += ("FAKE_SLEEP", "FAKE_LOG")  # a cluster that was there before does not have them
if __name__ == "__main__":
    from stbench.cli import main
    main()
"""


def write_suite(folder: Path, lengths: list[int]) -> Path:
    """One script per number, with that many shots."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, length in enumerate(lengths):
        shots = {"scene_num": 1, "video_prompts": [f"Tale {n}, {k}." for k in range(length)], "cut": [k == 0 for k in range(length)]}
        script = {"story_name": f"Tale {n}", "story_overview": "A tale.", "scenes": [shots]}
        (folder / f"tale{n:05d}.json").write_text(json.dumps(script))
    return folder


@dataclass(kw_only=True)
class Place:
    """A folder with a suite, where one run is made."""

    folder: Path
    lengths: list[int]

    def __post_init__(self) -> None:
        self.suite = write_suite(self.folder / "tales", self.lengths)
        self.run = self.folder / "run"
        self.log = self.folder / "asked.log"
        (self.folder / "driver.py").write_text(DRIVER.format(plugins=str(PLUGINS)))

    def start(self, *words: str, sleep_s: float = 0.0) -> subprocess.Popen[bytes]:
        """The command, in a process of its own."""
        line = [sys.executable, str(self.folder / "driver.py"), "run", "--method", "fake", "--suite", str(self.suite)]
        line += ["--out", str(self.run), "--device", "cpu", *words]
        environment = {**os.environ, "FAKE_SLEEP": str(sleep_s), "FAKE_LOG": str(self.log), "OMP_NUM_THREADS": "1"}
        out = (self.folder / "said.txt").open("ab")
        return subprocess.Popen(line, stdout=out, stderr=out, env=environment, start_new_session=True)

    def said(self) -> str:
        """The end of what it printed."""
        return (self.folder / "said.txt").read_text(errors="replace")[-2000:]

    def records(self) -> dict[str, int]:
        """Finished shots, and when each was finished. What still has a temporary name is none, and may go while one looks."""
        found = (path for path in self.run.glob("shots/*/*.json") if not path.name.startswith("."))
        return {str(path.relative_to(self.run)): path.stat().st_mtime_ns for path in found}

    def journal(self) -> list[dict[str, Any]]:
        from stbench.journal import read_journal

        return read_journal(self.run / "events.jsonl").events

    def facts(self) -> dict[str, Any]:
        """What must not depend on who made it."""
        from stbench.store import RunFolder

        folder = RunFolder.open(self.run)
        records = [record.to_json() for part in folder.story_records() for record in part.records]
        return {
            "records": [{name: value for name, value in record.items() if name not in VOLATILE} for record in records],
            "frames": {str(path.relative_to(self.run)): path.read_bytes() for path in sorted(self.run.glob("shots/*/*.mp4"))},
            "scores": folder.scores_path.read_text(),
        }

    def asked(self) -> Counter[str]:
        """How often the method was asked for each shot."""
        if not self.log.exists():
            return Counter()
        return Counter(line.rsplit(" ", 2)[0] for line in self.log.read_text().splitlines())


@dataclass(kw_only=True)
class Kills:
    """What a run with kills came to."""

    struck: Counter[str] = field(default_factory=Counter)
    lost: int = 0  # finished shots that were made again, or are gone
    twice: int = 0  # shots that were published twice
    redone: int = 0  # shots in progress that a kill cost
    wrong: list[str] = field(default_factory=list)
    stories: list[str] = field(default_factory=list)  # what the journal says of each lost shot


def story_of(place: Place, name: str, time_ns: int) -> str:
    """What the journal says of a shot, for whoever looks for the reason."""
    story, shot = Path(name).parts[1], Path(name).stem
    lines = [f"{name} finished at {time_ns / 1e9:.3f}"]
    for event in place.journal():
        if event["event"].startswith(("run_", "worker_")) or (event.get("story") == story and event.get("shot", shot) == shot):
            lines.append(f"{event['time']:.3f} {event['event']} {event.get('writer', 'main')} {event.get('reason', '')}")
    return "\n           ".join(lines)


def killed_run(
    place: Place, reference: dict[str, Any], strikes: list[str], words: list[str], source: random.Random, nodes: Any = None
) -> Kills:
    """Strike a run at random moments, repeating the command whenever it died, until it is complete; compare.

    Args:
        place: Where.
        reference: Facts of a run that nobody struck.
        strikes: What to strike, in order: "worker", "driver", "node".
        words: Of the command.
        source: Of the moments and the victims.
        nodes: For "node": a call that kills one machine of the Ray cluster and adds another.
    """
    kills, finished = Kills(), dict[str, int]()
    process = place.start(*words, sleep_s=0.5)
    began = time.monotonic()
    for what in strikes:
        target = len(place.records()) + source.randint(1, 3)
        while len(place.records()) < target and process.poll() is None and time.monotonic() - began < PATIENCE_S:
            time.sleep(LOOK_EVERY_S)
        time.sleep(source.random() * 0.6)
        if process.poll() is not None:
            break
        finished.update(place.records())
        if strike(what, place, process, source, nodes):
            kills.struck[what] += 1
        if what == "driver":
            process.wait(timeout=60)
            process = place.start(*words, sleep_s=0.5)
    judge(place, reference, process, kills, finished, words)
    return kills


def strike(what: str, place: Place, process: subprocess.Popen[bytes], source: random.Random, nodes: Any) -> bool:
    """SIGKILL; False if there was nobody to strike."""
    if what == "node":
        nodes()
        return True
    if what == "driver":
        os.kill(process.pid, signal.SIGKILL)
        return True
    leases = sorted((place.run / ".leases").glob("*.json"))
    source.shuffle(leases)
    for lease in leases:
        try:
            os.kill(int(json.loads(lease.read_text())["pid"]), signal.SIGKILL)
            return True
        except (OSError, ValueError):
            continue
    return False


def judge(
    place: Place, reference: dict[str, Any], process: subprocess.Popen[bytes], kills: Kills, finished: dict[str, int], words: list[str]
) -> None:
    """Let the run end, repeating the command once if it died, and hold it against the promises."""
    from stbench.check import check_run

    for attempt in range(2):
        try:
            code = process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            kills.wrong.append(f"it hung: {place.said()}")
            return
        if code == 0 or attempt:
            break
        process = place.start(*words, sleep_s=0.5)
    if code != 0:
        kills.wrong.append(f"it ended with {code}: {place.said()}")
    now = place.records()
    gone = [name for name, time_ns in finished.items() if now.get(name) != time_ns]
    kills.lost = len(gone)
    kills.stories += [story_of(place, name, finished[name]) for name in gone]
    done = Counter(event["key"] for event in place.journal() if event["event"] == "shot_done")
    kills.twice = sum(times > 1 for times in done.values())
    kills.redone = sum(times - 1 for times in place.asked().values())
    if place.facts() != reference:
        kills.wrong.append("records, frames or scores differ")
    result = check_run(place.run)
    if result.verdict != "valid":
        kills.wrong.append(f"check: {[str(problem) for problem in result.problems]}")
