"""The contact sheet of one film: every shot with its first, a middle and its last frame, its prompt, and what it gave to memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from PIL import Image, ImageDraw

from reports import draw as d
from reports.views import FilmView, ShotView, picked_indices

FRAME_PX = 240  # width of a frame
GAP = 10  # between frames; leaves room for the outline of a kept one
PAD = 14  # inside a card
MARGIN = 28  # around the page
COLUMNS = 2
PROMPT_LINES = 4
SLOTS = 3


def contact_sheet(film: FilmView) -> Image.Image:
    """Draw the sheet. Shots read from left to right, then down; every scene starts a row."""
    cards = [[_card(shot, _frame_size(film)) for shot in shots] for _, shots in groupby(film.shots, key=lambda view: view.shot.scene)]
    scenes = [scene for scene, _ in groupby(film.shots, key=lambda view: view.shot.scene)]
    rows: list[Image.Image] = []
    for scene, group in zip(scenes, cards, strict=True):
        rows.append(_scene_heading(f"Scene {scene}", group[0].width * COLUMNS + GAP * 2))
        rows += [_row(group[start : start + COLUMNS]) for start in range(0, len(group), COLUMNS)]
    width = max(row.width for row in rows)
    return stack([_title(film, width), *rows])


def stack(rows: Sequence[Image.Image], gap: int = 12) -> Image.Image:
    """Put rows below one another on a page with margins."""
    height = sum(row.height for row in rows) + gap * (len(rows) - 1)
    page = Image.new("RGB", (max(row.width for row in rows) + 2 * MARGIN, height + 2 * MARGIN), d.PAGE)
    y = MARGIN
    for row in rows:
        page.paste(row, (MARGIN, y))
        y += row.height + gap
    return page


def title_block(title: str, lines: Sequence[tuple[str, str]], width: int, legend: Sequence[d.Chip] = ()) -> Image.Image:
    """Title, lines of (text, colour) below it, wrapped to two lines each, and chips that explain the marks."""
    big, small = d.font(26, bold=True), d.font(14)
    wrapped = [(part, colour) for text, colour in lines if text for part in d.wrap(text, small, width, 2)]
    height = d.line_height(big) + 4 + len(wrapped) * d.line_height(small) + (d.CHIP_HEIGHT + 12 if legend else 0)
    image = Image.new("RGB", (width, height), d.PAGE)
    pen = ImageDraw.Draw(image)
    pen.text((0, 0), d.shorten(title, big, width), font=big, fill=d.INK)
    y = d.line_height(big) + 4
    for text, colour in wrapped:
        y = d.draw_lines(pen, (0, y), [text], small, colour)
    x = 0
    for chip in legend:
        x = d.draw_chip(pen, (x, y + 8), chip) + 8
    return image


def shot_chip(view: ShotView) -> d.Chip:
    """How the shot starts: a cut, or the continuation of the shot before."""
    if view.shot.cut:
        return d.Chip(text="✂ cut", colour=d.INK)
    return d.Chip(text=f"↳ continues {view.shot.index}", colour=d.LINKED, filled=False)


def verdict_of(view: ShotView) -> tuple[str, str]:
    """Text and colour for what the truth metrics found in the shot; ("", …) where truth is not known."""
    if view.wrong is None:
        return "", d.MUTED
    if view.wrong:
        return "✗ " + ", ".join(view.wrong), d.WRONG
    return "✓ right", d.RIGHT


def frame_size(films: Sequence[FilmView], target_px: int) -> tuple[int, int]:
    """Size of a frame on the sheet, from the first frame found; 5:3 where there is none."""
    for film in films:
        for view in film.shots:
            for frame in view.frames.values():
                return d.thumb_size(frame.shape[1], frame.shape[0], target_px)
    return target_px, target_px * 3 // 5


def _frame_size(film: FilmView) -> tuple[int, int]:
    return frame_size([film], FRAME_PX)


def _title(film: FilmView, width: int) -> Image.Image:
    missing = sum(1 for view in film.shots if view.missing)
    shots = f"{len(film.shots)} shots" + (f", {missing} missing" if missing else "")
    legend = [d.Chip(text="✂ cut", colour=d.INK), d.Chip(text="↳ continues the shot before", colour=d.LINKED, filled=False)]
    if any(view.keyframes for view in film.shots):
        legend.append(d.Chip(text="◆ kept in memory", colour=d.KEPT, filled=False))
    lines = [(f"{film.run.line}   ·   {shots}", d.INK), (film.story.overview, d.MUTED)]
    return title_block(film.story.name or film.story.id, lines, width, legend)


def _scene_heading(text: str, width: int) -> Image.Image:
    face = d.font(15, bold=True)
    image = Image.new("RGB", (width, d.line_height(face) + 4), d.PAGE)
    pen = ImageDraw.Draw(image)
    pen.text((0, 2), text, font=face, fill=d.INK)
    left = d.text_width(text, face) + 12
    pen.line((left, image.height // 2 + 1, width, image.height // 2 + 1), fill=d.LINE, width=1)
    return image


def _row(cards: Sequence[Image.Image]) -> Image.Image:
    height = max(card.height for card in cards)
    row = Image.new("RGB", (cards[0].width * COLUMNS + GAP * 2 * (COLUMNS - 1), height), d.PAGE)
    for place, card in enumerate(cards):
        x = place * (card.width + GAP * 2)
        ImageDraw.Draw(row).rounded_rectangle((x, 0, x + card.width - 1, height - 1), radius=8, fill=d.CARD, outline=d.LINE)
        row.paste(card.crop((1, 8, card.width - 1, card.height - 8)), (x + 1, 8))
    return row


def _card(view: ShotView, size: tuple[int, int]) -> Image.Image:
    face = d.font(14)
    inner = SLOTS * size[0] + (SLOTS - 1) * GAP
    prompt = d.wrap(view.shot.prompt, face, inner, PROMPT_LINES)
    top = PAD + d.CHIP_HEIGHT + 10
    below = top + size[1] + 8
    height = below + 16 + len(prompt) * d.line_height(face) + PAD
    card = Image.new("RGB", (inner + 2 * PAD, height), d.CARD)
    pen = ImageDraw.Draw(card)
    _card_heading(pen, view, inner)
    if view.missing:
        d.draw_missing(card, (PAD, top, inner, size[1]), view.missing)
    else:
        _draw_slots(card, view, (PAD, top), size)
        _draw_timeline(pen, view, (PAD, below + 4), inner)
    d.draw_lines(pen, (PAD, below + 14), prompt, face, d.INK)
    return card


def _card_heading(pen: ImageDraw.ImageDraw, view: ShotView, inner: int) -> None:
    number, small = d.font(17, bold=True), d.font(13)
    pen.text((PAD, PAD + d.CHIP_HEIGHT / 2), str(view.shot.index + 1), font=number, fill=d.INK, anchor="lm")
    x = d.draw_chip(pen, (PAD + max(30, d.text_width(str(view.shot.index + 1), number) + 10), PAD), shot_chip(view))
    verdict, colour = verdict_of(view)
    middle, right = PAD + d.CHIP_HEIGHT / 2, PAD + inner
    if verdict:
        bold = d.font(13, bold=True)
        verdict = d.shorten(verdict, bold, inner // 2)
        pen.text((right, middle), verdict, font=bold, fill=colour, anchor="rm")
        right -= d.text_width(verdict, bold) + 16
    if view.note:
        pen.text((x + 12, middle), d.shorten(view.note, small, max(40, right - x - 12)), font=small, fill=d.MUTED, anchor="lm")


def _draw_slots(card: Image.Image, view: ShotView, xy: tuple[int, int], size: tuple[int, int]) -> None:
    for place, index in enumerate(picked_indices(view.n_frames, view.keyframes)):
        x = xy[0] + place * (size[0] + GAP)
        d.draw_frame(card, (x, xy[1]), view.frames[index], size[0], index=index, kept=index in view.keyframes)


def _draw_timeline(pen: ImageDraw.ImageDraw, view: ShotView, xy: tuple[int, int], width: int) -> None:
    """The length of the shot, with a tick for each frame that is drawn and a diamond for each that was kept."""
    x, y = xy
    pen.line((x, y, x + width - 1, y), fill=d.LINE, width=2)
    last = max(1, view.n_frames - 1)
    for index in picked_indices(view.n_frames, view.keyframes):
        at = x + round(index / last * (width - 1))
        pen.line((at, y - 3, at, y + 3), fill=d.MUTED, width=1)
    for index in view.keyframes:
        at = min(max(x + round(index / last * (width - 1)), x + 5), x + width - 6)
        pen.polygon([(at - 5, y), (at, y - 5), (at + 5, y), (at, y + 5)], fill=d.KEPT, outline=d.INK)
