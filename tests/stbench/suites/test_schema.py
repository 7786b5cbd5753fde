"""The published schema accepts what the loader accepts, and both name the field of whatever is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import scripts_in_dialects as D
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from stbench.dialects import from_json, read_source
from stbench.dialects.convert import checked
from stbench.errors import UserError
from stbench.schema import FILE, schema_text
from stbench.story import field_path, parse_story
from stbench.suites import BUNDLED, list_suites

SCHEMA = Draft202012Validator(json.loads(FILE.read_text(encoding="utf-8")))


def test_the_published_file_is_generated():
    assert FILE.read_text(encoding="utf-8") == schema_text(), "run: python -m stbench.schema"
    Draft202012Validator.check_schema(SCHEMA.schema)


@pytest.mark.parametrize("name", [name for name in D.FILES if name.endswith(".json") and name not in ("holocine.json", "json5.json")])
def test_json_dialects_validate_as_they_are(name: str):
    assert best_match(SCHEMA.iter_errors(json.loads(D.FILES[name]))) is None


@pytest.mark.parametrize("name", D.FILES)
def test_every_dialect_validates_once_read(tmp_path: Path, name: str):
    (tmp_path / name).write_text(D.FILES[name], encoding="utf-8")
    assert best_match(SCHEMA.iter_errors(checked(read_source(tmp_path / name), name, "x"))) is None


@pytest.mark.parametrize("suite", list_suites())
def test_bundled_scripts_validate(suite: str):
    for file in sorted((BUNDLED / suite).glob("*.json"))[:30]:
        if file.name != "suite.json":
            assert best_match(SCHEMA.iter_errors(json.loads(file.read_text(encoding="utf-8")))) is None


def broken(field: str, value: object) -> dict:
    """The annotated script with one field changed; ... removes it."""
    script = json.loads(json.dumps(D.ANNOTATED))
    script["references"] = []
    script["scenes"][0] |= {"global_caption": ["", ""], "truth": [{}, {}]}
    node: object = script
    steps = [int(step) if step.isdigit() else step for step in field.replace("[", ".").replace("]", "").split(".")]
    for step in steps[:-1]:
        node = node[step]
    if value is ...:
        del node[steps[-1]]
    else:
        node[steps[-1]] = value
    return script


BROKEN = [  # (field, its value): each is wrong in this field and right in all others
    ("story_name", ...),
    ("story_name", 7),
    ("story_name", None),
    ("story_name", ["A"]),
    ("story_overview", 7),
    ("story_overview", {"text": "x"}),
    ("scenes", ...),
    ("scenes", []),
    ("scenes", {}),
    ("scenes", "one"),
    ("scenes[0]", "one"),
    ("scenes[0]", None),
    ("scenes[0].scene_num", ...),
    ("scenes[0].scene_num", "1"),
    ("scenes[0].scene_num", 0),
    ("scenes[0].scene_num", -3),
    ("scenes[0].scene_num", 10_000),
    ("scenes[0].scene_num", 1.5),
    ("scenes[0].video_prompts", ...),
    ("scenes[0].video_prompts", []),
    ("scenes[0].video_prompts", "A lake."),
    ("scenes[0].video_prompts[1]", ""),
    ("scenes[0].video_prompts[1]", " \n "),
    ("scenes[0].video_prompts[0]", 3),
    ("scenes[0].video_prompts[0]", None),
    ("scenes[0].cut", ...),
    ("scenes[0].cut", True),
    ("scenes[0].cut", None),
    ("scenes[0].cut[1]", "maybe"),
    ("scenes[0].cut[1]", 1),
    ("scenes[0].cut[1]", None),
    ("scenes[0].cut[1]", []),
    ("scenes[0].first_frame_prompt", "A lake."),
    ("scenes[0].first_frame_prompt[0]", 3),
    ("scenes[0].entities", "woman"),
    ("scenes[0].entities[1]", "woman"),
    ("scenes[0].entities[1][0]", 7),
    ("scenes[0].entities[1][0]", ""),
    ("scenes[0].places", "lake"),
    ("scenes[0].places[0]", 7),
    ("scenes[0].places[0]", "x" * 65),
    ("scenes[0].global_caption[0]", 7),
    ("scenes[0].truth", {}),
    ("scenes[0].truth[1]", "cat"),
    ("entities[0]", "woman"),
    ("entities[0].id", ...),
    ("entities[0].id", ""),
    ("entities[0].kind", ...),
    ("entities[0].kind", "ghost"),
    ("entities[0].description", 7),
    ("references", "hero.png"),
    ("references[0]", 7),
]


def test_there_are_at_least_forty():
    assert len(BROKEN) >= 40


@pytest.mark.parametrize(("field", "value"), BROKEN, ids=[f"{field}={value!r:.12}" for field, value in BROKEN])
def test_a_broken_field_is_named_by_schema_and_loader(field: str, value: object):
    script = broken("references", [value]) if field == "references[0]" else broken(field, value)
    error = best_match(SCHEMA.iter_errors(script))
    assert error is not None
    assert named(error) == field
    with pytest.raises(UserError) as caught:
        parse_story(from_json(script, name="x").data, source="x.json", id="x")
    assert str(caught.value).startswith(f"x.json: {field}: "), str(caught.value)


def named(error) -> str:
    """The field that a schema error is about; of a choice (a cut: a boolean or its name), the field that has it."""
    while error.parent is not None:
        error = error.parent
    path = field_path(tuple(error.absolute_path))
    return f"{path}.{error.message.split(chr(39))[1]}".lstrip(".") if error.validator == "required" else path
