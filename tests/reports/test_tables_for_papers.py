"""LaTeX, ablations, costs, figures and data frames."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports import load_runs
from reports.ablation import ablation
from reports.costs import cost_frame, memory_frame, memory_of
from reports.curves import gap_decay_frame, join_curve_frame, join_frame, matrices
from reports.figures import Figure, new_axes
from reports.latex import escape, latex_table, plain_table
from reports.page_views import worst_shots
from reports.paper import paper_table
from reports.report import write_report
from reports.tables import RunScores, read_scores
from reports.terminal import print_scores
from stbench.errors import UserError
from stbench.scores import Score, aggregate

from .conftest import RunMaker, make_score, make_story

METRIC = "prompt_following_single_shot"


def rows(make_run: RunMaker, **levels: float) -> list[RunScores]:
    runs = [make_run(name.replace("_", "-"), level=level) for name, level in levels.items()]
    return read_scores(runs, [run.manifest.method for run in runs])


def test_latex_has_best_bold_second_underlined_and_references_after_a_rule(make_run: RunMaker) -> None:
    text = latex_table(paper_table(rows(make_run, storymem=0.5, wan_t2v=0.3, world_truth=0.9)))
    lines = [line.strip() for line in text.splitlines()]
    assert r"\shortstack{prompt\_\\following\_\\single\_shot $\uparrow$}" in text
    place = next(k for k, line in enumerate(lines) if line.startswith(r"storymem & \textbf{0.510} & "))
    assert lines[place + 1].startswith(r"& {\scriptsize [")
    assert any(line.startswith(r"wan-t2v & \underline{0.310}") for line in lines)
    place = next(k for k, line in enumerate(lines) if line.startswith("world-truth"))
    assert lines[place - 1] == r"\midrule"
    assert r"\textbf{0.910}" not in text
    assert "n = 6/6" in text or "6/6" in text


def test_latex_puts_intervals_where_asked(make_run: RunMaker) -> None:
    table = paper_table(rows(make_run, storymem=0.5, wan_t2v=0.3))
    columns, caption, none = (latex_table(table, intervals=where) for where in ("columns", "caption", "none"))
    assert columns.count("scriptsize") == 4
    assert "scriptsize" not in caption
    assert "95\\% intervals, stories resampled: prompt" in caption
    assert "95" not in none.split("caption{")[1].split("\n")[0]


def test_published_rows_stand_under_their_own_protocol_only(make_run: RunMaker) -> None:
    runs = [make_run("storymem"), make_run("wan-t2v")]
    assert not paper_table(read_scores(runs, ["a", "b"])).groups[2]
    for run in runs:
        run.append_scores([Score.from_json(row.to_json() | {"protocol": "storymem-paper", "unit": "cosine"}) for row in run.scores()])
    table = paper_table(read_scores(runs, ["a", "b"]))
    published = {row.name: row for row in table.groups[2]}
    place = next(k for k, column in enumerate(table.columns) if (column.protocol, column.metric) == ("storymem-paper", METRIC))
    assert published["StoryMem"].cells[place].text == "0.2313"
    assert published["HoloCine"].cells[place].place == 0
    assert "2512.19539" in published["HoloCine"].source
    assert [row.cells[0].text for row in table.groups[2]] == ["–"] * len(published)  # columns of the other protocol


def test_latex_escapes_text_of_users() -> None:
    assert escape("a_b & 50% #1 {x} \\y ~ ^ $") == r"a\_b \& 50\% \#1 \{x\} \textbackslash{}y \textasciitilde{} \textasciicircum{} \$"
    assert escape("日本") == "??"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_latex_compiles(make_run: RunMaker, tmp_path: Path) -> None:
    runs = rows(make_run, storymem=0.5, wan_t2v=0.3, no_quality_filter=0.4, first_frame_memory=0.45, world_truth=0.9)
    wide = plain_table("A table", [f"a rather long head {k}" for k in range(9)], [["a cell_with % & words"] * 9], notes=["50% & more."])
    body = latex_table(paper_table(runs)) + wide
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\n" + body + "\\end{document}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert b"Overfull" not in done.stdout


def test_ablation_groups_by_settings_and_sums_seeds_up_together(make_run: RunMaker) -> None:
    runs = [
        make_run(
            "storymem", level=0.2 + 0.1 * sink + 0.02 * seed, seed=seed, name=f"k{sink}s{seed}", identity={"options": {"memory.sink": sink}}
        )
        for sink in (10, 3)
        for seed in (0, 1)
    ]
    table = ablation(read_scores(runs, [run.name for run in runs]), ["memory.sink"])
    assert [group.values for group in table.groups] == [("3",), ("10",)]  # by size, not by letter
    assert [len(group.runs) for group in table.groups] == [2, 2]
    line = next(line for line in table.groups[0].lines.values() if line.metric == METRIC)
    pooled = [row for run in runs[2:] for row in run.scores() if row.metric == METRIC]
    assert line.mean == pytest.approx(aggregate(pooled)[0].mean)
    assert line.mean == pytest.approx(0.52)
    assert table.notes == ()
    heads, body = table.table()
    assert heads[:2] == ("memory.sink", "runs")
    assert body[0][:2] == ("3", "2")
    assert set(table.frame()["memory.sink"]) == {"3", "10"}


def test_ablation_says_what_else_differs_and_refuses_what_no_run_has(make_run: RunMaker) -> None:
    runs = [
        make_run("storymem", identity={"options": {"memory.sink": k, "variant": v}}, name=f"r{k}")
        for k, v in ((0, "paper"), (3, "release"))
    ]
    rows = read_scores(runs, ["a", "b"])
    assert ablation(rows, ["memory.sink"]).notes == ("Also differs between these runs: variant.",)
    with pytest.raises(
        UserError, match=r"no run has the setting 'memory.snk'.*differ in: memory.sink, variant.*did you mean 'memory.sink'"
    ):
        ablation(rows, ["memory.snk"])
    with pytest.raises(UserError, match="given twice"):
        ablation(rows, ["variant", "variant"])


def test_the_front_is_of_runs_that_nothing_beats(make_run: RunMaker) -> None:
    frame = cost_frame(rows(make_run, a=0.5, b=0.9), METRIC).set_index("title")
    assert frame["seconds_per_shot"].tolist() == [0.25, 0.25]
    assert frame["front_seconds_per_shot"].tolist() == [False, True]
    assert frame["peak_gib"].isna().all()  # nothing measured it, so there is none


def test_memory_of_a_shot_is_read_from_its_notes() -> None:
    assert memory_of({"memory": [{"shot": "01_01", "keyframe": 0}, {"shot": "01_02", "keyframe": 1}]}) == ["01_01", "01_02"]
    assert memory_of({"memory": ["01_01"]}) == ["01_01"]
    assert memory_of({"memory": 3}) == memory_of({}) == []


def test_curves_are_plain_means_of_the_stored_matrices(make_run: RunMaker) -> None:
    stories = (make_story("alpha", 4), make_story("beta", 3))
    run = make_run("storymem", stories=stories, matrix=True)
    loaded = read_scores([run], ["storymem"])
    stored = {matrix.story.id: np.array(matrix.values) for matrix in matrices(loaded[0])}
    frame = gap_decay_frame(loaded).set_index("gap")
    for gap in (1, 2, 3):
        values = np.concatenate([np.diag(matrix, gap) for matrix in stored.values()])
        assert frame.loc[gap, "mean"] == pytest.approx(values.mean())
        assert frame.loc[gap, "n_pairs"] == len(values)
    joins = join_frame(loaded).set_index("join")
    continued = [stored[s.id][k, k + 1] for s in stories for k, shot in enumerate(s.shots[1:]) if not shot.cut]
    assert joins.loc["continues", "mean"] == pytest.approx(np.mean(continued))
    assert joins.loc["cut", "n_pairs"] == 2


def test_the_curve_of_joins_is_by_place_in_the_story(make_run: RunMaker) -> None:
    run = make_run("storymem")
    run.append_scores([make_score("join_motion", story, "01_02", value) for story, value in (("alpha", 0.5), ("beta", 0.7))])
    frame = join_curve_frame(read_scores([run], ["a"]))
    assert frame[["metric", "place", "n_stories"]].values.tolist() == [["join_motion", 2, 2]]
    assert frame.loc[0, "mean"] == pytest.approx(0.6)


def test_a_matrix_that_does_not_fit_its_story_is_left_out(make_run: RunMaker) -> None:
    run = make_run("storymem")
    run.append_scores([make_score("m", "alpha", None, 0.5, detail={"matrix": [[1.0, 0.5], [0.5, 1.0]]})])
    assert matrices(read_scores([run], ["a"])[0]) == []
    assert gap_decay_frame(read_scores([run], ["a"])).empty


def test_figures_are_the_same_bytes_twice_and_take_the_colour_around_them() -> None:
    def draw(frame: pd.DataFrame) -> object:
        figure, axes = new_axes()
        axes[0].plot(frame["x"], frame["y"])
        return figure

    figure = Figure(name="f", title="t", note='a "note" & more', frame=pd.DataFrame({"x": [1, 2], "y": [3, 4]}), draw=draw)
    assert dict(figure.files()) == dict(figure.files())
    assert set(dict(figure.files())) == {"f.svg", "f.png", "f.csv"}
    assert "currentColor" in figure.svg()
    assert figure.svg().startswith('<svg role="img" aria-label="a &quot;note&quot; &amp; more"')


def test_every_figure_of_a_report_has_its_numbers_beside_it(make_run: RunMaker, tmp_path: Path) -> None:
    runs = [make_run(name, level=level, matrix=True) for name, level in (("storymem", 0.5), ("wan-t2v", 0.3), ("frozen", 0.9))]
    folder = write_report(runs, tmp_path / "report", figures=True)["figures"]
    stems = {path.stem for path in folder.iterdir()}
    assert {"changes", "gap_decay", "joins", "memory", f"ranks_{METRIC}", f"distribution_{METRIC}"} <= stems
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{stem}.{end}" for stem in stems for end in ("svg", "png", "csv"))


def test_load_runs_gives_frames(make_run: RunMaker) -> None:
    runs = load_runs(make_run("wan-t2v", level=0.3).path, make_run("storymem", level=0.5).path)
    assert len(runs.scores) == 24
    assert runs.scores["prompt"].str.startswith("A cat").all()
    assert runs.changes.loc[0, "mean"] == pytest.approx(0.2)
    assert len(runs.shots) == 12
    assert Path(runs.shots.loc[0, "video"]).is_file()
    assert set(runs.summary["title"]) == {"wan-t2v", "storymem"}
    assert runs.timings.empty
    with pytest.raises(UserError, match="does not exist"):
        load_runs("nowhere")


def test_measured_memory_is_the_most_that_any_stage_of_a_shot_took(make_run: RunMaker) -> None:
    run = make_run("storymem")
    spans = [("alpha", "01_01", "denoise", 3), ("alpha", "01_01", "vae_decode", 5), ("beta", "01_01", "denoise", 1)]
    lines = [
        {"event": "span", "story": story, "shot": shot, "stage": stage, "seconds": 0.1, "detail": {"peak_bytes": gib * 2**30}}
        for story, shot, stage, gib in spans
    ]
    run.timing_path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = read_scores([run], ["a"])
    frame = memory_frame(rows)
    assert frame[frame["quantity"] == "peak GiB"][["place", "mean", "n_stories"]].values.tolist() == [[1, 3.0, 2]]
    assert cost_frame(rows, METRIC)["peak_gib"].item() == 5.0


def test_the_terminal_shows_the_same_table_within_80_columns(make_run: RunMaker) -> None:
    names = ("storymem", "wan-t2v", "world-truth", "frozen", "a-method-with-a-rather-long-name")
    out = io.StringIO()
    print_scores([make_run(name, level=0.5 - 0.1 * k) for k, name in enumerate(names)], stream=out)
    lines = out.getvalue().splitlines()
    assert max(len(line) for line in lines) <= 80
    row = next(line for line in lines if line.startswith(METRIC))
    assert "0.510¹" in row
    assert "0.410²" in row
    assert row.rstrip().endswith("0.310")  # a reference has no place
    assert lines[-1] == "¹ best ² second of the methods"


def test_the_five_worst_shots_follow_the_direction_and_say_how_many_more_are_as_bad(make_run: RunMaker) -> None:
    run = make_run("storymem", stories=(make_story("alpha", 8),))
    loaded = read_scores([run], ["storymem"])
    worst = worst_shots(loaded, METRIC, {})[0]
    assert [shot.value for shot in worst.shots] == ["0.500", "0.510", "0.520", "0.530", "0.540"]
    assert worst.shots[0].prompt == "A cat on the beach. Shot 1."
    kept = worst_shots(loaded, "truth_colour_kept", {})[0]
    assert (kept.shots[0].value, kept.note) == ("0.0%", "3 more have the value 100.0%")
    run.append_scores([Score.from_json(row.to_json() | {"higher_is_better": False}) for row in run.scores() if row.metric == METRIC])
    assert worst_shots(read_scores([run], ["a"]), METRIC, {})[0].shots[0].value == "0.570"
    run.append_scores([Score.from_json(row.to_json() | {"value": 0.5}) for row in run.scores() if row.metric == METRIC])
    assert worst_shots(read_scores([run], ["a"]), METRIC, {})[0].note == "all 8 values are 0.500"


def test_what_is_printed_alike_is_marked_alike(make_run: RunMaker) -> None:
    table = paper_table(rows(make_run, storymem=0.5, wan_t2v=0.50001, wan_i2v_chain=0.3))
    column = next(k for k, column in enumerate(table.columns) if column.metric == METRIC)
    assert [(row.cells[column].text, row.cells[column].place) for row in table.rows] == [("0.510", 1), ("0.510", 1), ("0.310", 2)]
