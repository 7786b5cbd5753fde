"""Statistics against independent references: SciPy, brute force, published tables, and simulations with a known truth."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from stbench.significance import EXACT_STORIES, critical_difference, hedges_g, holm, rank_methods, sign_flip_p
from stbench.stats import Unit, cluster_interval, paired_values

differences = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=2, max_size=8)


def test_the_interval_is_that_of_a_plain_bootstrap_over_stories_with_expanded_ends():
    by_story = {"a": [0.1, 0.2], "b": [0.9], "c": [0.4, 0.5, 0.6]}
    rng = np.random.default_rng(0)
    means = []
    for picks in rng.integers(0, 3, size=(2000, 3)):
        means.append(np.mean(np.concatenate([list(by_story.values())[pick] for pick in picks])))
    tail = scipy_stats.norm.cdf(math.sqrt(3 / 2) * scipy_stats.t.ppf(0.025, 2))
    interval = cluster_interval(by_story)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(means, [tail, 1 - tail])))


def test_with_many_stories_the_interval_is_near_that_of_the_t_distribution():
    values = np.random.default_rng(3).normal(0.4, 0.1, size=40)
    interval = cluster_interval({str(k): [v] for k, v in enumerate(values)}, resamples=20000)
    expected = scipy_stats.t.interval(0.95, 39, loc=values.mean(), scale=scipy_stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected, abs=0.0015)


@pytest.mark.parametrize(("n_stories", "skewed"), [(10, False), (30, False), (30, True)])
def test_the_interval_covers_the_truth_in_93_to_97_of_100_simulations(n_stories: int, skewed: bool):
    """Stories have 7 to 12 shots, as in ST-Bench. 2000 draws have a standard error of 0.005; 4000 gave 0.942, 0.954 and 0.943."""
    rng = np.random.default_rng(1)
    hits, draws = 0, 2000
    for _ in range(draws):
        effects = rng.exponential(1, n_stories) ** 0.5 - math.gamma(1.5) if skewed else rng.normal(0, 1, n_stories)
        sample = {str(k): rng.normal(effect, 0.5, size=rng.integers(7, 13)).tolist() for k, effect in enumerate(effects)}
        interval = cluster_interval(sample)
        hits += interval.low <= 0 <= interval.high
    assert 0.93 <= hits / draws <= 0.97


@settings(max_examples=25)
@given(differences)
def test_exact_p_is_that_of_trying_every_pattern(x: list[float]):
    seen = abs(math.fsum(x))
    patterns = list(itertools.product((1, -1), repeat=len(x)))
    extreme = sum(abs(math.fsum(s * v for s, v in zip(signs, x, strict=True))) >= seen - 1e-9 for signs in patterns)
    assert sign_flip_p(x) == pytest.approx(extreme / len(patterns))
    assert sign_flip_p(x[::-1]) == sign_flip_p(x)


def test_p_is_that_of_scipy():
    rng = np.random.default_rng(5)
    for n in (6, 12):
        x = rng.normal(0.4, 1, n)
        found = scipy_stats.permutation_test((x,), np.sum, permutation_type="samples", n_resamples=np.inf)
        assert sign_flip_p(x.tolist()) == pytest.approx(found.pvalue)
    x = rng.normal(0.35, 1, 30)
    found = scipy_stats.permutation_test((x,), np.sum, permutation_type="samples", n_resamples=50_000, rng=np.random.default_rng(1))
    assert sign_flip_p(x.tolist()) == pytest.approx(found.pvalue, abs=0.006)
    assert sign_flip_p(x.tolist()) == sign_flip_p(sorted(x.tolist()))


def test_drawn_and_exact_p_agree_where_one_ends_and_the_other_begins():
    x = np.random.default_rng(8).normal(0.4, 1, EXACT_STORIES + 1)
    found = scipy_stats.permutation_test((x,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(x.tolist(), draws=40_000) == pytest.approx(found.pvalue, abs=0.006)


def test_no_difference_at_all_is_never_significant():
    assert sign_flip_p([0.0] * 5) == 1.0
    assert sign_flip_p([0.0] * 30) == 1.0


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_its_definition(p: list[float]):
    """Adjusted p of the k-th smallest: max over j ≤ k of min(1, (m - j + 1) p_(j))."""
    order = np.argsort(p, kind="stable")
    expected = np.empty(len(p))
    for rank, place in enumerate(order):
        expected[place] = max(min(1.0, (len(p) - j) * p[order[j]]) for j in range(rank + 1))
    assert holm(p) == pytest.approx(expected.tolist())


def test_holm_leaves_out_what_was_not_tested():
    assert holm([None, 0.02, None, 0.04]) == [None, 0.04, None, 0.04]


def test_hedges_g_is_its_definition():
    x = np.random.default_rng(2).normal(0.5, 1, 9)
    exact = math.gamma(4) / (math.sqrt(4) * math.gamma(3.5))  # Hedges' correction with the gamma function, 8 degrees of freedom
    assert hedges_g(x.tolist()) == pytest.approx(x.mean() / x.std(ddof=1) * exact, rel=2e-3)
    assert hedges_g([0.1, 0.2]) is None
    assert hedges_g([0.1, 0.1, 0.1]) is None


def test_critical_differences_are_those_of_demsar():
    """Demšar 2006, table 5 (a): q at 0.05 for 2 .. 10 methods, divided by sqrt 2."""
    table = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    for k, q in enumerate(table, start=2):
        assert critical_difference(k, 10) == pytest.approx(q * math.sqrt(k * (k + 1) / 60), rel=1e-3)


def test_ranks_are_those_of_scipy_and_direction_turns_them():
    scores = np.random.default_rng(4).normal(size=(12, 4)).round(1)
    up, down = rank_methods(scores.tolist(), higher_is_better=True), rank_methods(scores.tolist(), higher_is_better=False)
    assert np.add(up.mean_ranks, down.mean_ranks) == pytest.approx(np.full(4, 5.0))
    assert up.friedman_p == pytest.approx(scipy_stats.friedmanchisquare(*scores.T).pvalue)
    assert sum(up.mean_ranks) == pytest.approx(10.0)


def test_pairs_are_weighted_by_shot_and_tested_by_story():
    base: dict[Unit, float] = {(0, "a", "1"): 0.1, (0, "a", "2"): 0.2, (1, "a", "1"): 0.3, (0, "b", "1"): 0.5, (0, "c", "1"): 0.0}
    new: dict[Unit, float] = {(0, "a", "1"): 0.2, (0, "a", "2"): 0.4, (1, "a", "1"): 0.6, (0, "b", "1"): 0.5, (2, "c", "1"): 1.0}
    change = paired_values(base, new)
    assert change.mean == pytest.approx(0.6 / 4)
    assert (change.n, change.n_stories, change.n_unpaired) == (4, 2, 2)
    assert (change.higher, change.equal, change.lower) == (1, 1, 0)
    assert change.p == 1.0  # story b did not change: two of two patterns of a are as far from zero
    assert change.new - change.base == pytest.approx(change.mean)
