"""`stbench report RUN...`: contact sheets, films side by side, tables. Reads run folders, writes one folder, imports no model.

out/table.md  scores.csv  summary.csv  changes.csv (several runs)
out/sheets/<story>.png            one run
out/sheets/<run>/<story>.png      several runs, and
out/side/<story>.png  out/strips/<story>.png
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.comparison import compare_if_possible, comparison_frame
from reports.markdown import table_page
from reports.runs import FilmReader, label
from reports.sheets import contact_sheet
from reports.side_by_side import side_by_side, strip
from reports.tables import read_scores, scores_frame, summary_frame
from reports.views import titles_of
from stbench.errors import UserError
from stbench.files import write_bytes
from stbench.story import Story, safe_id

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

    from stbench.store import RunFolder

Progress = Callable[[str], None]


def write_report(runs: Sequence[RunFolder], out: Path, *, progress: Progress | None = None) -> dict[str, Path]:
    """Write the report of one or several runs.

    Args:
        runs: Opened run folders; with several, the first is the base of the comparison.
        out: Folder to write to; made if missing. Files of an earlier report are replaced.
        progress: Called with a line for each picture.

    Returns:
        Name → file or folder: "table", "scores_csv", "summary_csv", "sheets"; with several runs also "changes_csv", "side", "strips".

    Raises:
        UserError: No run is given, or one is given twice.
        SaveError: The disk refused.
    """
    check_runs(runs)
    say = progress or (lambda line: None)
    titles = titles_of([label(run) for run in runs])
    rows = read_scores(runs, titles)
    comparison = compare_if_possible(rows)
    paths = {"table": out / "table.md", "scores_csv": out / "scores.csv", "summary_csv": out / "summary.csv", "sheets": out / "sheets"}
    _save_csv(scores_frame(rows), paths["scores_csv"])
    _save_csv(summary_frame(rows), paths["summary_csv"])
    if len(runs) > 1:
        paths |= {"changes_csv": out / "changes.csv", "side": out / "side", "strips": out / "strips"}
        _save_csv(comparison_frame(comparison), paths["changes_csv"])
    write_bytes(paths["table"], table_page(rows, comparison).encode("utf-8", "replace"))
    for path, image in _pictures(runs, titles, paths):
        save_png(image, path)
        say(str(path))
    return {name: path for name, path in paths.items() if path.exists()}


def save_png(image: Image.Image, path: Path) -> None:
    """Write a picture whole or not at all."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    write_bytes(path, buffer.getvalue())


def _pictures(runs: Sequence[RunFolder], titles: Sequence[str], paths: dict[str, Path]) -> Iterator[tuple[Path, Image.Image]]:
    """(path, picture), story by story, so that the frames of one story only are held."""
    readers = [FilmReader(run) for run in runs]
    stories: list[Story] = []
    for run in runs:
        stories += [story for story in run.stories if story not in stories]
    twice = {story.id for story in stories if sum(other.id == story.id for other in stories) > 1}
    for story in stories:
        filmed = [(title, reader.film(story)) for title, reader in zip(titles, readers, strict=True) if story in reader.run.stories]
        if len(runs) == 1:
            yield paths["sheets"] / f"{story.id}.png", contact_sheet(filmed[0][1])
            continue
        for title, film in filmed:
            yield paths["sheets"] / safe_id(title) / f"{story.id}.png", contact_sheet(film)
        if len(filmed) > 1 and story.id not in twice:
            yield paths["side"] / f"{story.id}.png", side_by_side([film for _, film in filmed])
            yield paths["strips"] / f"{story.id}.png", strip([film for _, film in filmed])


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


def _save_csv(frame: pd.DataFrame, path: Path) -> None:
    write_bytes(path, frame.to_csv(index=False).encode("utf-8", "replace"))
