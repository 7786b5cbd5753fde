from __future__ import annotations

import pytest

from stbench.baselines import frozen
from stbench.baselines.world_truth import WorldTruth
from stbench.errors import UserError
from stbench.methods import METHODS, ShotRequest
from stbench.store import RunFolder
from stbench.suites import load_suite


def test_world_truth_renders_and_a_continuation_drops_the_shared_frame():
    from stbench.world.render import render_shot
    from stbench.world.spec import FRAMES, ShotTruth

    story = load_suite("world-mini").stories[0]
    k = next(shot.index for shot in story.shots if not shot.cut)
    with WorldTruth.from_options(model="world", options={}).open("cpu") as maker:
        before, after = (maker.shot(ShotRequest(story=story, shot=story.shots[i], seed=0)) for i in (k - 1, k))
    assert after.frames.shape[0] == FRAMES - 1
    whole = render_shot(ShotTruth.from_json(story.shots[k].truth)).frames
    assert (whole[0] == before.frames[-1]).all()
    assert (whole[1:] == after.frames).all()
    assert after.fps == 8


@pytest.mark.parametrize(("model", "options"), [("wan2.2-a14b", {}), ("world", {"steps": "3"})])
def test_world_truth_takes_no_model_and_no_options(model, options):
    with pytest.raises(UserError, match="world-truth"):
        WorldTruth.from_options(model=model, options=options)


def test_world_truth_needs_a_script_with_truth(film, scripts):
    done = film("run", "--method", "world-truth", "--suite", scripts, "--no-score", "--device", "cpu")
    assert done.code == 2
    assert "story ant shot 01_01: carries no ground truth" in done.err


def test_world_truth_names_its_renderer():
    identity = WorldTruth.from_options(model="world", options={}).identity()
    assert len(identity["renderer"]) == 64


@pytest.fixture
def frozen_on_fake(monkeypatch: pytest.MonkeyPatch, fake):
    monkeypatch.setattr(frozen, "FIRST_SHOT", "fake")
    METHODS.target("frozen")
    return fake


def test_frozen_repeats_the_first_shot_of_each_story(film, scripts, tmp_path, frozen_on_fake):
    words = ["run", "--method", "frozen", "--suite", scripts, "--out", "run", "--device", "cpu"]
    assert film(*words).code == 0
    assert frozen_on_fake.MADE == ["ant 01_01", "bee 01_01"]
    for part in RunFolder.open(tmp_path / "run").story_records():
        assert {record.n_frames for record in part.records} == {6}
        assert [record.notes["mode"] for record in part.records[1:]] == ["copy"] * (len(part.records) - 1)
    frozen_on_fake.OPENED.clear()
    (tmp_path / "run" / "shots" / "ant" / "02_02.json").unlink()
    assert film(*words).code == 0
    assert frozen_on_fake.OPENED == []


def test_frozen_passes_options_on(film, scripts, frozen_on_fake):
    done = film("run", "--method", "frozen", "--suite", scripts, "--set", "nonsense=1")
    assert done.code == 2
    assert "unknown option 'nonsense'" in done.err
