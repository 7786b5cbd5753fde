from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stbench.scores import Score, aggregate
from stbench.stats import cluster_interval, paired


def row(story: str, shot: str | None, value: float | None, **changes) -> Score:
    facts = {
        "metric": "m",
        "version": 1,
        "unit": "share",
        "higher_is_better": True,
        "protocol": "p",
        "encoder": "e",
        "encoder_digest": "d",
        "key": f"{story}{shot}{value}",
        "reason": None if value is not None else "no face found",
    }
    return Score(story=story, shot=shot, value=value, **{**facts, **changes})


@pytest.mark.parametrize(("value", "reason"), [(None, None), (1.0, "why"), (float("nan"), None), (float("inf"), None), (None, " ")])
def test_a_score_is_a_finite_value_or_a_reason(value, reason):
    with pytest.raises(ValueError, match="score m of s"):
        row("s", "01_01", value, reason=reason)


def test_the_mean_is_over_units_and_counts_what_is_missing():
    line = aggregate([row("a", "1", 1.0), row("a", "2", 0.0), row("a", "3", 0.5), row("b", "1", 1.0), row("b", "2", None)])[0]
    assert line.mean == pytest.approx(2.5 / 4)
    assert (line.n_scored, line.n_expected, line.complete) == (4, 5, False)
    assert line.by_story == {"a": 0.5, "b": 1.0}
    assert line.reasons == {"no face found": 1}
    assert line.low <= line.mean <= line.high


def test_nothing_scored_is_no_number():
    line = aggregate([row("a", "1", None), row("b", "1", None)])[0]
    assert (line.mean, line.low, line.high, line.n_scored, line.n_expected) == (None, None, None, 0, 2)
    assert aggregate([]) == []


def test_rows_that_are_not_comparable_are_not_averaged():
    lines = aggregate([row("a", "1", 1.0), row("b", "1", 0.0, version=2), row("c", "1", 0.5, encoder_digest="x"), row("d", "1", None)])
    assert [(line.version, line.encoder_digest, line.mean, line.n_expected) for line in lines] == [
        (1, "d", 1.0, 2),
        (2, "d", 0.0, 1),
        (1, "x", 0.5, 1),
    ]


values = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.floats(-1, 1), min_size=1, max_size=5), min_size=2, max_size=8)


@settings(max_examples=25, deadline=None)
@given(values)
def test_the_interval_does_not_depend_on_order_and_lies_within_the_values(by_story):
    interval = cluster_interval(by_story, resamples=200)
    assert interval == cluster_interval(dict(reversed(by_story.items())), resamples=200)
    flat = [value for part in by_story.values() for value in part]
    assert min(flat) - 1e-12 <= interval.low <= interval.high <= max(flat) + 1e-12
    assert aggregate([row(s, str(k), v) for s, part in by_story.items() for k, v in enumerate(part)])[0].mean == pytest.approx(
        np.mean(flat)
    )


def test_paired_changes_are_by_story_and_shot():
    base = [row("a", "1", 0.1), row("a", "2", 0.2), row("b", "1", 0.3), row("c", "1", None)]
    new = [row("a", "1", 0.2), row("b", "1", 0.5), row("c", "1", 0.9), row("a", "2", None)]
    change = paired(base, new, "m")
    assert change.mean == pytest.approx(0.15)
    assert (change.n, change.n_stories, change.n_unpaired) == (2, 2, 2)
    assert change.significant


@settings(max_examples=20, deadline=None)
@given(values)
def test_a_run_paired_with_itself_has_not_changed(by_story):
    rows = [row(story, str(k), value) for story, part in by_story.items() for k, value in enumerate(part)]
    change = paired(rows, rows, "m")
    assert (change.mean, change.low, change.high, change.significant) == (0.0, 0.0, 0.0, False)


@pytest.mark.parametrize("field", ["version", "protocol", "unit", "encoder", "encoder_digest"])
def test_what_is_not_comparable_gives_a_reason(field):
    other = 2 if field == "version" else "other"
    change = paired([row("a", "1", 0.1)], [row("a", "1", 0.2, **{field: other})], "m")
    assert change.mean is None
    assert field in change.reason


def test_nothing_in_common_gives_a_reason():
    assert "no story or shot" in paired([row("a", "1", 0.1)], [row("b", "1", 0.2)], "m").reason


def test_stored_scores_are_replaced_by_unit_and_protocol(film, run_words, tmp_path: Path):
    from stbench.store import RunFolder

    film(*run_words, "--no-score")
    run = RunFolder.open(tmp_path / "run")
    run.append_scores([row("ant", "01_01", 0.1), row("ant", "01_02", 0.2, protocol="q")])
    run.append_scores([row("ant", "01_01", 0.3)])
    assert [score.value for score in run.scores()] == [0.3, 0.2]
    run.replace_scores([row("bee", "01_01", 0.5)], protocol="p")
    assert [(score.story, score.value) for score in run.scores()] == [("ant", 0.2), ("bee", 0.5)]
    with pytest.raises(ValueError, match="two scores"):
        run.replace_scores([row("bee", "01_01", 0.5), row("bee", "01_01", 0.6)], protocol="p")
