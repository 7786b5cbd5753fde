from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stbench.errors import UserError
from stbench.story import Story, load_story, parse_story, safe_id


def script(**changes):
    scene = {"scene_num": 1, "video_prompts": ["A.", "B."], "first_frame_prompt": ["a", "b"], "cut": [True, False]}
    data = {"story_name": "Tale", "story_overview": "Short.", "scenes": [scene]}
    for key, value in changes.items():
        target = scene if key in ("scene_num", "video_prompts", "first_frame_prompt", "cut", "truth") else data
        if value is ...:
            del target[key]
        else:
            target[key] = value
    return data


def test_a_script_becomes_numbered_shots():
    data = script()
    data["scenes"].append({"scene_num": 4, "video_prompts": ["C."], "cut": ["True"]})
    story = parse_story(data, source="tale.json", id="tale")
    assert [(shot.index, shot.id, shot.cut, shot.first_frame_prompt) for shot in story.shots] == [
        (0, "01_01", True, "a"),
        (1, "01_02", False, "b"),
        (2, "04_01", True, None),
    ]
    assert story.cuts == 2
    assert Story.from_json(json.loads(json.dumps(story.to_json()))) == story


@pytest.mark.parametrize("cut", [[True, False], ["True", "False"], ["true", "false"], [True, "False"]])
def test_cut_may_be_booleans_or_their_names(cut):
    assert [shot.cut for shot in parse_story(script(cut=cut), source="x", id="x").shots] == [True, False]


def test_dialects_keep_their_extra_fields_and_truth():
    data = script(truth=[{"species": "cat"}, {"species": "cat"}], first_frame_prompt=...)
    data["reconstruct_target"] = "face"
    story = parse_story(data, source="x", id="x")
    assert story.extra == {"reconstruct_target": "face"}
    assert story.shots[1].truth == {"species": "cat"}


BAD = {
    "no story_name": (script(story_name=...), "story_name", "the field is missing"),
    "no scenes": (script(scenes=...), "scenes", "the field is missing"),
    "empty scenes": (script(scenes=[]), "scenes", "at least one scene"),
    "scene not object": (script(scenes=["x"]), "scenes[0]", "an object with scene_num"),
    "no prompts": (script(video_prompts=...), "scenes[0].video_prompts", "the field is missing"),
    "no cut": (script(cut=...), "scenes[0].cut", "the field is missing"),
    "lengths": (script(cut=[True]), "scenes[0]", "field 'cut' has 1 entries for 2 video_prompts"),
    "first frame lengths": (script(first_frame_prompt=["a"]), "scenes[0]", "field 'first_frame_prompt' has 1 entries"),
    "empty prompt": (script(video_prompts=["A.", "  "]), "scenes[0].video_prompts[1]", "the prompt is empty"),
    "prompt not text": (script(video_prompts=["A.", 3]), "scenes[0].video_prompts[1]", "found 3; expected a prompt"),
    "bad cut": (script(cut=[True, "maybe"]), "scenes[0].cut[1]", "found 'maybe'; expected true or false"),
    "cut number": (script(cut=[1, 0]), "scenes[0].cut[0]", "expected true or false"),
    "first cut false": (script(cut=[False, True]), "scenes[0].cut[0]", "found false"),
    "scene number": (script(scene_num=0), "scenes[0].scene_num", "a whole number from 1 to 9999"),
    "scene number text": (script(scene_num="1"), "scenes[0].scene_num", "found '1'"),
    "list": ([1, 2], "bad.json", "holds a JSON list"),
    "null": (None, "bad.json", "holds a JSON null"),
    "duplicate scene": (script(scenes=[script()["scenes"][0]] * 2), "bad.json", "scenes[0] and scenes[1] both have scene_num 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_script_gets_one_line_with_file_field_found_and_expected(name):
    data, place, says = BAD[name]
    with pytest.raises(UserError) as caught:
        parse_story(data, source="bad.json", id="bad")
    line = str(caught.value)
    assert line.startswith("bad.json")
    assert place in line
    assert says in line
    assert "; expected " in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "is not JSON (line 1"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"story_name": NaN}', "NaN is not a JSON number"),
        (b"", "is not JSON"),
        (b" " * (10 * 1024 * 1024 + 1), "is 10.0 MB large"),
    ],
    ids=["torn", "binary", "deep", "nan", "empty", "large"],
)
def test_a_file_that_is_no_script_is_refused(tmp_path: Path, content: bytes, says: str):
    path = tmp_path / "tale.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_story(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_100_mb_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("the file was read"))
    with pytest.raises(UserError, match=r"100\.0 MB large; expected a story script of at most 10 MB"):
        load_story(path)


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_what_is_not_a_file_is_refused(tmp_path: Path, kind: str):
    path = tmp_path if kind == "folder" else tmp_path / "nothing.json"
    with pytest.raises(UserError, match="expected a story script"):
        load_story(path)


def test_a_story_name_is_never_a_path(tmp_path: Path):
    path = tmp_path / "tale.json"
    path.write_text(json.dumps(script(story_name="../../x")))
    story = load_story(path)
    assert (story.id, story.name) == ("tale", "../../x")


@given(st.text(max_size=200))
def test_ids_are_safe_file_names(text: str):
    name = safe_id(text)
    assert name == Path(name).name
    assert 0 < len(name) <= 64
    assert not name.startswith((".", "-"))
    assert safe_id(name) == name
