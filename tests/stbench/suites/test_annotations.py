from __future__ import annotations

import json
from pathlib import Path

import scripts_in_dialects as D

from stbench.keys import story_keys
from stbench.story import Entity, Story, parse_story
from stbench.suites import load_suite


def test_annotations_survive_a_manifest():
    story = parse_story(D.ANNOTATED, source="x", id="x")
    assert story.entities[0] == Entity(id="woman", kind="character", description=D.LOOK)
    assert [(shot.entities, shot.place) for shot in story.shots] == [((), "lake"), (("woman", "boat"), "lake"), (("fox",), None)]
    assert Story.from_json(json.loads(json.dumps(story.to_json()))) == story


def test_suites_without_annotations_keep_the_digests_that_runs_were_made_with():
    assert load_suite("world-mini").digest.startswith("14a8719fe5c0")
    story = parse_story(D.ST_BENCH, source="x", id="x")
    assert "entities" not in story.to_json()
    assert set(story.shots[0].to_json()) == {"index", "scene", "number", "prompt", "cut", "first_frame_prompt", "truth"}


def test_a_changed_annotation_films_its_shot_again_and_a_changed_entity_all_of_them():
    def keys(data: dict) -> list[str]:
        return story_keys(identity={"method": "m"}, story=parse_story(data, source="x", id="x"), run_seed=0)

    before = keys(D.ANNOTATED)
    other = json.loads(json.dumps(D.ANNOTATED))
    other["scenes"][0]["entities"][1] = ["woman"]
    assert [a == b for a, b in zip(before, keys(other), strict=True)] == [True, False, False]
    other = json.loads(json.dumps(D.ANNOTATED))
    other["entities"][0]["description"] = "a short woman"
    assert not set(before) & set(keys(other))


def test_an_annotated_script_is_filmed_and_the_same_command_finds_it_finished(film, tmp_path: Path):
    (tmp_path / "tale.json").write_text(json.dumps(D.ANNOTATED))
    words = ["run", "--method", "fake", "--suite", "tale.json", "--out", "run", "--device", "cpu", "--no-score"]
    assert film(*words).code == 0
    done = film(*words)
    assert done.code == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert "a round lake between dark pines" in json.dumps(manifest)
    assert film("check", "run").code == 0


def test_a_storyboard_is_filmed_like_any_script(film, tmp_path: Path):
    (tmp_path / "tale.story.md").write_text(D.MARKDOWN)
    assert film("run", "--method", "fake", "--suite", "tale.story.md", "--out", "run", "--device", "cpu", "--no-score").code == 0
    assert len(list((tmp_path / "run" / "shots" / "tale").glob("*.mp4"))) == 3
