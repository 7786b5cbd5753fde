"""Data frames for notebooks: scores, summary, changes, shots and times of runs, each row with the facts of its run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.comparison import Comparison, compare_if_possible, comparison_frame
from reports.runs import check_runs, label
from reports.tables import RunScores, read_scores, scores_frame, summary_frame
from reports.views import titles_of
from stbench.store import RunFolder

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Runs:
    """Runs, as data frames; each is read when it is first asked for."""

    runs: tuple[RunScores, ...]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per score: value or reason, and the prompt of the shot."""
        prompts = {(run.title, story.id, shot.id): shot.prompt for run in self.runs for story in run.run.stories for shot in story.shots}
        frame = scores_frame(self.runs)
        if len(frame):
            frame["prompt"] = [prompts.get(unit) for unit in zip(frame["title"], frame["story"], frame["shot"], strict=True)]
        return frame

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per run and metric: mean, interval, n."""
        return summary_frame(self.runs)

    @cached_property
    def comparison(self) -> Comparison | None:
        """The first run against the others, or None where there is nothing to compare."""
        return compare_if_possible(self.runs)

    @property
    def changes(self) -> pd.DataFrame:
        """One row per compared run and metric."""
        return comparison_frame(self.comparison)

    @cached_property
    def shots(self) -> pd.DataFrame:
        """One row per finished shot: prompt, seed, seconds, size, path of its video."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for run in self.runs:
            for part in run.parts:
                shots = {shot.id: shot for shot in part.story.shots}
                for record in part.records:
                    facts = {
                        name: getattr(record, name)
                        for name in ("seed", "fps", "n_frames", "width", "height", "seconds", "device", "attempt")
                    }
                    shot = shots[record.shot]
                    place = {"title": run.title, "story": part.story.id, "shot": record.shot, "number": shot.index + 1, "cut": shot.cut}
                    rows.append({**place, "prompt": shot.prompt, **facts, "video": str(run.run.shot_video(record))})
        return pd.DataFrame(rows)

    @cached_property
    def timings(self) -> pd.DataFrame:
        """One row per measured span: story, shot, stage, seconds."""
        import pandas as pd

        names = ("story", "shot", "stage", "seconds", "device", "warm")
        return pd.DataFrame([{"title": run.title, **{name: span.get(name) for name in names}} for run in self.runs for span in run.timings])


def load_runs(*paths: Path | str) -> Runs:
    """Open run folders for a notebook; the first is the base of comparisons.

    Args:
        paths: Run folders.

    Raises:
        UserError: A path is no run folder, or is given twice.

    Example:
        runs = load_runs("runs/independent", "runs/memory")
        runs.scores.pivot_table("value", "metric", "title")
        runs.changes[["arm", "metric", "mark", "mean", "low", "high", "p_holm"]]
    """
    folders = [RunFolder.open(path) for path in paths]
    check_runs(folders)
    return Runs(tuple(read_scores(folders, titles_of([label(run) for run in folders]))))
