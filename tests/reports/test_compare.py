"""Comparisons: what is paired, what is refused, what the marks promise, and how often they are wrong where nothing differs."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reports.compare import compare_runs
from reports.comparison import Comparison, compare, comparison_frame
from reports.comparison_text import print_comparison
from reports.tables import RunScores
from stbench.cli import main
from stbench.errors import UserError
from stbench.manifest import Counts, Manifest, SuiteFact
from stbench.scores import Score
from stbench.store import RunFolder

from .conftest import RunMaker, make_score, make_story

METRIC, KEPT = "prompt_following_single_shot", "truth_colour_kept"
ALIKE = [make_story(f"s{k:02d}", 4) for k in range(20)]


def fake(method: str, values: dict[str, list[float | None]], *, seed: int = 0, n_stories: int = 20, **facts: object) -> RunScores:
    """A run in memory: metric → one value per story (a story-level score); `facts` change its manifest or its rows."""
    stories = tuple(ALIKE[:n_stories])
    manifest = Manifest(
        status="complete",
        name=f"{method}-{seed}",
        method=method,
        description="",
        identity={"method": method},
        model="world",
        options={},
        protocol="world",
        suite=SuiteFact(name="tiny", version="1", digest=str(facts.pop("suite", "d" * 64)), stories=n_stories),
        stories=stories,
        seed=seed,
        device=str(facts.pop("device", "cpu")),
        versions={},
        started=0.0,
        counts=Counts(stories=n_stories, expected=4 * n_stories, done=4 * n_stories),
    )
    rows = [
        make_score(name, story.id, None, value, **facts)
        for name, column in values.items()
        for story, value in zip(stories, column, strict=True)
    ]
    return RunScores(title=f"{method} seed {seed}", run=RunFolder(Path(method), manifest), scores=tuple(rows), lines=())


def row_of(comparison: Comparison, metric: str = METRIC) -> str:
    return next(row.mark for row in comparison.rows if row.metric == metric)


def level(value: float, n: int = 20, rise: float = 0.0) -> list[float | None]:
    return [value + 0.001 * k + rise for k in range(n)]


def test_marks_say_better_and_worse_by_direction_and_only_after_correction() -> None:
    base = fake("a", {METRIC: level(0.5), KEPT: level(0.5)})
    up = fake("b", {METRIC: level(0.5, rise=0.1), KEPT: level(0.5)})
    comparison = compare([base, up])
    assert (row_of(comparison), row_of(comparison, KEPT)) == ("+", "~")
    assert comparison.rows[0].win_tie_loss == (20, 0, 0)
    assert comparison.rows[0].p_holm == pytest.approx(2 * comparison.rows[0].change.p)
    assert row_of(compare([up, base])) == "-"
    lower = {"higher_is_better": False}
    assert row_of(compare([fake("a", {METRIC: level(0.5)}, **lower), fake("b", {METRIC: level(0.6)}, **lower)])) == "-"
    neither = {"higher_is_better": None}
    assert row_of(compare([fake("a", {METRIC: level(0.5)}, **neither), fake("b", {METRIC: level(0.6)}, **neither)])) == ""


def test_missing_and_new_values_are_marked_and_not_averaged_around() -> None:
    holes: list[float | None] = [None, None, *level(0.6)[2:]]
    lost = compare([fake("a", {METRIC: level(0.5)}), fake("b", {METRIC: holes})])
    assert row_of(lost) == "+!"
    assert (lost.rows[0].lost, lost.rows[0].change.n, lost.verdict) == (2, 18, "flagged")
    assert row_of(compare([fake("a", {METRIC: holes}), fake("b", {METRIC: level(0.5)})])) == "-*"
    vanished = compare([fake("a", {METRIC: level(0.5), KEPT: level(1.0)}), fake("b", {METRIC: level(0.5)})])
    assert row_of(vanished, KEPT) == "!"
    assert "truth_colour_kept" in text_of(vanished)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"version": 2}, "version is 1"),
        ({"encoder": "x", "encoder_digest": "f" * 64}, "encoder"),
        ({"unit": "dB"}, "unit is"),
        ({"protocol": "p"}, "protocol is"),
    ],
)
def test_what_is_not_comparable_is_refused_with_its_reason(facts: dict[str, object], says: str) -> None:
    comparison = compare([fake("a", {METRIC: level(0.5)}), fake("b", {METRIC: level(0.9)}, **facts)])
    assert (row_of(comparison), comparison.verdict) == ("x", "not comparable")
    assert comparison.rows[0].change.mean is None
    assert says in text_of(comparison)


def test_another_suite_device_or_seed_is_flagged() -> None:
    base = fake("a", {METRIC: level(0.5)})
    assert "suite is" in compare([base, fake("b", {METRIC: level(0.5)}, suite="e" * 64)]).flags[0]
    assert "device is cpu in the base and cuda" in compare([base, fake("b", {METRIC: level(0.5)}, device="cuda")]).flags[0]
    assert "no seed is in both" in compare([base, fake("b", {METRIC: level(0.5)}, seed=3)]).flags[0]
    assert compare([base, fake("b", {METRIC: level(0.5)})]).flags == ()


def test_runs_that_differ_in_their_seed_are_one_method_and_pair_seed_by_seed() -> None:
    runs = [fake("a", {METRIC: level(0.5)}, seed=s) for s in (0, 1)] + [
        fake("b", {METRIC: level(0.5 + 0.1 * s)}, seed=s) for s in (0, 1, 2)
    ]
    comparison = compare(runs)
    assert [len(arm.runs) for arm in (comparison.base, *comparison.arms)] == [2, 3]
    assert comparison.rows[0].change.n == 40
    assert comparison.rows[0].change.mean == pytest.approx(0.05)
    assert "seeds are 0, 1 in the base and 0, 1, 2" in comparison.flags[0]


def test_two_seeds_of_one_method_alone_are_compared_with_each_other() -> None:
    comparison = compare([fake("a", {METRIC: level(0.5)}, seed=s) for s in (0, 1)])
    assert (len(comparison.arms), comparison.rows[0].change.mean) == (1, 0.0)


def test_a_story_with_another_prompt_is_left_out(make_run: RunMaker) -> None:
    alpha, beta, other = make_story("alpha"), make_story("beta"), make_story("beta", prompt="A robot.")
    comparison = compare_runs([make_run("a", stories=(alpha, beta)), make_run("b", stories=(alpha, other))])
    assert comparison.rows[0].change.n_stories == 1
    assert "1 are compared" in comparison.flags[0]
    with pytest.raises(UserError, match="films no story that the base films"):
        compare_runs([make_run("c", stories=(beta,)), make_run("d", stories=(other,))])


def test_bad_calls_are_clear(make_run: RunMaker) -> None:
    run, empty = make_run("a"), make_run("b")
    empty.scores_path.unlink()
    with pytest.raises(UserError, match="one run is given"):
        compare_runs([run])
    with pytest.raises(UserError, match="given twice"):
        compare_runs([run, run])
    with pytest.raises(UserError, match=r"holds no scores; stbench score"):
        compare_runs([run, empty])


def test_many_methods_are_ranked_with_a_critical_difference() -> None:
    runs = [fake(name, {METRIC: level(value)}) for name, value in (("a", 0.5), ("b", 0.7), ("c", 0.6))]
    comparison = compare(runs)
    ranking = comparison.rankings[("world", METRIC)]
    assert ranking.mean_ranks == (3.0, 1.0, 2.0)
    assert ranking.n_stories == 20
    assert "b seed 0 1.00, c seed 0 2.00, a seed 0 3.00; CD 0.74" in " ".join(text_of(comparison).split())  # 2.343 * sqrt(3 * 4 / (6 * 20))


def test_no_false_alarm_in_95_of_100_comparisons_of_a_method_with_itself() -> None:
    """Whole comparisons with five metrics that hang together; 300 draws of a rate of 5% give more than 7.4% once in 40 tests."""
    rng = np.random.default_rng(7)
    alarms, draws = 0, 300
    for _ in range(draws):
        runs = []
        for method in ("a", "b"):
            common = rng.normal(0, 0.05, 20)
            runs.append(fake(method, {f"m{k}": (0.5 + common + rng.normal(0, 0.05, 20)).tolist() for k in range(5)}))
        alarms += any(row.mark in "+-" for row in compare(runs).rows)
    assert alarms / draws <= 0.05


def test_a_change_of_one_standard_deviation_is_found() -> None:
    rng = np.random.default_rng(9)
    found = 0
    for _ in range(40):
        base = {f"m{k}": (0.5 + rng.normal(0, 0.05, 20)).tolist() for k in range(5)}
        new = {name: [v + d for v, d in zip(column, rng.normal(0.05, 0.05, 20), strict=True)] for name, column in base.items()}
        found += row_of(compare([fake("a", base), fake("b", new)]), "m0") == "+"
    assert found >= 36


def test_terminal_output_is_at_most_80_columns_and_has_the_legend() -> None:
    text = text_of(
        compare([fake("a", {"cross_shot_consistency_top10": level(0.5)}), fake("b", {"cross_shot_consistency_top10": level(0.9)})])
    )
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "\x1b" not in text
    for sign in "+-~x!*":
        assert f"\n{sign}  " in text


def test_few_stories_are_said_to_be_too_few(make_run: RunMaker) -> None:
    text = text_of(compare_runs([make_run("a"), make_run("b", level=0.9)]))
    assert "Too few stories for a verdict: no p below 0.5" in text


def test_json_and_frame_hold_every_row() -> None:
    comparison = compare([fake("a", {METRIC: level(0.5)}), fake("b", {METRIC: level(0.7)})])
    data = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert (data["verdict"], data["rows"][0]["mark"], data["rows"][0]["change"]["n"]) == ("comparable", "+", 20)
    frame = comparison_frame(comparison)
    assert frame.loc[0, "mean"] == pytest.approx(0.2)
    assert frame.loc[0, "wins"] == 20
    assert comparison_frame(None).empty


def test_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    base, new = fake("a", {METRIC: rng.random(20).tolist()}), fake("b", {METRIC: rng.random(20).tolist()})
    turned = [replace(run, scores=tuple(reversed(run.scores))) for run in (base, new)]
    assert compare([base, new]).rows == compare(turned).rows


def text_of(comparison: Comparison) -> str:
    out = io.StringIO()
    print_comparison(comparison, stream=out)
    return out.getvalue()


def run_command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    said = capsys.readouterr()
    return int(str(stop.value.code)), said.out, said.err


def test_the_command_prints_one_object_and_fails_only_when_strict(make_run: RunMaker, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = make_run("a"), make_run("b", level=0.9)
    new.append_scores([Score.from_json(row.to_json() | {"version": 2}) for row in new.scores() if row.metric == METRIC])
    words = ("compare", str(base.path), str(new.path))
    code, out, err = run_command(capsys, *words, "--json")
    assert (code, json.loads(out)["verdict"]) == (0, "not comparable")
    assert "version is 1 in the base run and 2" in " ".join(err.split())
    code, out, err = run_command(capsys, *words, "--strict")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == "--strict: not comparable"
    same = make_run("c")
    assert run_command(capsys, "compare", str(base.path), str(same.path), "--strict")[0] == 0
    assert run_command(capsys, "compare", str(base.path), str(base.path))[0] == 2
