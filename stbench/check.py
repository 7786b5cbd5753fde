"""`stbench check`: is a run folder what it says it is? Named rules, from the folder alone; no model, no GPU.

VALID: every rule holds. PARTIAL: every rule holds for what is there, but shots are missing. INVALID: a rule is broken.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from stbench.errors import InvalidRunError
from stbench.films import film_is_current
from stbench.finished import distrust
from stbench.journal import read_journal
from stbench.keys import story_keys
from stbench.record import ShotRecord, as_input
from stbench.repeat import in_words
from stbench.scores import Score
from stbench.seeds import shot_seed
from stbench.store import RunFolder
from stbench.story import Shot, Story
from stbench.suites import stories_digest
from stbench.sums import altered
from stbench.verdict import RULES as RULES
from stbench.verdict import CheckResult, Problem
from stbench.video import VideoError, read_mp4, read_png


def check_run(path: Path) -> CheckResult:
    """Verify a run folder.

    Raises:
        UserError: It is not a run folder at all. A damaged one is a result, not an error.
    """
    result = CheckResult(run=path)
    try:
        folder = RunFolder.open(path)
    except InvalidRunError as error:
        result.problems.append(Problem(rule="manifest", where=str(path), found=str(error)))
        return result
    checker = _Checker(folder, result)
    checker.manifest()
    result.expected = sum(len(story.shots) for story in folder.stories)
    records = [record for story in folder.stories for record in checker.story(story)]
    result.done = len(records)
    checker.missing(records)
    checker.counts()
    checker.films()
    checker.scores()
    checker.report()
    checker.journal(records)
    checker.timing(records)
    if result.problems:
        distrust(path)
    return result


class _Checker:
    """The rules; each adds its problems to the result."""

    def __init__(self, folder: RunFolder, result: CheckResult):
        self.folder, self.result = folder, result

    def broken(self, rule: str, where: str, found: str) -> None:
        self.result.problems.append(Problem(rule=rule, where=where, found=found))

    def manifest(self) -> None:
        """The stories are those that the digest was made of, as far as all of them are here (`--limit` keeps the first)."""
        manifest = self.folder.manifest
        if not manifest.intact:
            self.broken("manifest", "manifest.json", "it was altered since it was written")
        found = stories_digest(manifest.stories)
        if manifest.suite.stories == len(manifest.stories) and found != manifest.suite.digest:
            self.broken("manifest", "suite", f"the stories have digest {found[:12]}, the manifest says {manifest.suite.digest[:12]}")
        if manifest.suite.stories > len(manifest.stories):
            self.result.remarks.append(f"the run has the first {len(manifest.stories)} of {manifest.suite.stories} stories of its suite")
        if manifest.repeat:
            self.result.remarks.append(in_words(manifest.repeat))

    def story(self, story: Story) -> list[ShotRecord]:
        """Rules of one story's shots; returns the finished ones."""
        finished: list[ShotRecord] = []
        keys = story_keys(identity=self.folder.manifest.identity, story=story, run_seed=self.folder.manifest.seed)
        missing: list[str] = []
        for shot, key in zip(story.shots, keys, strict=True):
            where = f"{story.id} {shot.id}"
            try:
                record = self.folder.record(story.id, shot.id)
            except InvalidRunError as error:
                self.broken("records", where, str(error))
                record = None
            if record is None:
                missing.append(shot.id)
                continue
            if missing and record.inputs != tuple(as_input(done) for done in finished):
                self.result.remarks.append(f"{where} was made from shots that are gone; the next run makes it again")
                missing.append(shot.id)
                continue
            if missing and record.lacks != tuple(missing):
                self.broken(
                    "key-chain", where, f"it says that it lacks {', '.join(record.lacks) or 'nothing'}, but {', '.join(missing)} is missing"
                )
            self.shot(story, shot, key, record, finished, where)
            finished.append(record)
        return finished

    def shot(self, story: Story, shot: Shot, key: str, record: ShotRecord, before: list[ShotRecord], where: str) -> None:
        """Rules of one finished shot."""
        if not record.intact:
            self.broken("records", where, "the record was altered since it was written")
        if (record.story, record.shot, record.index) != (story.id, shot.id, shot.index):
            self.broken("records", where, f"the record is of {record.story} {record.shot}, index {record.index}")
        if record.shot_key != key:
            self.broken("key-chain", where, f"its key is {record.shot_key[:12]}, expected {key[:12]}")
        if record.inputs != tuple(as_input(done) for done in before):
            self.broken("key-chain", where, "it was made from other shots than those before it")
        seed = shot_seed(run_seed=self.folder.manifest.seed, story=story.id, index=shot.index)
        if record.seed != seed:
            self.broken("seeds", where, f"its seed is {record.seed}, expected {seed}")
        intact = True
        for file in record.files:
            if not file.intact(self.folder.shots_path(story.id)):
                intact = False
                state = "has other bytes" if self.folder.file(record, file).is_file() else "is missing"
                self.broken("digests", where, f"{file.name} {state}")
        if intact:
            self.decode(record, where)

    def decode(self, record: ShotRecord, where: str) -> None:
        """The files hold what the record says."""
        try:
            frames, fps = read_mp4(self.folder.shot_video(record))
        except VideoError as error:
            self.broken("decode", where, str(error))
            return
        expected = (record.n_frames, record.height, record.width, 3)
        if frames.shape != expected or abs(fps - record.fps) > 0.01 * record.fps:
            self.broken("decode", where, f"the video is {frames.shape} at {fps:g} fps, expected {expected} at {record.fps:g} fps")
        for file in (*record.keyframes, *record.tail):
            self._still(record, file.name, where)

    def _still(self, record: ShotRecord, name: str, where: str) -> None:
        try:
            shape = read_png(self.folder.shots_path(record.story) / name).shape
        except VideoError as error:
            self.broken("decode", where, str(error))
            return
        if shape != (record.height, record.width, 3):
            self.broken("decode", where, f"{name} is {shape}, expected {(record.height, record.width, 3)}")

    def missing(self, records: list[ShotRecord]) -> None:
        """Which shots are not there, and what the journal says about it."""
        there = {(record.story, record.shot) for record in records}
        said: dict[tuple[str, str], str] = {}
        for event in read_journal(self.folder.events_path).events:
            story = str(event.get("story"))
            match event.get("event"):
                case "run_started" | "run_continued":
                    self.result.command = str(event.get("command"))
                case "shot_failed":
                    said[story, str(event.get("shot"))] = str(event.get("reason"))
                case "shots_skipped" if isinstance(event.get("shots"), list):
                    said |= {(story, str(shot)): f"left out: {event.get('reason')}" for shot in event["shots"]}
        for name in ((story.id, shot.id) for story in self.folder.stories for shot in story.shots):
            if name not in there:
                self.result.missing[name] = said.get(name, "not made yet")

    def counts(self) -> None:
        """The manifest tells the truth about how far the run is."""
        manifest, done = self.folder.manifest, self.result.done
        if manifest.counts.expected != self.result.expected or manifest.counts.stories != len(manifest.stories):
            self.broken("counts", "manifest", f"it expects {manifest.counts.expected} shots, its stories have {self.result.expected}")
        if manifest.status == "started":
            self.result.remarks.append("status started: it runs now, or it was cut off; repeating its command continues it")
            return
        status = "complete" if done == self.result.expected else "partial" if done else "failed"
        if manifest.counts.done != done or manifest.status != status:
            self.broken("counts", "manifest", f"status {manifest.status} with {manifest.counts.done} shots, found {done}: {status}")

    def films(self) -> None:
        """Films are derived: a missing one is no harm, a wrong one is."""
        for part in self._parts():
            path = self.folder.film_path(part.story.id)
            facts: dict[str, object] = {"shots": [record.video.sha256 for record in part.records], "complete": part.complete}
            if part.records and not (path.exists() and path.with_suffix(".json").exists()):
                self.result.remarks.append(f"{path} is not there, or only half; repeating the run command makes it")
            elif path.exists() and not film_is_current(path, facts) and self.folder.manifest.status != "started":
                self.broken("films", part.story.id, f"{path.name} was not joined from the recorded shots")

    def _parts(self) -> list[Any]:
        try:
            return list(self.folder.story_records())
        except InvalidRunError:
            return []  # reported by the rule "records"

    def scores(self) -> None:
        """Rows are readable and name units of this run."""
        try:
            rows = self.folder.scores()
        except InvalidRunError as error:
            self.broken("scores", self.folder.scores_path.name, str(error))
            return
        self._comparable(rows)
        units: set[tuple[str, str | None]] = {(story.id, shot.id) for story in self.folder.stories for shot in story.shots}
        units |= {(story.id, None) for story in self.folder.stories}
        seen: set[tuple[Any, ...]] = set()
        for row in rows:
            if row.unit_id in seen:
                self.broken("scores", f"{row.story} {row.shot or ''}".strip(), f"{row.metric} is given twice")
            seen.add(row.unit_id)
            if (row.story, row.shot) not in units:
                self.broken("scores", f"{row.story} {row.shot or ''}".strip(), f"{row.metric} scores what is not in this run")

    def _comparable(self, rows: list[Score]) -> None:
        kinds: dict[tuple[str, str], set[tuple[int, str, str | None]]] = {}
        for row in rows:
            if row.value is not None:
                kinds.setdefault((row.protocol, row.metric), set()).add((row.version, row.unit, row.encoder_digest))
        for (protocol, metric), found in kinds.items():
            if len(found) > 1:
                self.broken("comparable", f"{protocol} {metric}", f"its values are of {len(found)} kinds (version, unit, encoder)")

    def report(self) -> None:
        """Reports are derived: a missing one is no harm, an altered one is."""
        for name, problem in altered(self.folder.report_path).items():
            self.broken("report", f"report/{name}", problem)

    def timing(self, records: list[ShotRecord]) -> None:
        """Spans and the journal's clock agree with the records."""
        reading = read_journal(self.folder.timing_path)
        for number, file in zip(reading.broken, reading.files, strict=True):
            self.broken("timing", file, f"line {number} is not what was written")
        units = {(story.id, shot.id) for story in self.folder.stories for shot in story.shots}
        for span in reading.events:
            if span.get("event") != "span":
                continue
            seconds, unit = span.get("seconds"), (str(span.get("story")), str(span.get("shot")))
            if unit not in units:
                self.result.remarks.append(f"timing: {unit[0]} {unit[1]} is not in this run (any more)")
            if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
                self.broken("timing", f"{unit[0]} {unit[1]}", f"stage {span.get('stage')} took {seconds!r:.30} s")
        self._clock(records)

    def _clock(self, records: list[ShotRecord]) -> None:
        """A shot took no longer than the time between its lines in the journal, unless the clock was set back."""
        started: dict[str, float] = {}
        last, back = -math.inf, 0
        took: dict[str, float] = {}
        for event in read_journal(self.folder.events_path).events:
            time, key = event.get("time"), str(event.get("key"))
            if not isinstance(time, int | float):
                continue
            back, last = back + (time < last), time
            if event.get("event") == "shot_started":
                started[key] = time
            elif event.get("event") == "shot_done" and key in started:
                took[key] = time - started[key]
        if back:
            self.result.remarks.append(f"the clock went backwards {back} times while it ran; times of day are not to be trusted")
        for record in records:
            if not 0 <= record.seconds < math.inf:
                self.broken("timing", f"{record.story} {record.shot}", f"it took {record.seconds:g} s")
            elif not back and record.shot_key in took and record.seconds > took[record.shot_key] + 1:
                found = f"it took {record.seconds:g} s of {took[record.shot_key]:.3f} s between its lines in the journal"
                self.broken("timing", f"{record.story} {record.shot}", found)

    def journal(self, records: list[ShotRecord]) -> None:
        """Every finished shot was started in the journal; torn lines are remarked."""
        reading = read_journal(self.folder.events_path)
        if reading.torn is not None:
            self.result.remarks.append("the journal's last line is torn: the process was cut off while writing it; nothing else is lost")
        for number, file in zip(reading.broken, reading.files, strict=True):
            self.broken("journal", file, f"line {number} is not what was written")
        started = {str(event.get("key")) for event in reading.events if event.get("event") in ("shot_started", "shot_found")}
        for record in records:
            if record.shot_key not in started:
                self.broken("journal", f"{record.story} {record.shot}", "the journal does not know that it was made")
