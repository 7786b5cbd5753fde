from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from reports.trend_page import write_trend
from stbench.errors import UserError
from stbench.journal import Journal
from stbench.store import RunFolder
from stbench.trend.series import read_series
from stbench.trend.text import lines

METRIC = "prompt_following_single_shot"
LEVELS = (0.50, 0.51, 0.50, 0.51, 0.40, 0.41, 0.40, 0.41)


@pytest.fixture
def nightly(make_run) -> list[RunFolder]:
    """Eight nights; on the fifth the quality fell. In the last one, a hostile name."""
    runs = []
    for night, level in enumerate(LEVELS):
        run = make_run("storymem", level=level, name=f"night-{night}")
        commit = "<script>alert(1)</script>" if night == 7 else f"abc{night}"
        run.manifest = run.manifest.model_copy(update={"started": 86400.0 * night, "versions": {"commit": commit}})
        runs.append(run)
    return runs


def time(run: RunFolder, seconds: float, **facts: object) -> None:
    quiet = {"clock_drift_s": 0.0, "cpu_wait_s": 0.0, "cores": 2, "processor": "Test CPU", "host_bytes": 2**30}
    with closing(Journal(run.timing_path, lambda: 1.0)) as journal:
        for part in run.story_records():
            for record in part.records:
                where = {"story": part.story.id, "shot": record.shot, "device": "cpu", "warm": True}
                journal.add("span", **where, stage="shot", seconds=seconds, detail=quiet | facts)


def test_a_fall_in_quality_is_marked_where_it_happened(nightly: list[RunFolder]) -> None:
    (series,) = read_series(list(reversed(nightly)), [METRIC])
    assert [point.label for point in series.points][:2] == ["abc0", "abc1"], "in the order in which they were started"
    (step,) = series.steps
    assert (step.at, series.word(step)) == (4, "WORSE")
    assert series.to_json()["steps"][0]["run"] == "night-4"
    text = "\n".join(lines([series]))
    assert "WORSE" in text
    assert "at abc4, night-4" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines())


def test_times_that_are_invalid_or_of_another_device_are_shown_and_do_not_count(nightly: list[RunFolder]) -> None:
    for night, run in enumerate(nightly):
        time(run, 2.0 + 0.01 * (night % 2), **({"cpu_wait_s": 1.0} if night == 2 else {"processor": "Old CPU"} if night == 3 else {}))
    (series,) = read_series(nightly, ["shot.p50"])
    reasons = [point.reason for point in series.points]
    assert [night for night, reason in enumerate(reasons) if reason] == [2, 3]
    assert "INVALID times: busy CPU" in str(reasons[2])
    assert "not comparable: cpu (Old CPU" in str(reasons[3])
    assert series.higher_is_better is False


def test_a_slowdown_is_worse_and_a_run_of_another_kind_is_another_series(nightly: list[RunFolder], make_run) -> None:
    for night, run in enumerate(nightly):
        time(run, (2.0 if night < 6 else 3.0) + 0.01 * (night % 2))
    other = make_run("wan-t2v")
    found = read_series([*nightly, other], ["shot.p50", METRIC])
    slow = next(series for series in found if series.quantity == "shot.p50")
    assert [(step.at, slow.word(step)) for step in slow.steps] == [(6, "WORSE")]
    assert sorted(len(series.points) for series in found if series.quantity == METRIC) == [1, 8]


def test_an_unknown_quantity_is_refused_with_those_that_there_are(nightly: list[RunFolder]) -> None:
    with pytest.raises(UserError, match=r"no run has speed.*expected one of: .*prompt_following_single_shot"):
        read_series(nightly, ["speed"])


def test_the_page_opens_offline_and_escapes_what_users_wrote(nightly: list[RunFolder], tmp_path: Path) -> None:
    page = write_trend(read_series(nightly), tmp_path / "trend").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page).replace("http-equiv", "")
    assert page.count("<svg") == 2
    assert "WORSE" in page
