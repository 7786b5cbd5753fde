"""The paper's tables made again: what is said about the numbers must follow from the numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from reports.conditions import Conditions, conditions, differences
from reports.paper_tables import write_paper_table
from reports.report import write_report
from reports.tables import read_scores
from stbench.errors import UserError
from stbench.files import write_json
from stbench.published import published_tables
from stbench.store import RunFolder

from .conftest import RunMaker, make_story

METRIC = "cross_shot_appearance"


def runs(make_run: RunMaker, **levels: float) -> dict[str, list[RunFolder]]:
    return {name.replace("_", "-"): [make_run(name.replace("_", "-"), level=level, matrix=True)] for name, level in levels.items()}


def sentence(lines: list[str], start: str) -> str:
    return next(line for line in lines if line.startswith(start))


def test_an_order_that_holds_is_said_to_hold_with_its_intervals(make_run: RunMaker, tmp_path: Path) -> None:
    paths, said, _ = write_paper_table(1, runs(make_run, wan_t2v=0.2, wan_i2v_chain=0.4, storymem=0.7), tmp_path)
    assert said[0] == (
        "The order storymem > wan-i2v-chain > wan-t2v holds, with the 95% interval of every step on the better side of zero, "
        f"on 1 of 2 metrics of consistency: `{METRIC}`."
    )
    assert sentence(said, f"`{METRIC}`: the order holds: storymem - wan-i2v-chain +0.300 (+0.300 .. +0.300)")
    assert "not told apart" in sentence(said, "`truth_colour_kept`: the order is not shown")
    changes = list(csv.DictReader(paths["changes_csv"].open()))
    mine = {row["change"]: row["mean"] for row in changes if row["metric"] == METRIC}
    assert mine == {"storymem - wan-i2v-chain": "+0.300", "wan-i2v-chain - wan-t2v": "+0.200", "storymem - wan-t2v": "+0.500"}
    assert {row["p (Holm)"] for row in changes if row["metric"] == METRIC} == {"1.000"}  # two stories prove nothing, and it says so


@pytest.mark.parametrize(("storymem", "chain", "says"), [(0.4, 0.7, "is broken"), (0.5, 0.5, "is not shown")])
def test_an_order_that_does_not_hold_is_said_not_to(make_run: RunMaker, tmp_path: Path, storymem: float, chain: float, says: str) -> None:
    _, said, _ = write_paper_table(1, runs(make_run, wan_t2v=0.2, wan_i2v_chain=chain, storymem=storymem), tmp_path)
    assert said[0] == "The order storymem > wan-i2v-chain > wan-t2v is shown on none of 2 metrics of consistency."
    assert sentence(said, f"`{METRIC}`: the order {says}")


def test_published_numbers_stand_apart_from_measured_ones(make_run: RunMaker, tmp_path: Path) -> None:
    paths, _, _ = write_paper_table(1, runs(make_run, wan_t2v=0.2, storymem=0.7), tmp_path, missing={"holocine": "no recipe"})
    published = published_tables("storymem-paper")[0]
    numbers = {f"{value:.4f}" for row in published.rows for value in row.values.values()}
    page = paths["markdown"].read_text()
    before, after = page.split("# Table 1: methods on ST-Bench, as published")
    assert not any(number in before for number in numbers)
    assert all(number in after for number in numbers)
    assert "storymem" not in after
    assert "an order may be compared, a number not" in after
    assert "- holocine: no recipe." in before
    assert not any(number in paths["csv"].read_text() for number in numbers)
    assert {row["method"] for row in csv.DictReader(paths["published_csv"].open())} == {row.method for row in published.rows}
    tables = paths["latex"].read_text().split(r"\begin{table}")
    assert [("0.5065" in part, "storymem" in part.replace("storymem-paper", "")) for part in tables[1:]] == [
        (False, True),
        (False, True),
        (True, False),
    ]


def test_ablations_stand_against_the_whole_method(make_run: RunMaker, tmp_path: Path) -> None:
    methods = runs(make_run, no_sink=0.3, storymem=0.7)
    _, said, _ = write_paper_table(2, methods, tmp_path)
    assert said == ["no-sink changes nothing here: all 6 shots are those of storymem, byte for byte."]  # pictures of these runs are alike
    ablated = methods["no-sink"][0]
    for record in [part.records[-1] for part in ablated.story_records()]:
        other = record.model_copy(update={"video": record.video.model_copy(update={"sha256": "0" * 64})})
        write_json(ablated.record_path(record.story, record.shot), other.to_json())
    _, said, _ = write_paper_table(2, {title: [RunFolder.open(run.path) for run in part] for title, part in methods.items()}, tmp_path)
    assert said[0].startswith("no-sink against storymem: worse: ")
    assert (
        f"`{METRIC}` -0.400 (-0.400 .. -0.400), p 1.000, by the interval alone; not told apart: `truth_colour_kept`. 4 of 6 shots"
        in said[0]
    )


def test_one_story_proves_nothing_and_that_is_said(make_run: RunMaker, tmp_path: Path) -> None:
    one = (make_story("alpha"),)
    methods = {name: [make_run(name, level=level, matrix=True, stories=one)] for name, level in (("wan-t2v", 0.2), ("storymem", 0.7))}
    _, said, _ = write_paper_table(1, methods, tmp_path)
    assert f"`{METRIC}`: the order is not shown: storymem - wan-t2v +0.500 (–), p –: too few stories." in said


def test_seeds_of_a_method_are_one_row_and_changes_pair_seed_with_seed(make_run: RunMaker, tmp_path: Path) -> None:
    methods = {
        name: [make_run(name, level=level + seed / 10, seed=seed, matrix=True) for seed in (0, 1)]
        for name, level in (("wan-t2v", 0.2), ("storymem", 0.5))
    }
    paths, _, _ = write_paper_table(1, methods, tmp_path)
    rows = {row["title"]: row for row in csv.DictReader(paths["csv"].open()) if row["metric"] == METRIC}
    assert float(rows["wan-t2v"]["mean"]) == pytest.approx(0.25)
    assert rows["wan-t2v"]["n_scored"] == "4"
    change = next(row for row in csv.DictReader(paths["changes_csv"].open()) if row["metric"] == METRIC)
    assert (change["mean"], change["pairs (stories)"]) == ("+0.300", "4 (2)")
    assert "seeds 0, 1" in paths["markdown"].read_text()


def test_conditions_are_read_from_the_films_and_differences_are_named(make_run: RunMaker) -> None:
    one, two = (conditions(run.title, [run]) for run in read_scores([make_run("a"), make_run("b", seed=3)], ["a", "b"]))
    assert (one.frames, one.fps, one.size, one.seeds, one.parameters) == ("9", "8", "80x48", "0", "–")
    lines = differences([one, two])
    assert lines[0].startswith("The same for all: base model world; frames of a shot 9; frames per second 8; picture size 80x48; stories")
    assert lines[1:] == ["Seeds differ: 0 in a; 3 in b."]


def test_a_lone_method_has_no_differences(make_run: RunMaker) -> None:
    row = conditions("a", read_scores([make_run("a")], ["a"]))
    assert isinstance(row, Conditions)
    assert len(differences([row])) == 1


def test_runs_without_scores_are_an_error_with_a_way_out(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run("storymem")
    run.scores_path.unlink()
    with pytest.raises(UserError, match="no run holds scores"):
        write_paper_table(1, {"storymem": [run]}, tmp_path)


def test_a_report_of_several_runs_says_how_their_conditions_differ(make_run: RunMaker, tmp_path: Path) -> None:
    paths = write_report([make_run("a"), make_run("b", seed=3)], tmp_path / "both")
    for name in ("table", "latex", "html"):
        assert "Seeds differ: 0 in a; 3 in b." in paths[name].read_text()
    assert "Seeds differ" not in write_report([make_run("c")], tmp_path / "one")["table"].read_text()


def test_conditions_are_printed_where_they_differ_and_are_a_file_in_full(make_run: RunMaker, tmp_path: Path) -> None:
    methods = {"a": [make_run("wan-t2v")], "b": [make_run("storymem", seed=3)]}
    paths, _, under = write_paper_table(1, methods, tmp_path)
    assert "Seeds differ: 0 in a; 3 in b." in under
    page = paths["markdown"].read_text()
    assert "| method | base model | parameters | licence | steps | seeds | s / shot |" in page
    assert all(f"- {line}" in page for line in under)
    filmed = list(csv.DictReader(paths["conditions_csv"].open()))
    assert [(row["method"], row["seeds"], row["fps"], row["size"]) for row in filmed] == [
        ("a", "0", "8", "80x48"),
        ("b", "3", "8", "80x48"),
    ]
    assert "Seeds differ: 0 in a; 3 in b." in paths["latex"].read_text().split(r"\usebox0\fi")[2]
