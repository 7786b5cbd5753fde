"""Several films of one story next to each other: shots as rows and methods as columns, or a short strip with methods as rows.

The same shot stands on the same line in every column, so that a person can compare at a glance: is this still the same cat?
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from reports import draw as d
from reports.sheets import frame_size, shot_chip, stack, title_block, verdict_of
from reports.views import FilmView, ShotView, picked_indices, titles_of

FRAME_PX = 160
STRIP_FRAME_PX = 240
STRIP_COLUMNS = 6
GAP = 8
SCRIPT_PX = 250  # column with the script
LABEL_PX = 170  # column with the names of methods
COLUMN_GAP = 24


def frames_per_cell(n_films: int) -> int:
    """Three frames of a shot beside two or three films, two beside four, one beside more."""
    return 3 if n_films <= 3 else 2 if n_films == 4 else 1


def side_by_side(films: Sequence[FilmView]) -> Image.Image:
    """All shots of a story, a row each, with one column per film. The films are of the same story."""
    size = frame_size(films, FRAME_PX)
    n_frames = frames_per_cell(len(films))
    cell_px = n_frames * size[0] + (n_frames - 1) * GAP
    width = SCRIPT_PX + len(films) * (COLUMN_GAP + cell_px)
    rows = [_headings(films, cell_px, width)]
    rows += [_row([film.shots[index] for film in films], size, n_frames, width) for index in range(len(films[0].shots))]
    story = films[0].story
    title = title_block(story.name or story.id, [(story.overview, d.MUTED)], width)
    return stack([title, *rows], gap=10)


def strip(films: Sequence[FilmView]) -> Image.Image:
    """The middle frame of every shot in reading order, one line per film, in bands of at most six shots."""
    size = frame_size(films, STRIP_FRAME_PX)
    n_shots = len(films[0].shots)
    columns = math.ceil(n_shots / math.ceil(n_shots / STRIP_COLUMNS))
    bands = [range(start, min(start + columns, n_shots)) for start in range(0, n_shots, columns)]
    width = LABEL_PX + columns * (size[0] + GAP) - GAP
    named = list(zip(films, titles_of([film.run for film in films]), strict=True))
    rows: list[Image.Image] = []
    for band in bands:
        rows.append(_strip_headings([films[0].shots[index] for index in band], size, width))
        rows += [_strip_row(film, name, band, size, width) for film, name in named]
    return stack(rows, gap=6)


def _headings(films: Sequence[FilmView], cell_px: int, width: int) -> Image.Image:
    face, small = d.font(17, bold=True), d.font(12)
    image = Image.new("RGB", (width, d.line_height(face) + d.line_height(small) + 6), d.PAGE)
    pen = ImageDraw.Draw(image)
    for place, (film, name) in enumerate(zip(films, titles_of([film.run for film in films]), strict=True)):
        x = SCRIPT_PX + COLUMN_GAP + place * (cell_px + COLUMN_GAP)
        pen.text((x, 0), d.shorten(name, face, cell_px), font=face, fill=d.INK)
        about = f"model {film.run.model} · seed {film.run.seed}" if film.run.model else f"seed {film.run.seed}"
        pen.text((x, d.line_height(face)), d.shorten(about, small, cell_px), font=small, fill=d.MUTED)
    pen.line((0, image.height - 1, width, image.height - 1), fill=d.LINE)
    return image


def _row(views: Sequence[ShotView], size: tuple[int, int], n_frames: int, width: int) -> Image.Image:
    face = d.font(13)
    cell_px = n_frames * size[0] + (n_frames - 1) * GAP
    prompt = d.wrap(views[0].shot.prompt, face, SCRIPT_PX, max(3, (size[1] - d.CHIP_HEIGHT) // d.line_height(face)))
    image = Image.new("RGB", (width, max(size[1] + 20, d.CHIP_HEIGHT + 8 + len(prompt) * d.line_height(face))), d.PAGE)
    pen = ImageDraw.Draw(image)
    pen.text((0, d.CHIP_HEIGHT / 2), str(views[0].shot.index + 1), font=d.font(16, bold=True), fill=d.INK, anchor="lm")
    d.draw_chip(pen, (32, 0), shot_chip(views[0]))
    d.draw_lines(pen, (0, d.CHIP_HEIGHT + 6), prompt, face, d.INK)
    for place, view in enumerate(views):
        x = SCRIPT_PX + COLUMN_GAP + place * (cell_px + COLUMN_GAP)
        _cell(image, view, (x, 0), size, n_frames)
    return image


def _cell(image: Image.Image, view: ShotView, xy: tuple[int, int], size: tuple[int, int], n_frames: int) -> None:
    width = n_frames * size[0] + (n_frames - 1) * GAP
    if view.missing:
        d.draw_missing(image, (*xy, width, size[1]), view.missing)
    else:
        for place, index in enumerate(_chosen(view, n_frames)):
            image.paste(d.fitted(view.frames[index], size), (xy[0] + place * (size[0] + GAP), xy[1]))
    text, colour = verdict_of(view)
    face = d.font(12, bold=True)
    ImageDraw.Draw(image).text((xy[0], xy[1] + size[1] + 3), d.shorten(text, face, width), font=face, fill=colour)


def _chosen(view: ShotView, n_frames: int) -> tuple[int, ...]:
    """Which frames stand for a shot: the same ones for every method, whatever it kept in memory."""
    picked = picked_indices(view.n_frames)
    if n_frames == 1:
        return (view.n_frames // 2,)
    return (picked[0], picked[-1]) if n_frames == 2 and len(picked) > 1 else picked


def _strip_headings(views: Sequence[ShotView], size: tuple[int, int], width: int) -> Image.Image:
    bold, face = d.font(15, bold=True), d.font(13)
    image = Image.new("RGB", (width, d.CHIP_HEIGHT + 6 + 2 * d.line_height(face)), d.PAGE)
    pen = ImageDraw.Draw(image)
    for place, view in enumerate(views):
        x = LABEL_PX + place * (size[0] + GAP)
        number = str(view.shot.index + 1)
        pen.text((x, d.CHIP_HEIGHT / 2), number, font=bold, fill=d.INK, anchor="lm")
        d.draw_chip(pen, (x + d.text_width(number, bold) + 8, 0), shot_chip(view))
        d.draw_lines(pen, (x, d.CHIP_HEIGHT + 4), d.wrap(view.shot.prompt, face, size[0], 2), face, d.INK)
    return image


def _strip_row(film: FilmView, name: str, band: range, size: tuple[int, int], width: int) -> Image.Image:
    face, small = d.font(16, bold=True), d.font(12, bold=True)
    image = Image.new("RGB", (width, size[1] + 20), d.PAGE)
    pen = ImageDraw.Draw(image)
    lines = d.wrap(name, face, LABEL_PX - 16, 2)
    d.draw_lines(pen, (0, (size[1] - len(lines) * d.line_height(face)) // 2), lines, face)
    for place, index in enumerate(band):
        view, x = film.shots[index], LABEL_PX + place * (size[0] + GAP)
        if view.missing:
            d.draw_missing(image, (x, 0, *size), view.missing)
        else:
            image.paste(d.fitted(view.frames[view.n_frames // 2], size), (x, 0))
        text, colour = verdict_of(view)
        pen.text((x, size[1] + 3), d.shorten(text, small, size[0]), font=small, fill=colour)
    return image
