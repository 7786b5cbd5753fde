"""`write_report` end to end on small run folders."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from reports.report import write_report
from stbench.errors import UserError
from stbench.scores import aggregate

from .conftest import RunMaker, make_story


def test_one_run_gives_tables_and_a_sheet_per_story(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run("storymem")
    paths = write_report([run], tmp_path / "report")
    assert set(paths) == {"html", "table", "latex", "scores_csv", "summary_csv", "sheets"}
    assert sorted(path.name for path in paths["sheets"].iterdir()) == ["alpha.png", "beta.png"]
    with Image.open(paths["sheets"] / "alpha.png") as sheet:
        assert min(sheet.size) > 300


def test_csv_holds_every_row_and_the_one_aggregation(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run("storymem", finished=2)
    paths = write_report([run], tmp_path / "report")
    rows = pd.read_csv(paths["scores_csv"])
    assert len(rows) == len(run.scores())
    assert rows["value"].isna().sum() == rows["reason"].notna().sum() == 2
    summary = pd.read_csv(paths["summary_csv"]).set_index("metric")
    for line in aggregate(run.scores()):
        assert summary.loc[line.metric, "mean"] == pytest.approx(line.mean, rel=1e-12)
        assert summary.loc[line.metric, "n_expected"] == line.n_expected


def test_several_runs_are_put_side_by_side_per_story(make_run: RunMaker, tmp_path: Path) -> None:
    runs = [make_run("storymem"), make_run("wan-t2v", level=0.3), make_run("world-truth", level=0.9)]
    paths = write_report(runs, tmp_path / "report")
    for kind in ("side", "strips"):
        assert sorted(path.name for path in paths[kind].iterdir()) == ["alpha.png", "beta.png"]
    assert sorted(path.name for path in paths["sheets"].iterdir()) == ["storymem", "wan-t2v", "world-truth"]
    changes = pd.read_csv(paths["changes_csv"])
    change = changes[(changes["arm"] == "wan-t2v") & (changes["metric"] == "prompt_following_single_shot")]
    assert change["mean"].item() == pytest.approx(-0.2)
    assert change["n"].item() == 6


def test_a_story_that_only_one_run_has_is_not_compared(make_run: RunMaker, tmp_path: Path) -> None:
    alpha, beta, other = make_story("alpha"), make_story("beta"), make_story("beta", prompt="A robot.")
    runs = [make_run("storymem", stories=(alpha, beta)), make_run("wan-t2v", stories=(alpha, other))]
    paths = write_report(runs, tmp_path / "report")
    assert [path.name for path in paths["side"].iterdir()] == ["alpha.png"]
    assert (paths["sheets"] / "wan-t2v" / "beta.png").exists()


def test_a_damaged_video_is_shown_as_missing_not_a_crash(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run("storymem")
    video = run.shots_path("alpha") / "01_01.mp4"
    video.write_bytes(video.read_bytes()[:-20])
    paths = write_report([run], tmp_path / "report")
    assert (paths["sheets"] / "alpha.png").exists()


def test_a_run_without_scores_still_has_sheets(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run("storymem")
    run.scores_path.unlink()
    paths = write_report([run], tmp_path / "report")
    assert (paths["sheets"] / "beta.png").exists()
    assert "storymem" in paths["table"].read_text(encoding="utf-8")


def test_the_same_report_twice_is_the_same_bytes(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run("storymem")
    for folder in ("one", "two"):
        write_report([run], tmp_path / folder)
    for name in ("table.md", "scores.csv", "summary.csv", "sheets/alpha.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_bad_calls_are_clear(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run("storymem")
    with pytest.raises(UserError, match="no run is given"):
        write_report([], tmp_path)
    with pytest.raises(UserError, match="given twice"):
        write_report([run, run], tmp_path)
