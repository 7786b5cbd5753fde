"""Reference pictures: what a script may name, what `--reference` may, and that bytes count and paths do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from stbench.errors import UserError
from stbench.keys import story_keys
from stbench.story import Story, load_story
from stbench.suites import load_suite, with_references

SCRIPT = {"story_name": "Tale", "scenes": [{"scene_num": 1, "video_prompts": ["A.", "B."], "cut": [True, False]}]}


def picture(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), colour).save(path)
    return path


def script_with(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tale.json").write_text(json.dumps(SCRIPT | ({"references": list(names)} if names else {})))
    return folder / "tale.json"


def keys(story: Story) -> list[str]:
    return story_keys(identity={}, story=story, run_seed=0)


def test_a_script_names_pictures_in_its_own_folder(tmp_path):
    picture(tmp_path / "cast" / "cat.png")
    story = load_story(script_with(tmp_path, "cast/cat.png"))
    assert [reference.path.name for reference in story.references] == ["cat.png"]
    assert Story.from_json(json.loads(json.dumps(story.to_json()))) == story


@pytest.mark.parametrize("name", ["../cat.png", "/etc/passwd", "link.png", "cast/../../cat.png"])
def test_a_script_cannot_reach_outside_of_its_folder(tmp_path, name):
    picture(tmp_path / "cat.png")
    (tmp_path / "tales").mkdir()
    (tmp_path / "tales" / "link.png").symlink_to(tmp_path / "cat.png")
    with pytest.raises(UserError, match=r"references\[0\]: .* leaves the script's folder"):
        load_story(script_with(tmp_path / "tales", name))


@pytest.mark.parametrize(
    ("names", "says"),
    [(["none.png"], "there is no file"), (["tale.json"], "cannot be read as an image"), ([3], "found 3"), (["a.png"] * 65, "at most 64")],
)
def test_a_bad_reference_gets_one_line(tmp_path, names, says):
    with pytest.raises(UserError, match=says) as caught:
        load_story(script_with(tmp_path, *names))
    assert "references" in str(caught.value)


def test_the_bytes_of_a_picture_count_and_its_path_does_not(tmp_path):
    picture(tmp_path / "a" / "cat.png")
    picture(tmp_path / "b" / "dog.png")
    picture(tmp_path / "c" / "cat.png", "blue")
    first, moved, other = (
        load_story(script_with(tmp_path / part, name)) for part, name in [("a", "cat.png"), ("b", "dog.png"), ("c", "cat.png")]
    )
    assert keys(first) == keys(moved)
    assert not set(keys(first)) & set(keys(other))
    assert keys(replace(first, references=())) == keys(load_story(script_with(tmp_path / "d")))


def test_the_option_gives_every_story_the_pictures_first(tmp_path):
    picture(tmp_path / "tales" / "own.png")
    script_with(tmp_path / "tales", "own.png")
    plain = load_suite(tmp_path / "tales")
    suite = with_references(plain, [str(picture(tmp_path / "hero.png", "blue"))])
    assert [reference.path.name for reference in suite.stories[0].references] == ["hero.png", "own.png"]
    assert suite.digest != plain.digest
    assert with_references(plain, []) is plain


def test_a_method_without_memory_refuses_references(film, tmp_path, run_words):
    done = film(*run_words, "--reference", picture(tmp_path / "hero.png"))
    assert done.code == 2
    assert "fake takes no reference pictures" in done.err
