"""Runs that earlier versions wrote stay readable; newer ones say what they need."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stbench.errors import InvalidRunError
from stbench.migration import CURRENT, STEPS, migrated
from stbench.store import RunFolder

STORED = Path(__file__).parent / "stored"  # schema-1: written by the last version with that schema, with the tests' fake method


@pytest.fixture(params=sorted(path.name for path in STORED.iterdir()))
def old(request, tmp_path) -> Path:
    return Path(shutil.copytree(STORED / request.param, tmp_path / "run"))


def test_there_is_a_stored_run_of_every_earlier_schema():
    assert {path.name for path in STORED.iterdir()} == {f"schema-{number}" for number in range(1, CURRENT)}
    assert set(STEPS) == {(kind, number) for kind in ("record", "manifest") for number in range(1, CURRENT)}


def test_an_old_run_opens_with_its_shots_scores_and_frames(old):
    run = RunFolder.open(old)
    assert [len(part.records) for part in run.story_records()] == [3]
    assert run.read_frames(run.record("ant", "01_02")).shape == (6, 16, 24, 3)
    assert len(run.scores()) == 3
    assert run.record("ant", "02_01").lacks == ()


def test_an_old_run_is_valid_and_is_continued_without_making_anything_again(old, film, fake, tmp_path):
    assert film("check", old).code == 0
    script = tmp_path / "ant.json"
    script.write_text(json.dumps(SCRIPT))
    assert film("run", "--method", "fake", "--suite", script, "--out", old, "--device", "cpu").code == 0
    assert fake.MADE == []


def test_a_newer_run_says_which_version_it_needs(old):
    for name in ("manifest.json", "shots/ant/01_01.json"):
        path = old / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": CURRENT + 1}))
    with pytest.raises(InvalidRunError, match=rf"has schema {CURRENT + 1}; expected at most {CURRENT}; .*update to one that knows"):
        RunFolder.open(old)


@pytest.mark.parametrize("schema", [0, -1, "1", None, True, 1.5, [1]])
def test_a_schema_that_is_no_number_is_an_error(schema):
    with pytest.raises(InvalidRunError, match="has schema"):
        migrated("record", {"schema": schema}, where=Path("x"))


SCRIPT = {
    "story_name": "Ant",
    "story_overview": "Ant in short.",
    "scenes": [
        {"scene_num": 1, "video_prompts": ["Ant, scene 1, shot 1.", "Ant, scene 1, shot 2."], "cut": [True, False]},
        {"scene_num": 2, "video_prompts": ["Ant, scene 2, shot 1."], "cut": [True]},
    ],
}
