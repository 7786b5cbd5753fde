from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stbench.errors import UserError
from stbench.suites import BUNDLED, generate_suite, list_suites, load_suite


@pytest.mark.parametrize(
    ("name", "stories", "shots"), [("world", 30, 300), ("world-mini", 3, 18), ("stbench-30", 30, 300), ("stbench-mini", 3, 12)]
)
def test_bundled_suites_are_what_their_index_says(name, stories, shots):
    suite = load_suite(name)
    assert (suite.name, len(suite.stories), suite.shots) == (name, stories, shots)
    assert all(shot.truth or shot.place for story in suite.stories for shot in story.shots)


def test_the_generator_writes_the_bundled_bytes(tmp_path: Path):
    out = generate_suite("world-mini", tmp_path / "mini")
    bundled = sorted(path for path in (BUNDLED / "world-mini").iterdir() if path.suffix == ".json")
    assert [path.name for path in bundled] == sorted(path.name for path in out.iterdir())
    assert all((out / path.name).read_bytes() == path.read_bytes() for path in bundled)
    assert load_suite(out).digest == load_suite("world-mini").digest
    with pytest.raises(UserError, match="nothing was changed"):
        generate_suite("world-mini", out)


def test_a_changed_script_of_an_indexed_suite_is_refused(tmp_path: Path):
    shutil.copytree(BUNDLED / "world-mini", tmp_path / "mini")
    path = sorted((tmp_path / "mini").glob("world_*.json"))[0]
    path.write_text(path.read_text().replace("ghost", "robot"))
    with pytest.raises(UserError, match="has sha256"):
        load_suite(tmp_path / "mini")


def test_a_folder_or_a_file_is_a_suite(scripts: Path):
    suite = load_suite(scripts)
    assert (suite.name, suite.version, [story.id for story in suite.stories]) == ("tales", "user", ["ant", "bee"])
    assert [story.id for story in load_suite(scripts / "bee.json").stories] == ["bee"]


def test_a_recorded_command_names_a_suite_under_the_home_folder(scripts: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(scripts.parent))
    assert load_suite(f"~/{scripts.name}").digest == load_suite(scripts).digest


def test_the_digest_is_of_the_stories_and_not_of_their_layout(scripts: Path):
    before = load_suite(scripts).digest
    for path in scripts.iterdir():
        path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    assert load_suite(scripts).digest == before


def test_two_scripts_with_one_id_are_refused(scripts: Path):
    shutil.copy(scripts / "ant.json", scripts / "_ant.json")
    with pytest.raises(UserError, match="story id 'ant'"):
        load_suite(scripts)


@pytest.mark.parametrize(
    ("name", "says"), [("wrld", "did you mean 'world'"), ("no/such.json", "cannot be read"), ("nonsense", "expected one of: .*world")]
)
def test_an_unknown_suite_says_what_there_is(name, says):
    with pytest.raises(UserError, match=says):
        load_suite(name)


def test_an_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="holds no scripts"):
        load_suite(tmp_path)


@pytest.mark.parametrize(
    "index", [[], {"name": "x"}, {"name": "x", "version": 1, "stories": []}, {"name": "x", "version": 1, "stories": [3]}]
)
def test_a_bad_index_is_refused(tmp_path: Path, index):
    (tmp_path / "suite.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"suite\.json"):
        load_suite(tmp_path)


def test_an_index_cannot_name_files_elsewhere(scripts: Path):
    index = {"name": "x", "version": 1, "stories": [{"file": "../../etc/passwd", "sha256": "0"}]}
    (scripts / "suite.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="tales/passwd"):
        load_suite(scripts)


def test_bundled_names():
    assert list_suites() == ["stbench-30", "stbench-mini", "world", "world-mini"]
