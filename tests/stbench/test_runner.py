from __future__ import annotations

import fcntl
import json
from pathlib import Path

import numpy as np
import pytest

from stbench.journal import read_journal
from stbench.store import RunFolder


def edit(script: Path, change) -> None:
    data = json.loads(script.read_text())
    change(data)
    script.write_text(json.dumps(data))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_makes_every_shot_film_score_and_report(film, run_words, tmp_path, fake):
    done = film(*run_words)
    assert done.code == 0
    assert done.out == ""
    assert "COMPLETE" in done.err
    assert "shots: 7 made, 0 reused" in done.err
    assert "7/7" in done.err
    assert max(map(len, done.err.partition("COMPLETE")[2].splitlines())) < 80 + len(str(tmp_path))
    run = RunFolder.open(tmp_path / "run")
    assert run.manifest.status == "complete"
    assert run.manifest.counts.model_dump() == {"stories": 2, "expected": 7, "done": 7, "failed": 0}
    assert [len(part.records) for part in run.story_records()] == [4, 3]
    assert all(run.film_path(story.id).is_file() for story in run.stories)
    record = run.story_records()[0].records[2]
    assert record.shot == "02_01"
    assert record.index == 2
    assert [file.frame for file in record.keyframes] == [2, 0]
    assert [given.shot for given in record.inputs] == ["01_01", "01_02"]
    assert record.notes == {"memory": 2}
    assert run.read_frames(record).shape == (6, 16, 24, 3)
    assert {span["stage"] for span in run.timings()} == {"load", "shot", "denoise", "video_encode"}
    assert len(run.scores()) == 7


def test_the_same_command_reuses_everything_and_loads_no_model(film, run_words, tmp_path, fake):
    film(*run_words)
    before = tree(tmp_path / "run" / "shots")
    fake.OPENED.clear()
    fake.MADE.clear()
    fake.SCORED.clear()
    done = film(*run_words)
    assert done.code == 0
    assert "resuming: 7 of 7 shots reused" in done.err
    assert "shots: 0 made, 7 reused" in done.err
    assert (fake.OPENED, fake.MADE, fake.SCORED) == ([], [], [])
    assert tree(tmp_path / "run" / "shots") == before


def test_a_changed_prompt_remakes_that_shot_and_the_later_ones_only(film, run_words, scripts, tmp_path, fake):
    film(*run_words)
    before = tree(tmp_path / "run" / "shots")
    fake.MADE.clear()
    fake.SCORED.clear()
    edit(scripts / "ant.json", lambda data: data["scenes"][1]["video_prompts"].__setitem__(0, "Another prompt."))
    done = film(*run_words)
    assert done.code == 0
    assert fake.MADE == ["ant 02_01", "ant 02_02"]
    assert "shots: 2 made, 5 reused" in done.err
    after = tree(tmp_path / "run" / "shots")
    assert all(after[name] == before[name] for name in before if name.startswith(("bee", "ant/01")))
    assert film("check", tmp_path / "run").code == 0


def test_a_changed_first_prompt_is_another_story_and_loses_nothing(film, run_words, scripts, tmp_path):
    film(*run_words)
    before = tree(tmp_path / "run")
    edit(scripts / "bee.json", lambda data: data["scenes"][0]["video_prompts"].__setitem__(0, "Another prompt."))
    done = film(*run_words)
    assert done.code == 2
    assert "bee" in done.err
    assert "choose another --out" in done.err
    assert tree(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--seed", "1"], "its seed is 0, expected 1"),
        (["--set", "strength=2"], "options.strength: None, expected 2"),
        (["--limit", "1"], "2 stories"),
    ],
)
def test_a_folder_of_another_run_is_refused_unchanged(film, run_words, tmp_path, more, says):
    film(*run_words)
    before = tree(tmp_path / "run")
    done = film(*run_words, *more)
    assert done.code == 2
    assert says in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert tree(tmp_path / "run") == before


def test_a_foreign_folder_is_refused_unchanged(film, run_words, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    done = film(*run_words)
    assert done.code == 2
    assert "is not empty" in done.err
    assert tree(tmp_path / "run") == {"thesis.tex": b"years of work"}


def test_a_file_as_out_is_refused(film, run_words, tmp_path):
    (tmp_path / "run").write_text("a file")
    assert film(*run_words).code == 2
    assert (tmp_path / "run").read_text() == "a file"


def test_two_processes_cannot_use_one_folder(film, run_words, tmp_path):
    film(*run_words)
    with (tmp_path / "run" / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = film(*run_words)
    assert done.code == 2
    assert "in use by another process" in done.err


def test_limit_films_the_first_stories_and_may_grow(film, run_words, tmp_path, fake):
    done = film(*run_words, "--limit", "1")
    assert done.code == 0
    assert "shots: 4 made, 0 reused" in done.err
    assert film("check", tmp_path / "run").code == 0
    fake.MADE.clear()
    done = film(*run_words)
    assert "shots: 3 made, 4 reused" in done.err
    assert fake.MADE == ["bee 01_01", "bee 02_01", "bee 02_02"]


def test_a_failed_shot_is_retried_once_and_recorded(film, run_words, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAIL_ONCE", "ant 01_02")
    done = film(*run_words)
    assert done.code == 0
    assert "attempt 1 of 2" in done.err
    assert "CUDA out of memory second line" in done.err
    events = read_journal(tmp_path / "run" / "events.jsonl").events
    failures = [event for event in events if event["event"] == "shot_failed"]
    assert len(failures) == 1
    assert "Traceback" in failures[0]["traceback"]
    assert RunFolder.open(tmp_path / "run").record("ant", "01_02").attempt == 2


def test_a_shot_given_up_leaves_the_run_partial_and_the_next_command_heals_it(film, run_words, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAIL", "ant 02_01")
    done = film(*run_words)
    assert done.code == 3
    assert "PARTIAL" in done.err
    assert "5/7 finished" in done.err
    assert "5/7 !" in done.err
    assert "2 without a value: the shot was not made" in done.err
    assert "next        stbench run --method fake" in done.err
    run = RunFolder.open(tmp_path / "run")
    assert run.manifest.status == "partial"
    assert run.manifest.counts.failed == 1
    assert film("check", tmp_path / "run").code == 3
    monkeypatch.delenv("FAKE_FAIL")
    done = film(*run_words)
    assert done.code == 0
    assert "shots: 2 made, 5 reused" in done.err


@pytest.mark.parametrize("rule", ["frames-uint8", "frames-shape", "not-black", "not-constant"])
def test_invalid_frames_are_never_published(film, run_words, tmp_path, monkeypatch, rule):
    monkeypatch.setenv("FAKE_BAD", f"bee 01_01 {rule}")
    done = film(*run_words, "--no-score")
    assert done.code == 3
    assert f"rule {rule}" in done.err
    assert not (tmp_path / "run" / "shots" / "bee" / "01_01.json").exists()


@pytest.mark.parametrize("name", ["01_02.mp4", "01_02.key1.png", "01_02.tail0.png"])
def test_an_altered_or_lost_file_is_made_again(film, run_words, tmp_path, fake, name):
    film(*run_words)
    before = tree(tmp_path / "run" / "shots")
    path = tmp_path / "run" / "shots" / "ant" / name
    path.write_bytes(path.read_bytes()[:-20])
    fake.MADE.clear()
    assert film(*run_words).code == 0
    assert fake.MADE == ["ant 01_02"]
    path.unlink()
    assert film(*run_words).code == 0
    after = tree(tmp_path / "run" / "shots")
    assert {key: after[key] for key in after if not key.endswith(".json")} == {
        key: before[key] for key in before if not key.endswith(".json")
    }


def test_a_damaged_record_is_made_again(film, run_words, tmp_path, fake):
    film(*run_words)
    (tmp_path / "run" / "shots" / "bee" / "02_02.json").write_text('{"schema": 1, "story"')
    fake.MADE.clear()
    assert film(*run_words).code == 0
    assert fake.MADE == ["bee 02_02"]


def test_a_damaged_manifest_is_written_anew_if_every_record_is_of_this_run(film, run_words, tmp_path, fake):
    film(*run_words)
    path = tmp_path / "run" / "manifest.json"
    whole = json.loads(path.read_text())
    for damaged in ("{", path.read_text().replace('"seed": 0', '"seed": 8')):
        path.write_text(damaged)
        assert film("check", tmp_path / "run").code == 4
        fake.MADE.clear()
        assert film(*run_words).code == 0
        assert fake.MADE == []
        mended = json.loads(path.read_text())
        assert {k: v for k, v in mended.items() if k not in ("started", "finished", "seal")} == {
            k: v for k, v in whole.items() if k not in ("started", "finished", "seal")
        }
        assert film("check", tmp_path / "run").code == 0
    assert "manifest_mended" in [event["event"] for event in read_journal(tmp_path / "run" / "events.jsonl").events]


def test_a_damaged_manifest_over_shots_of_another_run_is_refused_unchanged(film, run_words, tmp_path):
    film(*run_words)
    (tmp_path / "run" / "manifest.json").write_text("{")
    before = tree(tmp_path / "run")
    done = film(*run_words, "--seed", "1")
    assert done.code == 4
    assert "is not a manifest" in done.err
    assert tree(tmp_path / "run") == before


def test_ctrl_c_says_what_is_safe_and_how_to_continue(film, run_words, tmp_path, monkeypatch, fake):
    monkeypatch.setenv("FAKE_INTERRUPT", "ant 02_02")
    done = film(*run_words)
    assert done.code == 130
    assert "3 of 7 shots are safe" in done.err
    assert done.err.strip().splitlines()[-1].startswith("continue: stbench run --method fake --suite")
    assert RunFolder.open(tmp_path / "run").manifest.status == "started"
    monkeypatch.delenv("FAKE_INTERRUPT")
    assert "shots: 4 made, 3 reused" in film(*run_words).err


def test_json_prints_one_object_on_stdout(film, run_words, tmp_path):
    done = film(*run_words, "--json")
    data = json.loads(done.out)
    assert data["verdict"] == "complete"
    assert data["n"] == {"expected": 7, "done": 7, "made": 7, "reused": 0, "failed": 0, "skipped": 0}
    assert data["scores"][0]["metric"] == "brightness"
    assert len(data["paths"]["films"]) == 2


def test_json_prints_one_object_for_errors_too(film, run_words):
    done = film(*run_words, "--seed", "x", "--json")
    assert done.code == 2
    assert json.loads(done.out)["exit_code"] == 2


def test_score_scores_again_and_reuses_what_has_not_changed(film, run_words, tmp_path, fake):
    film(*run_words, "--no-score")
    assert not (tmp_path / "run" / "scores.jsonl").exists()
    done = film("score", tmp_path / "run")
    assert done.code == 0
    assert len(fake.SCORED) == 7
    assert film("score", tmp_path / "run").code == 0
    assert len(fake.SCORED) == 7


def test_scores_do_not_depend_on_resume(film, run_words, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_INTERRUPT", "bee 02_01")
    film(*run_words)
    monkeypatch.delenv("FAKE_INTERRUPT")
    film(*run_words)
    resumed = RunFolder.open(tmp_path / "run").scores()
    film(*run_words, "--out", str(tmp_path / "other"))
    assert RunFolder.open(tmp_path / "other").scores() == resumed


def test_films_hold_all_shots_in_order(film, run_words, tmp_path):
    from stbench.video import read_mp4

    film(*run_words)
    run = RunFolder.open(tmp_path / "run")
    part = run.story_records()[0]
    frames, fps = read_mp4(run.film_path("ant"))
    assert (len(frames), fps) == (24, 8.0)
    shots = np.concatenate([run.read_frames(record) for record in part.records])
    assert np.abs(frames.astype(int) - shots).mean() < 4  # one more lossy encoding


def test_default_out_names_method_suite_model_and_seed(film, scripts, tmp_path):
    words = ["run", "--method", "fake", "--suite", str(scripts), "--limit", "1", "--no-score", "--seed", "3"]
    assert film(*words).code == 0
    assert (tmp_path / "runs" / "fake-tales-world-s3").is_dir()
    assert film(*words, "--set", "strength=1").code == 0
    assert len(list((tmp_path / "runs").glob("fake-tales-world-s3-*"))) == 1


def test_a_full_disk_is_loud_and_loses_nothing(film, run_words, tmp_path, monkeypatch):
    import stbench.publish

    real = stbench.publish.write_mp4

    def full(path, frames, fps):
        if "02_01" in path.name:
            raise OSError(28, "No space left on device")
        real(path, frames, fps)

    monkeypatch.setattr(stbench.publish, "write_mp4", full)
    done = film(*run_words)
    assert done.code == 3
    assert "No space left on device" in done.err
    assert len(done.err.strip().splitlines()[-1]) > 0
    run = RunFolder.open(tmp_path / "run")
    assert [len(part.records) for part in run.story_records()] == [2, 0]
