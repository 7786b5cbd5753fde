"""Kill tests: stop a run at every point in turn, in five ways, repeat the command, and compare with a run that was never stopped.

For each point: `kill` is SIGKILL; `term` and `int` are SIGTERM and Ctrl-C; `torn` is SIGKILL with every write cut short that was
not flushed; `power` is SIGKILL with everything undone that was not flushed. Then it must hold:

- the folder is never INVALID, and no shot that the journal was promised is lost;
- the same command ends COMPLETE, asks the method for no shot that was finished, and leaves no temporary file;
- manifest, records, scores and films are those of the uninterrupted run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forked import Ended, Server
from points import Watch, power_loss, tear

MODES = ("kill", "term", "int", "torn", "power")
SIGNALS = {"term": signal.SIGTERM, "int": signal.SIGINT}
WORDS = ["run", "--method", "fake", "--suite", "tales", "--out", "run", "--device", "cpu"]
VOLATILE = {"seconds", "started", "finished", "attempt", "seal"}


def write_suite(folder: Path) -> None:
    """Two stories, four shots."""
    for name, scenes in (("ant", ((True, False), (True,))), ("bee", ((True,),))):
        script = {
            "story_name": name,
            "story_overview": f"{name} in short.",
            "scenes": [
                {"scene_num": s, "video_prompts": [f"{name} {s} {k}." for k in range(len(cuts))], "cut": list(cuts)}
                for s, cuts in enumerate(scenes, start=1)
            ],
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(script))


def die_at(root: str, shadow: str | None, number: int, mode: str) -> None:
    """In the child: stop this process at a point."""
    watch: Watch

    def at(count: int, name: str) -> None:
        if count == number:
            watch.save()
            os.kill(os.getpid(), SIGNALS.get(mode, signal.SIGKILL))

    watch = Watch(Path(root), Path(shadow) if shadow else None, at)
    watch.start()


def list_points(root: str, into: str) -> None:
    """In the child: write the names of all points that the run passes."""
    log = Path(into).open("w")  # noqa: SIM115 (open until the process ends)

    def at(count: int, name: str) -> None:
        log.write(f"{name}\n")
        log.flush()

    Watch(Path(root), None, at).start()


@dataclass(kw_only=True)
class Verdict:
    """What one kill came to; `wrong` is empty if all promises held."""

    point: str
    mode: str
    wrong: list[str] = field(default_factory=list)


class KillTest:
    """The uninterrupted run to compare with, and the trials.

    Args:
        folder: Where to work; each trial has a folder there for as long as it runs.
        server: Runs the command line.
    """

    def __init__(self, folder: Path, server: Server):
        self.folder, self.server = folder, server
        self.whole = self._fresh("whole")
        done = server.run(WORDS, self.whole, prepare="kills:list_points", root=str(self.whole / "run"), into=str(self.whole / "points.txt"))
        assert done.code == 0, done.err
        self.points = (self.whole / "points.txt").read_text().splitlines()
        self.shots = sorted(done.made)
        self.facts = facts(self.whole / "run")

    def trial(self, number: int, mode: str) -> Verdict:
        """Stop at point `number` (from 1), look, continue, compare."""
        verdict = Verdict(point=self.points[number - 1], mode=mode)
        place = self._fresh(f"{mode}-{number}")
        run, shadow = place / "run", self.folder / f"{mode}-{number}-shadow"
        watched = mode in ("torn", "power")
        if watched:
            shadow.mkdir()
        died = self.server.run(
            WORDS, place, prepare="kills:die_at", root=str(run), shadow=str(shadow) if watched else None, number=number, mode=mode
        )
        expected = 130 if mode in SIGNALS else -signal.SIGKILL
        if died.code != expected or died.traceback:
            verdict.wrong.append(f"it ended with {died.code}, expected {expected}: {died.err[-300:]}")
        promised: list[str] = []
        if watched:
            promised = json.loads(shadow.with_suffix(".json").read_text())["done"]
            place = self._after_power_loss(place, shadow, mode)
            run = place / "run"
        self._look(run, verdict, promised, died)
        kept = finished(run)
        again = self.server.run(WORDS, place)
        self._compare(run, again, kept, verdict)
        for path in (self.folder / f"{mode}-{number}", place, shadow):
            shutil.rmtree(path, ignore_errors=True)
        shadow.with_suffix(".json").unlink(missing_ok=True)
        return verdict

    def pairs(self) -> list[tuple[int, str]]:
        """Every point (from 1) in every way."""
        return [(number, mode) for number in range(1, len(self.points) + 1) for mode in MODES]

    def _fresh(self, name: str) -> Path:
        place = self.folder / name / "place"
        write_suite(place / "tales")
        return place

    def _after_power_loss(self, place: Path, shadow: Path, mode: str) -> Path:
        if mode == "torn":
            tear(place / "run", shadow)
            return place
        rebuilt = place.parent / "rebuilt"
        power_loss(place / "run", shadow, rebuilt)
        shutil.rmtree(place)
        rebuilt.rename(place)  # the same path, for it is part of the command
        write_suite(place / "tales")
        return place

    def _look(self, run: Path, verdict: Verdict, promised: list[str], died: Ended) -> None:
        """The folder as it was left."""
        from stbench.check import check_run
        from stbench.errors import UserError

        lost = set(promised) - set(finished(run))
        if lost:
            verdict.wrong.append(f"lost: {sorted(lost)}")
        try:
            result = check_run(run)
        except UserError as error:
            if finished(run):
                verdict.wrong.append(f"shots are there but no run: {error}")
            return
        if result.verdict == "invalid":
            verdict.wrong.append(f"check: {[str(problem) for problem in result.problems]}")

    def _compare(self, run: Path, again: Ended, kept: list[str], verdict: Verdict) -> None:
        """The folder after the same command was repeated."""
        from stbench.check import check_run

        if again.code != 0 or again.traceback:
            verdict.wrong.append(f"the repeated command ended with {again.code}: {again.err[-600:]}")
            return
        if sorted([*kept, *again.made]) != self.shots:
            verdict.wrong.append(f"finished were {kept}, made again {again.made}")
        for name, found in facts(run).items():
            if found != self.facts[name]:
                verdict.wrong.append(f"{name} differ from an uninterrupted run's")
        left = [str(path.relative_to(run)) for path in run.rglob(".tmp-*")]
        if left:
            verdict.wrong.append(f"left over: {left}")
        result = check_run(run)
        if result.verdict != "valid":
            verdict.wrong.append(f"check after: {result.lines()}")


def finished(run: Path) -> list[str]:
    """Shots with a record that the command would use again."""
    from stbench.errors import UserError
    from stbench.filming import reusable
    from stbench.store import RunFolder

    try:
        folder = RunFolder.open(run)
    except UserError:
        return []
    return [f"{story.id} {record.shot}" for story in folder.stories for _, record in reusable(folder, story) if record is not None]


def facts(run: Path) -> dict[str, Any]:
    """What must not depend on interruptions: manifest, records, scores and films, without times."""
    from stbench.store import RunFolder

    folder = RunFolder.open(run)

    def timeless(data: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in data.items() if name not in VOLATILE}

    return {
        "manifests": timeless(json.loads((run / "manifest.json").read_text())),
        "records": [timeless(record.to_json()) for part in folder.story_records() for record in part.records],
        "scores": folder.scores_path.read_text(),
        "films": [folder.film_path(story.id).read_bytes() for story in folder.stories],
    }
