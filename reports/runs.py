"""From a run folder to what is drawn and tabled: the only file of `reports` that reads films."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.views import FilmView, RunLabel, ShotView, needed_indices
from stbench.errors import UserError
from stbench.journal import read_journal
from stbench.scores import Score
from stbench.store import RunFolder
from stbench.story import Shot, Story

if TYPE_CHECKING:
    from stbench.record import ShotRecord

TRUTH = "truth_"


def label(run: RunFolder) -> RunLabel:
    """What a run is called."""
    m = run.manifest
    return RunLabel(name=m.name, method=m.method, model=m.model, suite=m.suite.name, seed=m.seed)


def check_runs(runs: Sequence[RunFolder]) -> None:
    """Refuse nothing, and the same folder twice, with a `UserError`."""
    if not runs:
        raise UserError("no run is given", where="stbench report", expected="one or more run folders")
    seen: set[Path] = set()
    for run in runs:
        path = run.path.resolve()
        if path in seen:
            raise UserError("is given twice", where=str(run.path), expected="each run once")
        seen.add(path)


class FilmReader:
    """Makes views of the stories of one run; the scores and the journal are read once."""

    def __init__(self, run: RunFolder):
        self.run = run
        self._wrong = _wrong_by_shot(run.scores())
        self._failures = _failures(run)

    def film(self, story: Story) -> FilmView:
        """One story of the run. A shot without a readable video is a view that says why: a report is made of what there is."""
        records = {record.shot: record for record in self.run.records_of(story).records}
        views = tuple(self._shot(story, shot, records.get(shot.id)) for shot in story.shots)
        return FilmView(story=story, run=label(self.run), shots=views)

    def _shot(self, story: Story, shot: Shot, record: ShotRecord | None) -> ShotView:
        unit = (story.id, shot.id)
        if record is None:
            return ShotView(shot=shot, missing=self._failures.get(unit, "not made"))
        try:
            frames = self.run.read_frames(record)
        except UserError as error:
            return ShotView(shot=shot, missing=f"{record.video.name} {error.what}", note=note_of(record))
        keyframes = tuple(sorted(still.frame for still in record.keyframes if still.frame is not None and still.frame < len(frames)))
        return ShotView(
            shot=shot,
            n_frames=len(frames),
            frames={index: frames[index].copy() for index in needed_indices(len(frames), keyframes)},
            keyframes=keyframes,
            note=note_of(record),
            wrong=self._wrong.get(unit),
        )


def note_of(record: ShotRecord) -> str:
    """How a shot was made, in a few words: mode, size of the memory it saw, seconds."""
    parts = []
    if mode := record.notes.get("mode"):
        parts.append(str(mode).upper() if str(mode).endswith("2v") else str(mode))
    memory = record.notes.get("memory")
    count = memory if isinstance(memory, int) else len(memory) if isinstance(memory, Sequence) and not isinstance(memory, str) else 0
    if count:
        parts.append(f"{count} memory frame" + ("s" if count > 1 else ""))
    parts.append(f"{record.seconds:.1f} s" if record.seconds >= 0.05 else "< 0.1 s")
    return " · ".join(parts)


def _wrong_by_shot(scores: Sequence[Score]) -> dict[tuple[str, str], tuple[str, ...]]:
    """(story, shot) → names of the truths that the pixels missed; shots without truth scores are absent."""
    wrong: dict[tuple[str, str], tuple[str, ...]] = {}
    for score in scores:
        if score.metric.startswith(TRUTH) and score.shot is not None and score.value is not None:
            unit = (score.story, score.shot)
            name = score.metric.removeprefix(TRUTH).replace("_kept", " not kept")
            known = wrong.get(unit, ())
            wrong[unit] = known if score.value >= 0.5 or name in known else (*known, name)
    return wrong


def _failures(run: RunFolder) -> dict[tuple[str, str], str]:
    """(story, shot) → the last error that the journal holds about it."""
    found: dict[tuple[str, str], str] = {}
    for event in read_journal(run.events_path).events:
        error: Any = event.get("error") or event.get("reason")
        if error and event.get("story") and event.get("shot"):
            found[(str(event["story"]), str(event["shot"]))] = f"not made: {error}"
    return found
