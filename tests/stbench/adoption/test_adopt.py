"""Foreign videos in a run folder: the same pixels, records that check, and nothing done twice."""

import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from metrics.scoring import film_of
from stbench.adoption.adopt import adopt, manifest_of
from stbench.adoption.cuts import Cutting, cut_films
from stbench.adoption.layout import find_layout
from stbench.check import check_run
from stbench.commands import score as score_command
from stbench.errors import UserError
from stbench.journal import read_journal
from stbench.store import RunFolder
from stbench.suites import load_suite
from stbench.video import read_mp4, write_mp4

SCRIPT = {
    "story_name": "tale",
    "scenes": [
        {"scene_num": 1, "video_prompts": ["a", "b"], "cut": [True, False]},
        {"scene_num": 2, "video_prompts": ["c"], "cut": [True]},
    ],
}


def frames(seed, count=6, size=(32, 48)):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "tale.json"
    path.write_text(json.dumps(SCRIPT))
    return load_suite(path)


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    (folder / "tale").mkdir(parents=True)
    for i, name in enumerate(("1_1", "1_2", "2_1")):
        write_mp4(folder / "tale" / f"{name}.mp4", frames(i), 8)
    return folder


def score_of(videos, script, *words):
    app = typer.Typer()
    score_command.register(app)
    return CliRunner().invoke(app, ["--videos", str(videos), "--suite", str(script), *words])


def take(videos, suite, out, cutting=None):
    layout = cut_films(find_layout(videos, suite.stories), suite.stories, cutting or Cutting())
    return adopt(layout, manifest_of(videos, suite, protocol="lite", device="cpu", out=out), out), RunFolder.open(out)


def test_files_are_copied_byte_by_byte_and_the_run_is_valid(videos, suite, tmp_path):
    layout, run = take(videos, suite, tmp_path / "run")
    assert layout.whole
    records = run.story_records()[0].records
    assert [record.notes["source"] for record in records] == ["1_1.mp4", "1_2.mp4", "2_1.mp4"]
    assert run.shot_video(records[1]).read_bytes() == (videos / "tale" / "1_2.mp4").read_bytes()
    assert check_run(tmp_path / "run").verdict == "valid"


def test_a_gap_a_torn_file_and_one_that_is_no_video(videos, suite, tmp_path):
    torn = videos / "tale" / "1_2.mp4"
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    (videos / "tale" / "2_1.mp4").write_text("not a video")
    layout, run = take(videos, suite, tmp_path / "run")
    assert {source.shot.id: source.kind for source in layout.sources if source.kind}.keys() == {"01_02", "02_01"}
    assert {source.kind for source in layout.sources} <= {None, "short", "unreadable"}
    assert len(run.story_records()[0].records) == 1
    checked = check_run(tmp_path / "run")
    assert checked.verdict == "partial"
    assert checked.missing["tale", "02_01"].startswith("unreadable: cannot be decoded")
    unreadable = [event["unreadable"] for event in read_journal(run.events_path).events if event["event"] == "videos_adopted"]
    assert unreadable == [layout.counts()["unreadable"]]  # counted after decoding
    write_mp4(torn, frames(1), 8)
    (videos / "tale" / "1_1.mp4").unlink()
    layout, run = take(videos, suite, tmp_path / "run")
    assert [record.lacks for record in run.story_records()[0].records] == [("01_01",)]
    assert not check_run(tmp_path / "run").problems


def test_one_frame_is_short(videos, suite, tmp_path):
    write_mp4(videos / "tale" / "1_1.mp4", frames(0, count=1), 8)
    layout, _ = take(videos, suite, tmp_path / "run")
    assert layout.sources[0].problem == "it has 1 frame"


def test_the_same_command_again_takes_over_only_what_changed(videos, suite, tmp_path):
    _, run = take(videos, suite, tmp_path / "run")
    before = {path.name: path.stat().st_mtime_ns for path in run.shots_path("tale").iterdir()}
    write_mp4(videos / "tale" / "2_1.mp4", frames(9), 8)
    take(videos, suite, tmp_path / "run")
    after = {path.name: path.stat().st_mtime_ns for path in run.shots_path("tale").iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"02_01.mp4", "02_01.json"}


@pytest.mark.parametrize(("size", "lengths"), [((32, 48), (5, 6, 7)), ((31, 45), (6, 6, 6))])
def test_a_film_is_cut_without_losing_a_bit(videos, suite, tmp_path, size, lengths):
    films = tmp_path / "films"
    films.mkdir()
    write_mp4(films / "tale.mp4", frames(3, count=18, size=size), 8)
    whole, _ = read_mp4(films / "tale.mp4")
    layout, run = take(films, suite, tmp_path / "run", Cutting(lengths={"": lengths}))
    assert layout.whole
    parts = [run.read_frames(record) for record in run.story_records()[0].records]
    assert tuple(map(len, parts)) == lengths
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert check_run(tmp_path / "run").verdict == "valid"


def test_a_film_that_ends_early_is_short(suite, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    write_mp4(films / "tale.mp4", frames(3, count=10), 8)
    layout, _ = take(films, suite, tmp_path / "run", Cutting(lengths={"": (6,)}))
    assert [source.problem for source in layout.sources] == [None, "the film ends after 4 of 6 frames", "the film ends at frame 10"]


def test_cuts_are_detected_and_must_be_trusted(suite, tmp_path, monkeypatch):
    pytest.importorskip("scenedetect")
    films = tmp_path / "films"
    films.mkdir()
    still = [np.repeat(frames(shade, 1, (64, 96)) // 8 + np.uint8(shade), 20, axis=0) for shade in (20, 200, 90)]
    write_mp4(films / "tale.mp4", np.concatenate(still), 8)
    layout = cut_films(find_layout(films, suite.stories), suite.stories, Cutting(detect=True))
    assert [source.span for source in layout.sources] == [(0, 20), (20, 40), (40, 60)]
    assert layout.guessed
    done = score_of(films, tmp_path / "tale.json", "--detect-cuts")
    assert isinstance(done.exception, UserError)
    assert "add --yes" in str(done.exception)
    assert "frames 20..39" in done.stderr


def test_a_wrong_frame_policy_is_refused_before_anything_is_taken_over(videos, suite, tmp_path):
    done = score_of(videos, tmp_path / "tale.json", "--frames", "3", "--out", str(tmp_path / "run"))
    assert isinstance(done.exception, UserError)
    assert "at least 4" in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_files_left_over_are_named_in_the_mapping_and_after_scoring(videos, suite):
    write_mp4(videos / "tale" / "9_9.mp4", frames(9), 8)
    layout = find_layout(videos, suite.stories)
    assert score_command.mapping_lines(layout)[-2:] == ["  extra: tale/9_9.mp4", "  3 of 3 shots, 1 extra"]
    assert score_command.trouble_lines(layout) == ["! extra: tale/9_9.mp4", "videos: 3 of 3 shots, 1 extra"]
    many = replace(layout, extra=layout.extra * 30)
    assert score_command.trouble_lines(many)[0].endswith("tale/9_9.mp4, and 6 more")


def test_another_folder_into_the_same_run_is_refused(videos, suite, tmp_path):
    take(videos, suite, tmp_path / "run")
    other = videos.rename(tmp_path / "others")
    with pytest.raises(UserError, match="holds another run"):
        take(other, suite, tmp_path / "run")


def test_a_long_mapping_is_cut_and_says_where_the_rest_is(videos, suite):
    layout = find_layout(videos, suite.stories)
    many = replace(layout, sources=layout.sources * 20)
    lines = score_command.mapping_lines(many)
    assert len(lines) == score_command.SHOWN + 3
    assert "36 more shots" in lines[-2]


def test_a_score_that_is_missing_says_which_file_cannot_be_read(videos, suite, tmp_path):
    (videos / "tale" / "1_2.mp4").write_text("not a video")
    (videos / "tale" / "2_1.mp4").unlink()
    _, run = take(videos, suite, tmp_path / "run")
    reasons = [clip.reason for clip in film_of(run, run.story_records()[0]).clips]
    assert reasons[0] is None
    assert reasons[1].startswith("1_2.mp4 cannot be decoded")
    assert reasons[1].endswith("give a file that plays and repeat the command")
    assert reasons[2] == "there is no video of it: add one and repeat the command"
