"""The rule for steps against what it promises: few false alarms, steps found, and the noise as numpy would read it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stbench.trend.steps import MIN_POINTS, bound, find_steps, noise


def test_the_noise_of_normal_numbers_is_their_standard_deviation() -> None:
    values = np.random.default_rng(0).normal(5, 0.3, 20_000)
    assert noise(list(values)) == pytest.approx(0.3, rel=0.03)


def test_a_step_does_not_hide_in_the_noise_that_it_makes() -> None:
    values = np.random.default_rng(0).normal(5, 0.3, 400)
    values[200:] += 50
    assert noise(list(values)) == pytest.approx(0.3, rel=0.2)


@pytest.mark.parametrize("n", [6, 8, 12, 30])
def test_pure_noise_raises_an_alarm_in_at_most_two_of_a_hundred_series(n: int) -> None:
    rng = np.random.default_rng(n)
    alarms = sum(bool(find_steps(list(10 + rng.standard_normal(n)), floor=0)) for _ in range(400))
    assert alarms <= 12  # 1% is promised for the first cut; 400 x 2% and two standard deviations


@pytest.mark.parametrize(("n", "found"), [(12, 0.85), (20, 0.95)])
def test_a_slowdown_of_20_percent_is_found_in_3_percent_of_noise(n: int, found: float) -> None:
    rng = np.random.default_rng(n)
    hits = 0
    for _ in range(100):
        values = 10 + 0.3 * rng.standard_normal(n)
        values[n // 2 :] *= 1.2
        hits += [abs(step.at - n // 2) <= 1 for step in find_steps(list(values))] == [True]
    assert hits >= 100 * found


def test_the_newest_run_may_be_a_step_alone() -> None:
    (step,) = find_steps([10.0, 10.1, 9.9, 10.0, 10.1, 10.0, 9.9, 13.0])
    assert (step.at, step.after) == (7, 13.0)
    assert step.change == pytest.approx(0.3)


def test_several_steps_have_the_means_between_them() -> None:
    values = [1.0, 1.1, 1.0, 1.1, 3.0, 3.1, 3.0, 3.1, 2.0, 2.1, 2.0, 2.1]
    steps = find_steps(values)
    assert [step.at for step in steps] == [4, 8]
    assert [round(step.before, 2) for step in steps] == [1.05, 3.05]
    assert [round(step.after, 2) for step in steps] == [3.05, 2.05]


def test_numbers_without_noise_are_cut_where_they_change_by_the_floor() -> None:
    assert [step.at for step in find_steps([0.5] * 4 + [0.6] * 4)] == [4]
    assert find_steps([0.5] * 4 + [0.5001] * 4) == []
    assert find_steps([0.5] * 8) == []
    assert find_steps([0.0] * 8) == []


def test_too_few_numbers_say_nothing() -> None:
    assert find_steps([1.0, 1.0, 1.0, 9.0, 9.0][: MIN_POINTS - 1]) == []


@settings(max_examples=30)
@given(st.lists(st.floats(0.5, 2), min_size=6, max_size=14), st.floats(0.01, 100), st.floats(0, 100))
def test_units_do_not_change_where_the_steps_are(values: list[float], scale: float, shift: float) -> None:
    plain = [step.at for step in find_steps(values, floor=0)]
    if noise(values) > 1e-6:  # below, rounding decides
        assert [step.at for step in find_steps([scale * value + shift for value in values], floor=0)] == plain


def test_the_bound_is_a_quantile_of_simulated_noise() -> None:
    assert bound(20) == bound(20)
    assert 3.5 < bound(60) < bound(20) < bound(10) < 8
