"""The run folder: where everything about one run is, and the only code that names files in it.

    manifest.json   events.jsonl   timing.jsonl   scores.jsonl   report/
    shots/<story>/<shot>.mp4  .key<i>.png  .tail<i>.png  .json (the record, written last)
    films/<story>.mp4  .json

Readers use `RunFolder.open`; only the runner, which holds the folder's lock, publishes shots (see `stbench.publish`).
Nothing is found by globbing: names follow from the manifest, files from the records.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.errors import InvalidRunError
from stbench.files import parse_json, refuse_links, write_json_lines
from stbench.keys import story_keys
from stbench.manifest import Manifest, read_manifest
from stbench.record import ShotRecord, StoredFile, as_input, read_record
from stbench.scores import Score
from stbench.seal import Lines, sealed
from stbench.story import Shot, Story

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class StoryRecords:
    """A story of a run and the records of its finished shots, in order; usually a prefix of `story.shots`.

    With `--on-error continue-story` a shot may be missing between others; those after it say so (`ShotRecord.lacks`).
    """

    story: Story
    records: tuple[ShotRecord, ...]

    @property
    def complete(self) -> bool:
        """Every shot is there."""
        return len(self.records) == len(self.story.shots)

    @property
    def missing(self) -> tuple[Shot, ...]:
        """The shots that are not there."""
        there = {record.shot for record in self.records}
        return tuple(shot for shot in self.story.shots if shot.id not in there)


class RunFolder:
    """One run on disk. Build it with `open`; `manifest` is as it was then.

    Example:
        run = RunFolder.open("runs/storymem-world-mini-world-s0")
        for part in run.story_records():
            for record in part.records:
                frames = run.read_frames(record)  # (F, H, W, 3) uint8
                shot = part.story.shots[record.index]
    """

    def __init__(self, path: Path, manifest: Manifest):
        self.path, self.manifest = path, manifest

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Open a run folder for reading.

        Raises:
            UserError: It is not a run folder.
            InvalidRunError: Its manifest is damaged, or it holds links that lead out of it.
        """
        manifest = read_manifest(Path(path))
        refuse_links(Path(path))
        return cls(Path(path), manifest)

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.manifest.name

    @property
    def stories(self) -> tuple[Story, ...]:
        """The stories, verbatim from the manifest."""
        return self.manifest.stories

    @property
    def events_path(self) -> Path:
        """The journal."""
        return self.path / "events.jsonl"

    @property
    def timing_path(self) -> Path:
        """Raw spans of time, one per line."""
        return self.path / "timing.jsonl"

    @property
    def scores_path(self) -> Path:
        """Rows of scores."""
        return self.path / "scores.jsonl"

    @property
    def report_path(self) -> Path:
        """Folder of derived files; may be deleted."""
        return self.path / "report"

    def shots_path(self, story: str) -> Path:
        """Folder of a story's shots."""
        return self.path / "shots" / story

    def record_path(self, story: str, shot: str) -> Path:
        """The record of a shot, there or not."""
        return self.shots_path(story) / f"{shot}.json"

    def film_path(self, story: str) -> Path:
        """The film of a story, there or not."""
        return self.path / "films" / f"{story}.mp4"

    def record(self, story: str, shot: str) -> ShotRecord | None:
        """The record of a shot, or None; an `InvalidRunError` if it is damaged."""
        return read_record(self.record_path(story, shot))

    def story_records(self) -> list[StoryRecords]:
        """For each story of the manifest, the records of its finished shots."""
        return [self.records_of(story) for story in self.stories]

    def records_of(self, story: Story) -> StoryRecords:
        """The records of one story's finished shots: those made from the very shots before them that are there now."""
        keys = story_keys(identity=self.manifest.identity, story=story, run_seed=self.manifest.seed)
        records: list[ShotRecord] = []
        for shot, key in zip(story.shots, keys, strict=True):
            record = self.record(story.id, shot.id)
            if record is not None and record.shot_key == key and record.inputs == tuple(as_input(done) for done in records):
                records.append(record)
        return StoryRecords(story=story, records=tuple(records))

    def file(self, record: ShotRecord, file: StoredFile) -> Path:
        """Path of a file that a record names."""
        return self.shots_path(record.story) / file.name

    def shot_video(self, record: ShotRecord) -> Path:
        """The mp4 of a shot."""
        return self.file(record, record.video)

    def keyframe_paths(self, record: ShotRecord) -> tuple[Path, ...]:
        """PNGs of the keyframes, in the order in which the method chose them."""
        return tuple(self.file(record, still) for still in record.keyframes)

    def tail_paths(self, record: ShotRecord) -> tuple[Path, ...]:
        """PNGs of the last frames, oldest first."""
        return tuple(self.file(record, still) for still in record.tail)

    def read_frames(self, record: ShotRecord) -> np.ndarray:
        """Frames of a shot, decoded from its mp4: (F, H, W, 3) uint8.

        Raises:
            InvalidRunError: The file is missing or its bytes are not those of the record.
        """
        from stbench.video import read_mp4

        path = self.shot_video(record)
        if not record.video.intact(path.parent):
            found = "has other bytes than its record says" if path.is_file() else "is missing"
            raise InvalidRunError(found, where=str(path), hint="`stbench check` finds every such file; the run command makes it again")
        return read_mp4(path)[0]

    def scores(self) -> list[Score]:
        """All stored rows of scores; an `InvalidRunError` names a damaged line."""
        rows, problems = self._read_scores()
        if problems:
            raise InvalidRunError(problems[0], where=str(self.scores_path), hint="`stbench score` computes it again")
        return rows

    def _read_scores(self) -> tuple[list[Score], list[str]]:
        """The good rows, and what is wrong with the others."""
        rows: list[Score] = []
        problems: list[str] = []
        seals = Lines()
        lines = self.scores_path.read_bytes().split(b"\n") if self.scores_path.exists() else []
        for number, line in enumerate(lines[:-1] if lines and not lines[-1] else lines, start=1):
            try:
                data = parse_json(line)
                if not seals.accepts(data):
                    raise ValueError("it was altered")
                rows.append(Score.from_json(data))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                problems.append(f"line {number} is not a score ({error})")
        return rows, problems

    def mend_scores(self) -> int:
        """Drop rows that are damaged or were altered, so that they are computed again; returns how many there were."""
        rows, problems = self._read_scores()
        if problems:
            self._write_scores(rows)
        return len(problems)

    def append_scores(self, rows: Iterable[Score]) -> None:
        """Add rows; a row replaces an earlier one of the same protocol, metric, story and shot. Atomic."""
        merged = {row.unit_id: row for row in self.scores()}
        for row in rows:
            merged[row.unit_id] = row
        self._write_scores(merged.values())

    def replace_scores(self, rows: Iterable[Score], *, protocol: str) -> None:
        """Make these the only rows of a protocol; rows of other protocols stay. Atomic.

        Raises:
            ValueError: Two rows name the same unit: the metric is wrong.
        """
        rows = list(rows)
        names: set[Any] = set()
        for row in rows:
            if row.unit_id in names:
                raise ValueError(f"two scores for {row.unit_id}")
            names.add(row.unit_id)
        self._write_scores([row for row in self.scores() if row.protocol != protocol] + rows)

    def forget(self, *stories: str) -> None:
        """Forget what no longer holds when shots of these stories are made: their scores, and the measured spread of the run."""
        if self.manifest.repeat is not None:
            self.manifest = self.manifest.model_copy(update={"repeat": None})
            self.manifest.save(self.path)
        rows = self.scores()
        gone = set(stories)
        kept = [row for row in rows if row.story not in gone]
        if len(kept) < len(rows):
            self._write_scores(kept)

    def _write_scores(self, rows: Iterable[Score]) -> None:
        write_json_lines(self.scores_path, [sealed(row.to_json()) for row in rows])

    def timings(self) -> list[dict[str, Any]]:
        """Raw spans: story, shot, stage, seconds, device, detail. Torn or broken lines are left out."""
        from stbench.journal import read_journal

        return read_journal(self.timing_path).events
