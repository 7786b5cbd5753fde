"""Whatever a file holds, reading it ends in a story or in one clear line; never in a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import scripts_in_dialects as D
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stbench.dialects import from_json
from stbench.dialects.lines import find_line
from stbench.errors import UserError
from stbench.story import Story, load_story, parse_story
from stbench.suites import find_suite
from stbench.suites.lint import lint

KEYS = [
    "story_name",
    "story_overview",
    "scenes",
    "entities",
    "entity_registry",
    "entity_schedule",
    "characters",
    "locations",
    "shot_captions",
    "global_caption",
    "reconstruct_target",
    "video_prompts",
    "cut",
    "places",
    "scene_num",
    "design",
    "references",
    "id",
    "kind",
]
MEMENTO_PROMPT = "global caption: [A]: x; shot caption: y"
leaves = st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=8) | st.sampled_from(["character", "True", MEMENTO_PROMPT])
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5), max_leaves=15
)
settings_here = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def story_or_line(read) -> None:
    try:
        story = read()
    except UserError as error:
        line = str(error)
    else:
        line = ""
        assert isinstance(story, Story)
    assert "\n" not in line


@settings_here
@given(anything)
def test_any_json_is_a_story_or_an_error(data):
    story_or_line(lambda: parse_story(from_json(data, name="x").data, source="x", id="x"))


@settings_here
@given(st.sampled_from(["annotated.json", "entitybench.json", "entitybench_lists.json", "memento.json", "holocine.json"]), st.data())
def test_a_script_with_one_part_replaced_is_a_story_or_an_error(name: str, data):
    script = json.loads(D.FILES[name])
    node = script
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
            node = node[key]
            continue
        node[key] = data.draw(anything)
        break
    story_or_line(lambda: parse_story(from_json(script, name="x").data, source="x", id="x"))


@settings_here
@given(st.sampled_from([".story.yaml", ".story.md", ".json5"]), st.text(max_size=60), st.data())
def test_a_storyboard_with_anything_in_it_is_a_story_or_an_error(tmp_path: Path, suffix: str, text: str, data):
    original = {".story.yaml": D.YAML, ".story.md": D.MARKDOWN, ".json5": D.JSON5}[suffix]
    at = data.draw(st.integers(0, len(original)))
    path = tmp_path / f"tale{suffix}"
    path.write_bytes((original[:at] + text + original[at + data.draw(st.integers(0, 20)) :]).encode("utf-8", "replace"))
    story_or_line(lambda: load_story(path))


@given(st.text(max_size=80), st.sampled_from(["scenes[0].cut[1]", "entities[0].id", "scenes", "design", ""]), st.booleans())
def test_any_text_has_a_line_or_none(text: str, field: str, storyboard: bool):
    line = find_line(text, field, storyboard=storyboard)
    assert line is None or line >= 1


BOMBS = {
    "deep.json": '{"scenes":' + "[" * 50_000,
    "deep.story.yaml": "title: " + "[" * 20_000,
    "bomb.story.yaml": "a: &a [x,x]\nb: &b [*a,*a]\ntitle: *b\nscenes: []\n",
    "tag.story.yaml": "title: !!python/object/apply:os.system ['true']\nscenes: []\n",
    "long.story.md": "# " + "x" * 100_000,
    "deep.json5": "{a: " + "[" * 20_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_files_made_to_break_a_parser_are_refused(tmp_path: Path, name: str):
    (tmp_path / name).write_text(BOMBS[name])
    with pytest.raises(UserError) as caught:
        load_story(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert lint(find_suite(tmp_path / name)).counts["error"] == 1
