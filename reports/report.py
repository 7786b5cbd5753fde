"""`stbench report RUN...`: a page, tables, figures and contact sheets. Reads run folders, writes one folder, imports no model.

out/index.html  media/                                    the page, its films and thumbnails
out/table.md  table.tex  scores.csv  summary.csv  changes.csv (several runs)
out/figures/<name>.svg  .png  .csv
out/sheets/<story>.png                                    one run
out/sheets/<run>/<story>.png  side/<story>.png  strips/<story>.png    several runs
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from reports.ablation import ablation
from reports.comparison import Comparison, compare_if_possible, comparison_frame
from reports.extras import Extra, extra_sections
from reports.figures import Figure
from reports.latex import latex_table, plain_table
from reports.markdown import table_page
from reports.media import Media
from reports.page import PageParts, page_html
from reports.page_views import SectionMaker
from reports.paper import COLUMN_INTERVALS, paper_table
from reports.people import people_section
from reports.plots import distribution_figures, figures_of
from reports.runs import FilmReader, check_runs, label
from reports.sheets import contact_sheet
from reports.side_by_side import side_by_side, strip
from reports.tables import RunScores, read_scores, scores_frame, summary_frame
from reports.views import FilmView, titles_of
from stbench.files import write_bytes
from stbench.story import Story, safe_id

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

    from stbench.store import RunFolder

Progress = Callable[[str], None]
PAGE = "index.html"


def write_report(
    runs: Sequence[RunFolder],
    out: Path,
    *,
    embed: bool = False,
    intervals: str = COLUMN_INTERVALS,
    by: Sequence[str] = (),
    cost: Sequence[str] = (),
    answers: Sequence[Path] = (),
    figures: bool = False,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Write the report of one or several runs.

    Args:
        runs: Opened run folders; with several, the first is the base of the comparison.
        out: Folder to write to; made if missing. Files of an earlier report are replaced.
        embed: Put films and pictures into the page: one file, and large.
        intervals: Where LaTeX has intervals: columns, caption or none.
        by: Settings to group runs by, for an ablation table.
        cost: Metrics to plot against cost; the first metric, where none is named.
        answers: Files that raters saved from the page of the study in `out`.
        figures: Write the figures as SVG, PNG and CSV too; the page has them in any case.
        progress: Called with a line for each story and figure.

    Returns:
        Name → file or folder, of what was written: "html", "table", "latex", "scores_csv", "summary_csv", "sheets", "figures", and with
        several runs "changes_csv", "side", "strips".

    Raises:
        UserError: No run is given, or one is given twice; a setting or metric is in no run.
        SaveError: The disk refused.
    """
    check_runs(runs)
    say = progress or (lambda line: None)
    titles = titles_of([label(run) for run in runs])
    rows = read_scores(runs, titles)
    comparison = compare_if_possible(rows)
    extras = extra_sections(rows, by=by, cost=cost)
    people, frames = people_section(answers, rows, out) if answers else (None, {})
    extras = [people, *extras] if people else extras
    paths = _write_tables(rows, comparison, extras, out, intervals)
    for name, frame in frames.items():
        paths[name] = out / f"{name}.csv"
        _save_csv(frame, paths[name])
    drawn, distributions = figures_of(rows, comparison), distribution_figures(rows)
    if figures:
        more = [figure for extra in extras for figure in extra.figures]
        paths["figures"] = _write_figures([*drawn, *distributions.values(), *more], out / "figures", say)
    if by:
        paths["ablation_csv"] = out / "ablation.csv"
        _save_csv(ablation(rows, by).frame(), paths["ablation_csv"])
    maker = SectionMaker(rows, Media(out, embed=embed))
    paths |= _picture_folders(out, single=len(runs) == 1)
    sections = []
    for key, story, films in _films(runs, titles):
        sections.append(maker.section(key, story, films))
        for path, image in _pictures(key, films, paths, single=len(runs) == 1):
            save_png(image, path)
        say(f"story {story.id}")
    paths["html"] = out / PAGE
    parts = PageParts(
        runs=rows,
        comparison=comparison,
        sections=sections,
        cards=maker.cards,
        figures=drawn,
        distributions=distributions,
        files=[] if embed else _links(paths, out),
        extras=extras,
    )
    write_bytes(paths["html"], page_html(parts).encode("utf-8", "replace"))
    return {name: path for name, path in paths.items() if path.exists()}


def _picture_folders(out: Path, *, single: bool) -> dict[str, Path]:
    return {"sheets": out / "sheets"} if single else {"sheets": out / "sheets", "side": out / "side", "strips": out / "strips"}


def save_png(image: Image.Image, path: Path) -> None:
    """Write a picture whole or not at all."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")  # optimising takes ten times as long for a few percent
    write_bytes(path, buffer.getvalue())


def _write_tables(
    rows: Sequence[RunScores], comparison: Comparison | None, extras: Sequence[Extra], out: Path, intervals: str
) -> dict[str, Path]:
    paths = {"table": out / "table.md", "latex": out / "table.tex", "scores_csv": out / "scores.csv", "summary_csv": out / "summary.csv"}
    _save_csv(scores_frame(rows), paths["scores_csv"])
    _save_csv(summary_frame(rows), paths["summary_csv"])
    if len(rows) > 1:
        paths["changes_csv"] = out / "changes.csv"
        _save_csv(comparison_frame(comparison), paths["changes_csv"])
    write_bytes(paths["table"], table_page(rows, comparison, extras).encode("utf-8", "replace"))
    latex = latex_table(paper_table(rows), intervals=intervals)
    latex += "".join(f"\n{plain_table(*table)}" for extra in extras for table in extra.tables)
    if latex:
        write_bytes(paths["latex"], latex.encode("utf-8", "replace"))
    return paths


def _write_figures(figures: Sequence[Figure], folder: Path, say: Progress) -> Path:
    for figure in figures:
        for name, data in figure.files():
            write_bytes(folder / name, data)
        say(f"figure {figure.name}")
    return folder


def _films(runs: Sequence[RunFolder], titles: Sequence[str]) -> Iterator[tuple[str, Story, list[tuple[str, FilmView]]]]:
    """(key, story, films of it), story by story, so that the frames of one story only are held.

    The key is the story's id, or with a number where runs have different stories of one id.
    """
    readers = [FilmReader(run) for run in runs]
    stories: list[Story] = []
    for run in runs:
        stories += [story for story in run.stories if story not in stories]
    for place, story in enumerate(stories):
        earlier = sum(other.id == story.id for other in stories[:place])
        filmed = [(title, reader.film(story)) for title, reader in zip(titles, readers, strict=True) if story in reader.run.stories]
        yield f"{story.id}-{earlier + 1}" if earlier else story.id, story, filmed


def _pictures(
    key: str, films: Sequence[tuple[str, FilmView]], paths: dict[str, Path], *, single: bool
) -> Iterator[tuple[Path, Image.Image]]:
    """(path, picture) of one story."""
    story = films[0][1].story
    for title, film in films:
        folder = paths["sheets"] if single else paths["sheets"] / safe_id(title)
        yield folder / f"{story.id}.png", contact_sheet(film)
    if len(films) > 1:
        yield paths["side"] / f"{key}.png", side_by_side([film for _, film in films])
        yield paths["strips"] / f"{key}.png", strip([film for _, film in films])


def _links(paths: dict[str, Path], out: Path) -> list[tuple[str, str]]:
    files = [path for path in paths.values() if path.is_file() and path.name != PAGE]
    return [(path.name, quote(path.relative_to(out).as_posix())) for path in files]


def _save_csv(frame: pd.DataFrame, path: Path) -> None:
    write_bytes(path, frame.to_csv(index=False).encode("utf-8", "replace"))
