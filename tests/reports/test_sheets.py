"""Sheets: what is drawn where, read back from the pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageColor

from reports import draw
from reports.sheets import contact_sheet
from reports.side_by_side import side_by_side, strip
from reports.views import FilmView, RunLabel, ShotView, needed_indices, picked_indices
from stbench.story import Story

from .conftest import make_story

RUN = RunLabel(name="r", method="storymem", model="world", suite="tiny", seed=0)
COLOURS = [(10 + 20 * k, 250 - 20 * k, 120) for k in range(12)]


def film(
    story: Story, *, keyframes: tuple[int, ...] = (), missing: frozenset[int] = frozenset(), size: tuple[int, int] = (48, 80)
) -> FilmView:
    views = []
    for shot in story.shots:
        if shot.index in missing:
            views.append(ShotView(shot=shot, missing="not made"))
            continue
        frame = np.full((*size, 3), COLOURS[shot.index], np.uint8)
        frames = dict.fromkeys(needed_indices(17, keyframes), frame)
        views.append(ShotView(shot=shot, n_frames=17, frames=frames, keyframes=keyframes))
    return FilmView(story=story, run=RUN, shots=tuple(views))


def count(image: object, colour: tuple[int, ...]) -> int:
    return int((np.asarray(image) == np.array(colour, np.uint8)).all(-1).sum())


def test_every_shot_is_drawn_three_times_at_a_whole_factor() -> None:
    sheet = contact_sheet(film(make_story("a", 5)))
    tags = 3 * 700  # at most, for the frame numbers drawn into the lower corners
    for colour in COLOURS[:5]:
        assert 0 <= 3 * (80 * 3) * (48 * 3) - count(sheet, colour) < tags
    assert count(sheet, COLOURS[5]) == 0


def test_kept_frames_are_outlined_and_others_are_not() -> None:
    kept = ImageColor.getrgb(draw.KEPT)
    story = make_story("a", 2)
    without, with_one, with_two = (count(contact_sheet(film(story, keyframes=k)), kept) for k in ((), (0,), (0, 5)))
    assert without < 50 < with_one < with_two


def test_a_missing_shot_leaves_its_place() -> None:
    story = make_story("a", 4)
    whole, partial = contact_sheet(film(story)), contact_sheet(film(story, missing=frozenset({3})))
    assert whole.size == partial.size
    assert count(partial, COLOURS[3]) == 0
    assert count(partial, COLOURS[2]) == count(whole, COLOURS[2])


@pytest.mark.parametrize("n_films", [2, 3, 4, 6])
def test_same_shots_stand_on_the_same_line(n_films: int) -> None:
    story = make_story("a", 4)
    sheet = np.asarray(side_by_side([film(story) for _ in range(n_films)]))
    tops = []
    for colour in COLOURS[:4]:
        hits = np.argwhere((sheet == np.array(colour, np.uint8)).all(-1))
        assert hits[:, 0].max() - hits[:, 0].min() == 48 * 2 - 1  # one line, so one frame high
        tops.append(hits[:, 0].min())
    assert tops == sorted(tops)


def test_strip_shows_each_shot_once_per_film() -> None:
    story = make_story("a", 9)
    image = strip([film(story), film(story, missing=frozenset({8}))])
    assert count(image, COLOURS[0]) == 2 * count(image, COLOURS[8]) == 2 * 240 * 144


def test_films_of_different_shapes_share_a_sheet() -> None:
    story = make_story("a", 2)
    assert side_by_side([film(story), film(story, size=(832, 480)), film(story, size=(480, 832))]).width > 500


def test_a_story_of_odd_texts_is_drawn() -> None:
    story = make_story("a", 1, prompt="x" * 900 + " \ud800 \x00 \u202e مرحبا 猫 " + "word " * 200)
    assert contact_sheet(film(Story(id="a", name="\n\x07", overview="", shots=story.shots))).height < 700


@given(st.text(max_size=200), st.integers(20, 400), st.integers(1, 5))
def test_wrapped_text_fits(text: str, width: int, max_lines: int) -> None:
    face = draw.font(13)
    lines = draw.wrap(text, face, width, max_lines)
    assert len(lines) <= max_lines
    widest_letter = max((draw.text_width(char, face) for line in lines for char in line), default=0)
    assert all(draw.text_width(line, face) <= max(width, widest_letter + draw.text_width(" …", face)) for line in lines)


@given(st.integers(1, 200), st.lists(st.integers(0, 199), max_size=4))
def test_picked_frames_exist_and_hold_both_ends(n_frames: int, keyframes: list[int]) -> None:
    picked = picked_indices(n_frames, tuple(keyframes))
    assert picked[0] == 0
    assert picked[-1] == n_frames - 1
    assert len(picked) == min(n_frames, 3)
    assert set(picked) <= set(needed_indices(n_frames, tuple(keyframes)))
