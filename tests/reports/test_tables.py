"""What the Markdown page says, and what it must not say."""

from __future__ import annotations

from reports.comparison import compare_if_possible
from reports.markdown import methods_table
from reports.markdown import table_page as page_of
from reports.paper import paper_table
from reports.tables import RunScores, metric_keys, read_scores
from reports.views import RunLabel, titles_of
from stbench.scores import Score

from .conftest import RunMaker, make_score, make_story

METRIC = "prompt_following_single_shot"


def table_page(runs: list[RunScores]) -> str:
    return page_of(runs, compare_if_possible(runs))


def test_best_is_bold_and_references_do_not_compete(make_run: RunMaker) -> None:
    runs = [make_run("storymem", level=0.5), make_run("wan-t2v", level=0.3), make_run("world-truth", level=0.9)]
    table = methods_table(paper_table(read_scores(runs, ["storymem", "wan-t2v", "world-truth"])))
    lines = table.splitlines()
    assert f"`{METRIC}` ↑" in lines[0]
    assert "**0.510**" in lines[2]
    assert lines[2].startswith("| storymem")
    assert "**0.310**" not in table
    assert lines[4].startswith("| world-truth (reference)")
    assert "**0.910**" not in table


def test_one_method_alone_is_not_the_best(make_run: RunMaker) -> None:
    rows = read_scores([make_run("storymem")], ["storymem"])
    assert all(cell.place == 0 for row in paper_table(rows).rows for cell in row.cells)


def test_a_partial_run_says_so(make_run: RunMaker) -> None:
    page = table_page(read_scores([make_run("storymem", finished=2)], ["storymem"]))
    assert "partial: 4 of 6 shots" in page
    assert "4/6" in page
    assert "the video is missing" in page
    assert "\\*" in page


def test_other_encoder_weights_get_a_column_of_their_own(make_run: RunMaker) -> None:
    runs = [make_run("storymem"), make_run("wan-t2v")]
    runs[1].append_scores([_with_encoder(row) for row in runs[1].scores() if row.metric == METRIC])
    rows = read_scores(runs, ["storymem", "wan-t2v"])
    keys = [key for key in metric_keys(rows) if key[1] == METRIC]
    assert len(keys) == 2
    places = [k for k, column in enumerate(paper_table(rows).columns) if column.metric == METRIC]
    assert all(row.cells[k].place == 0 for row in paper_table(rows).rows for k in places)
    page = table_page(rows)
    assert "computed in 2 ways" in page
    assert "not comparable: encoder" in page


def _with_encoder(row: Score) -> Score:
    return Score.from_json(row.to_json() | {"encoder": "world-clip", "encoder_digest": "f" * 64})


def test_text_of_users_cannot_break_the_table(make_run: RunMaker) -> None:
    story = make_story("alpha")
    run = make_run("storymem", stories=(story,), name="a|b<script>")
    run.append_scores([make_score("m", "alpha", None, None, reason="a | b\n<script>alert(1)</script>")])
    page = table_page(read_scores([run], ["storymem"]))
    assert "<script>" not in page.replace("\\<", "")
    for line in page.splitlines():
        if line.startswith("|") and "alert" in line:
            assert line.replace("\\|", "").count("|") == 5


def test_titles_are_never_alike() -> None:
    def run(name: str, method: str, model: str = "world", seed: int = 0) -> RunLabel:
        return RunLabel(name=name, method=method, model=model, suite="s", seed=seed)

    assert titles_of([run("a", "storymem"), run("b", "wan-t2v")]) == ["storymem", "wan-t2v"]
    assert titles_of([run("a", "storymem"), run("b", "storymem", model="big")]) == ["storymem world", "storymem big"]
    assert titles_of([run("a", "storymem"), run("b", "storymem")]) == ["a", "b"]
    assert titles_of([run("a", "storymem"), run("a", "storymem")]) == ["a", "a (2)"]
