from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path

import pytest

from reports.costs import stage_frame, stages
from reports.latency import profile_figures, timeline_frame, typical, waterfall_frame, write_profile
from reports.tables import RunScores
from stbench.journal import Journal
from stbench.profiling.profile import profile_run
from stbench.store import RunFolder

QUIET = {"clock_drift_s": 0.0, "cpu_wait_s": 0.0, "cores": 2, "processor": "<b>CPU</b>", "host_bytes": 2**30}
GIB = 2**30


@pytest.fixture
def run(make_run) -> RunFolder:
    """Six shots of a method that counts no operations, each 2 s, 3 s … long: 1 s encoding, the rest in the loop, 0.5 s of writing."""
    run = make_run("frozen")
    with closing(Journal(run.timing_path, lambda: 1.0)) as journal:
        units = [(part.story.id, record.shot) for part in run.story_records() for record in part.records]
        for number, (story, shot) in enumerate(units):
            where = {"story": story, "shot": shot, "device": "cpu", "warm": True}
            loop = {"memory": number % 3, "steps_s": [0.25, 0.5], "experts": ["high", "low"], "host_bytes": 3 * GIB}
            journal.add("span", **where, stage="shot", seconds=2.0 + number, start_s=0.0, detail=QUIET)
            journal.add("span", **where, stage="memory_encode", seconds=0.5, start_s=0.0, detail={"memory": number % 3})
            journal.add("span", **where, stage="memory_encode", seconds=0.5, start_s=0.5, detail={"host_bytes": 2 * GIB})
            journal.add("span", **where, stage="denoise", seconds=1.0 + number, start_s=1.0, detail=loop)
            journal.add("span", **where, stage="video_encode", seconds=0.5, start_s=2.0 + number, detail={})
    return run


def test_the_page_opens_offline_and_escapes_what_the_machine_calls_itself(run: RunFolder, tmp_path: Path) -> None:
    paths = write_profile(profile_run(run), tmp_path / "profile")
    page = paths["page"].read_text(encoding="utf-8")
    assert "<b>CPU" not in page
    assert "&lt;b&gt;CPU&lt;/b&gt;" in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    assert "<script" not in page
    assert "4.5 s per shot" in page, "the median of 2, 3, 4, 5, 6, 7"
    stored = json.loads(paths["json"].read_text(encoding="utf-8"))
    assert stored["validity"] == "VALID"
    assert stored["headline"]["shot_s"] == 4.5
    assert sorted(path.name for path in (tmp_path / "profile").glob("*.svg")) == [
        "memory_frames.svg",
        "memory_timeline.svg",
        "steps.svg",
        "waterfall.svg",
    ]


def test_an_invalid_profile_shows_no_headline(run: RunFolder, tmp_path: Path) -> None:
    with closing(Journal(run.timing_path, lambda: 2.0)) as journal:
        where = {"story": "alpha", "shot": run.stories[0].shots[0].id, "device": "cpu", "warm": True}
        journal.add("span", **where, stage="shot", seconds=2.0, detail=QUIET | {"clock_drift_s": 60.0})
    page = write_profile(profile_run(run), tmp_path / "profile")["page"].read_text(encoding="utf-8")
    assert "INVALID" in page
    assert "clock jump" in page
    assert "s per shot" not in page


def test_the_waterfall_is_of_the_shot_nearest_to_the_median(run: RunFolder) -> None:
    shot = typical(profile_run(run).counted)
    assert shot.seconds in (4.0, 5.0)
    frame = waterfall_frame(shot)
    assert list(frame["stage"]) == ["memory_encode", "memory_encode", "denoise", "video_encode"]
    assert list(frame["start_s"]) == [0.0, 0.5, 1.0, shot.seconds]
    assert list(timeline_frame(shot)["gib"]) == [2.0, 3.0]


def test_figures_without_numbers_are_left_out(run: RunFolder) -> None:
    empty = {figure.name for figure in profile_figures(profile_run(run)) if not len(figure.frame)}
    assert empty == {"roofline"}


def test_the_reports_stages_are_summed_by_shot_and_writing_is_not_part_of_a_shot(run: RunFolder) -> None:
    scores = RunScores(title="frozen", run=run, scores=(), lines=())
    found = {stage.name: (stage.n, stage.median_s, stage.total_s) for stage in stages(scores)}
    assert found["memory_encode"] == (6, 1.0, 6.0)
    assert found["shot"] == (6, 4.5, 27.0)
    frame = stage_frame([scores]).set_index("stage")["seconds_per_shot"]
    assert dict(frame) == {"memory_encode": 1.0, "denoise": 3.5, "other": 0.0}
