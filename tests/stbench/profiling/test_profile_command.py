from __future__ import annotations

import json

import pytest

from stbench.gating.noise import command_of
from stbench.profiling import live
from stbench.profiling.ceiling import Ceiling, measure_ceiling
from stbench.profiling.live import script_of
from stbench.store import RunFolder
from stbench.story import parse_story


@pytest.fixture
def quick_ceiling(monkeypatch):
    monkeypatch.setattr(live, "measure_ceiling", lambda device: Ceiling(flops_per_s=1e9, bytes_per_s=1e9, dtype="float32", threads=1))


def test_the_profile_of_a_run_has_no_headline_where_samples_are_too_few(film, run_words):
    assert film(*run_words, "--no-score", "--limit", "1").code == 0
    done = film("profile", "run", "--json")
    found = json.loads(done.out)
    assert done.code == 4
    assert found["validity"] == "INVALID"
    assert found["headline"] is None
    assert any("too few samples: 3 warm shots" in reason for reason in found["reasons"])
    assert "INVALID: no headline" in done.err
    assert "per shot" not in done.err.split("stage")[0]
    assert all(len(line) <= 80 for line in done.err.splitlines() if "/" not in line)


def test_a_live_profile_films_so_many_shots_with_the_ceiling_before_and_after(film, scripts, quick_ceiling, fake, tmp_path):
    done = film("profile", "--method", "fake", "--suite", scripts, "--shots", "6", "--out", "live", "--device", "cpu", "--json")
    found = json.loads(done.out)
    assert fake.MADE == ["ant 01_01", "ant 01_02", "ant 02_01", "ant 02_02", "bee 01_01", "bee 02_01"]
    assert found["shots"] == {"timed": 6, "warm": 5}
    assert found["ceiling"]["flops_per_s"] == 1e9
    assert found["use"] is None
    assert "does not count its operations" in found["use_reason"]
    assert {stage["name"] for stage in found["stages"]} >= {"denoise", "video_encode"}
    assert (tmp_path / "live" / "profile" / "index.html").is_file()
    assert film("check", "live").code == 0, "a profile leaves the run valid"


def test_the_run_of_a_live_profile_can_be_repeated_for_its_noise(film, scripts, quick_ceiling, fake, tmp_path):
    assert film("profile", "--method", "fake", "--suite", scripts, "--shots", "3", "--out", "live", "--device", "cpu", "--json").code == 4
    run = RunFolder.open(tmp_path / "live")
    assert film(*command_of(run), "--out", "again").code == 0
    shots = [
        [record.shot_key for part in one.story_records() for record in part.records] for one in (run, RunFolder.open(tmp_path / "again"))
    ]
    assert shots[0] == shots[1]
    assert len(shots[0]) == 3


def test_a_live_profile_never_times_shots_that_were_there(film, scripts, quick_ceiling, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").write_text("x")
    done = film("profile", "--method", "fake", "--suite", scripts, "--shots", "2", "--out", "old")
    assert done.code == 2
    assert "is not empty" in done.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give either a run folder or --method"),
        (["run", "--method", "fake"], "give either a run folder or --method"),
        (["nowhere"], "does not exist"),
        (["--method", "fake", "--shots", "99"], "99 shots are asked for"),
        (["--method", "fake", "--set", "x=1"], "unknown option 'x'"),
    ],
)
def test_what_cannot_be_profiled_is_said_in_one_line(film, scripts, quick_ceiling, words, says):
    done = film("profile", *words, *(["--suite", scripts] if "--method" in words else []))
    assert done.code == 2
    assert says in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_stories_become_scripts_and_back():
    script = {
        "story_name": "A",
        "story_overview": "B",
        "scenes": [
            {"scene_num": 1, "video_prompts": ["a", "b"], "cut": [True, False]},
            {"scene_num": 3, "video_prompts": ["c"], "cut": [True]},
        ],
    }
    story = parse_story(script, source="test", id="a")
    assert script_of(story, story.shots) == script


def test_the_ceiling_is_a_speed_that_a_product_really_had():
    """The best of several tries cannot be slower than one more product of the same size, several times over."""
    found = measure_ceiling("cpu")
    assert found.flops_per_s > 1e8
    assert found.bytes_per_s > 1e7
    assert found.dtype == "float32"
