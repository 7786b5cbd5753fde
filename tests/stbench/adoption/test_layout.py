"""Which file is which shot: every naming that people use, and every kind of trouble by its name."""

from pathlib import Path

import pytest

from stbench.adoption.cuts import Cutting, _fit, cut_films, parse_lengths
from stbench.adoption.layout import find_layout
from stbench.errors import UserError
from stbench.story import Shot, Story


def story(id="tale", cuts=((True, False), (True,)), name=None):
    shots = []
    for scene, flags in enumerate(cuts, start=1):
        for number, cut in enumerate(flags, start=1):
            shots.append(Shot(index=len(shots), scene=scene, number=number, prompt="p", cut=cut))
    return Story(id=id, name=name or id, overview="", shots=tuple(shots))


def touch(folder: Path, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def mapped(layout):
    return {source.shot.id: source.file.name if source.file else source.kind for source in layout.sources}


@pytest.mark.parametrize("names", [("1_1.mp4", "1_2.mp4", "2_1.mp4"), ("01_01.mp4", "001-002.MOV", "02_1.webm")])
def test_any_zero_padding_and_suffix(tmp_path, names):
    touch(tmp_path / "tale", *names)
    layout = find_layout(tmp_path, [story()])
    assert mapped(layout) == dict(zip(("01_01", "01_02", "02_01"), names, strict=True))
    assert layout.whole


def test_a_folder_is_found_by_the_id_or_by_the_name_of_its_story(tmp_path):
    touch(tmp_path, "The Last Walk/1_1.mp4", "BEE/1_1.mp4")
    stories = [story("walk", ((True,),), "The Last Walk"), story("bee", ((True,),))]
    assert [source.file.parent.name for source in find_layout(tmp_path, stories).sources] == ["The Last Walk", "BEE"]


def test_missing_twice_and_extra_are_named_and_counted(tmp_path):
    touch(tmp_path / "tale", "1_1.mp4", "01_01.mp4", "9_9.mp4", "trailer.mp4")
    layout = find_layout(tmp_path, [story()])
    assert mapped(layout) == {"01_01": "twice", "01_02": "missing", "02_01": "missing"}
    assert [path.name for path in layout.extra] == ["9_9.mp4", "trailer.mp4"]
    assert layout.counts() == {"shots": 3, "found": 0, "missing": 2, "short": 0, "unreadable": 0, "twice": 1, "extra": 2}
    assert not layout.whole


def test_for_one_story_the_only_folder_is_taken_and_it_is_said(tmp_path):
    touch(tmp_path, "astronaut/1_1.mp4")
    layout = find_layout(tmp_path, [story("astronaut_memento")])
    assert mapped(layout)["01_01"] == "1_1.mp4"
    assert "taken for the only story" in layout.remarks[0]
    assert find_layout(tmp_path / "astronaut", [story("astronaut_memento")]).remarks == ()


@pytest.mark.parametrize(("names", "says"), [((), "holds no videos"), (("other/1_1.mp4", "third/1_1.mp4"), "none of its 2 videos belongs")])
def test_nothing_to_score_is_an_error(tmp_path, names, says):
    touch(tmp_path, *names)
    with pytest.raises(UserError, match=says):
        find_layout(tmp_path, [story()])


def test_a_whole_film_needs_a_word_on_how_it_is_cut(tmp_path):
    touch(tmp_path, "tale.mp4")
    layout = find_layout(tmp_path, [story()])
    with pytest.raises(UserError, match="--shot-frames"):
        cut_films(layout, [story()], Cutting())


def test_detected_stretches_fit_shots_or_cuts_or_nothing():
    tale = story()  # three shots, two cuts
    assert _fit(tale, [0, 10, 20, 30])[0] == [(0, 10), (10, 20), (20, 30)]
    assert _fit(tale, [0, 21, 30])[0] == [(0, 10), (10, 21), (21, 30)]
    spans, why = _fit(tale, [0, 5, 10, 15, 30])
    assert spans is None
    assert why == "4 stretches detected, but the script has 3 shots and 2 cuts"


def test_lengths_from_a_file_or_the_command_line(tmp_path):
    (tmp_path / "lengths.json").write_text('{"tale": [5, 6, 7], "bee": 81}')
    assert parse_lengths(str(tmp_path / "lengths.json")) == {"tale": (5, 6, 7), "bee": (81,)}
    for bad in ("81,x", "0", "-3", ""):
        with pytest.raises(UserError, match="--shot-frames"):
            parse_lengths(bad)
