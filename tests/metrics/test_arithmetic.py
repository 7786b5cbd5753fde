"""The arithmetic of every metric against an independent reference of a few lines, and what must not change it."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from metrics.base import NoValueError
from metrics.cross_shot_appearance import shot_appearance
from metrics.cross_shot_consistency import mean_pair_similarity, similarity_matrix
from metrics.cross_shot_consistency_top10 import most_similar_pairs, top_pair_similarity
from metrics.encoders.sampling import midpoints
from metrics.prompt_following_global import film_feature
from metrics.prompt_following_single_shot import cosine
from metrics.subject_consistency import frame_consistency
from metrics.temporal_flickering import frame_differences, steadiness
from metrics.truth_kept import first_appearances


def cos(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b))


def features(n, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)) + 0.5


def test_cross_shot_consistency_equals_the_loop():
    x = features(7)
    expected = [cos(a, b) for a, b in itertools.combinations(x, 2)]
    assert mean_pair_similarity(x) == pytest.approx(sum(expected) / 21, abs=1e-12)
    assert np.allclose(similarity_matrix(x), [[cos(a, b) for b in x] for a in x], atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(6)), st.floats(0.1, 10))
def test_cross_shot_consistency_ignores_order_and_length(order, scale):
    x = features(6, seed=1)
    assert mean_pair_similarity(scale * x[list(order)]) == pytest.approx(mean_pair_similarity(x), abs=1e-12)


def test_a_film_of_one_repeated_shot_has_consistency_one():
    assert mean_pair_similarity(np.repeat(features(1), 5, axis=0)) == pytest.approx(1.0)


def test_top10_chooses_by_prompts_and_averages_videos():
    video, prompts = features(6, seed=2), features(6, seed=3)
    ranked = sorted(itertools.combinations(range(6), 2), key=lambda ij: -cos(prompts[ij[0]], prompts[ij[1]]))[:10]
    value, pairs = top_pair_similarity(video, prompts, 10)
    assert pairs == ranked
    assert value == pytest.approx(sum(cos(video[i], video[j]) for i, j in ranked) / 10, abs=1e-12)


def test_equal_prompts_tie_and_the_earlier_pair_wins():
    prompts = np.array([[1, 0.1], [1.0, 0.1 + 1e-12], [1, 0.1], [0, 1]])
    assert most_similar_pairs(prompts, 2) == [(0, 1), (0, 2)]


def test_top10_of_a_short_film_takes_all_pairs():
    video = features(3)
    value, pairs = top_pair_similarity(video, features(3, seed=4), 10)
    assert len(pairs) == 3
    assert value == pytest.approx(mean_pair_similarity(video))


def test_prompt_following_is_a_cosine():
    a, b = features(2)
    assert cosine(a, b) == pytest.approx(cos(a, b), abs=1e-12)


def test_film_feature_counts_every_shot_alike():
    x = features(4)
    scaled = x * np.array([[1], [10], [0.1], [3]])
    assert np.allclose(film_feature(x), film_feature(scaled))
    assert np.allclose(film_feature(x), np.mean([row / np.linalg.norm(row) for row in x], axis=0))


def test_subject_consistency_equals_the_loop():
    x = features(9, seed=5)
    expected = sum((max(0, cos(x[i], x[i - 1])) + max(0, cos(x[i], x[0]))) / 2 for i in range(1, 9)) / 8
    assert frame_consistency(x) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(2, 5), st.just(4), st.just(6), st.just(3))))
def test_flickering_equals_the_loop_and_runs_backwards_alike(frames):
    pairs = itertools.pairwise(frames.astype(float))
    expected = (255 - np.mean([np.abs(a - b).mean() for a, b in pairs])) / 255
    assert steadiness(frame_differences(frames)) == pytest.approx(expected, abs=1e-12)
    assert steadiness(frame_differences(frames[::-1])) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "nothing",
    [
        lambda: mean_pair_similarity(features(1)),
        lambda: top_pair_similarity(features(1), features(1), 10),
        lambda: frame_consistency(features(1)),
        lambda: steadiness(frame_differences(np.zeros((1, 4, 4, 3), np.uint8))),
        lambda: cosine(np.zeros(3), np.ones(3)),
        lambda: mean_pair_similarity(np.zeros((2, 3))),
        lambda: frame_consistency(np.zeros((2, 3))),
    ],
)
def test_where_there_is_no_number_there_is_a_reason(nothing):
    with pytest.raises(NoValueError, match=r"one shot|one frame|no direction"):
        nothing()


@given(st.integers(1, 300), st.integers(1, 16))
def test_midpoints_are_in_order_and_inside(n, wanted):
    found = midpoints(n, wanted)
    assert len(found) == wanted
    assert found == sorted(found)
    assert 0 <= found[0] <= found[-1] < n


def test_midpoints_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="0 frames"):
        midpoints(0, 4)


def test_first_appearances_of_returning_characters():
    assert first_appearances([2, 2, 0, None, 2, 0]) == [None, 0, None, None, 0, 2]


def test_shot_appearance_is_the_mean_direction_whatever_the_lengths():
    rng = np.random.default_rng(0)
    feats = rng.normal(size=(7, 5))
    wanted = sum(row / (row @ row) ** 0.5 for row in feats) / 7
    np.testing.assert_allclose(shot_appearance(feats), wanted, atol=1e-12)
    np.testing.assert_allclose(shot_appearance(feats * rng.uniform(0.5, 2, (7, 1))), wanted, atol=1e-12)
