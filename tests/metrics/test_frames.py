"""Some frames standing for all: which, what they count, and what `auto` risks."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.base import NoValueError
from metrics.collectors import Chosen, Frames, Neighbours, Whole
from metrics.frames import AUTO_TOLERANCE, FrameSet, check_policy, consistency, mean_feature, picks
from metrics.subject_consistency import frame_consistency
from metrics.temporal_flickering import frame_differences
from stbench.errors import UserError


def smooth(n, seed=0, d=5):
    """Features that drift, as those of a film do."""
    rng = np.random.default_rng(seed)
    return 3 + np.cumsum(0.05 * rng.normal(size=(n, d)), axis=0)


def some(feats, index):
    return FrameSet(features=feats[index], index=index, total=len(feats))


@given(st.integers(1, 200), st.integers(2, 40))
def test_picks_are_neighbours_from_end_to_end(total, pairs):
    index = picks(total, pairs)
    assert len(set(index.tolist())) == len(index) <= 2 * pairs or len(index) == total
    assert index[0] == 0
    assert index[-1] == total - 1
    if total > 1:
        assert all(i + 1 in index or i - 1 in index for i in index.tolist())


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(1, 20), st.integers(0, 99))
def test_a_mean_over_some_frames_is_that_of_the_filled_in_ones(total, pairs, seed):
    feats, index = smooth(total, seed), picks(total, pairs)
    filled = np.stack([np.interp(np.arange(total), index, feats[index][:, k]) for k in range(feats.shape[1])], axis=1)
    np.testing.assert_allclose(mean_feature(some(feats, index)), filled.mean(0), atol=1e-12)


def test_with_all_frames_consistency_is_vbenchs_and_with_some_it_comes_near():
    feats = smooth(81)
    whole = consistency(some(feats, np.arange(81)))
    assert whole == frame_consistency(feats)
    errors = [abs(consistency(some(feats, picks(81, pairs))) - whole) for pairs in (3, 9, 33)]
    assert errors[2] < errors[1] < 0.005
    with pytest.raises(NoValueError, match="one frame"):
        consistency(some(feats[:1], np.arange(1)))


def run(collector, frames, sizes, promised=None):
    """Feed frames in batches of given sizes until the collector is done; returns the passes."""
    total = len(frames) if promised is None else promised
    for passes in itertools.count(1):
        collector.start(total)
        at = 0
        for size in itertools.cycle(sizes):
            collector.add(frames[at : at + size], at)
            at += len(frames[at : at + size])
            if at == len(frames):
                break
        total = len(frames)
        if collector.done(total):
            return passes
        assert passes < 9


class Counter:
    """Encodes a frame as its mean colour; counts frames."""

    def __init__(self):
        self.frames = 0

    def __call__(self, frames):
        self.frames += len(frames)
        return frames.reshape(len(frames), -1, 3).mean(1) + 1.0


def film(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return (60 + np.cumsum(rng.normal(scale=0.7, size=(n, 1, 1, 1)), axis=0) + rng.integers(0, 90, (1, 4, 6, 3))).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(1, 40))
def test_batches_change_nothing(sizes, n):
    frames = film(n)
    cases = [
        (lambda: Frames(Counter(), "all"), Counter()(frames)),
        (lambda: Frames(Counter(), "8"), Counter()(frames)[picks(n, 4)]),
        (lambda: Neighbours(frame_differences, np.zeros(0)), frame_differences(frames)),
        (lambda: Chosen(Counter(), lambda total: [0, total // 2, total - 1]), Counter()(frames[[0, n // 2, n - 1]])),
        (lambda: Whole(Counter(), 64), Counter()(frames)),
    ]
    for make, expected in cases:
        collector = make()
        assert run(collector, frames, sizes) == 1
        np.testing.assert_allclose(collector.result(), expected, rtol=1e-6)


@pytest.mark.parametrize("make", [lambda: Frames(Counter(), "8"), lambda: Chosen(Counter(), lambda n: [0, n - 1])])
def test_a_container_that_promises_too_much_costs_a_second_pass(make):
    right, wrong = make(), make()
    run(right, film(20), [16])
    assert run(wrong, film(20), [16], promised=33) == 2
    np.testing.assert_array_equal(wrong.result(), right.result())


def test_auto_takes_few_frames_of_a_calm_clip_and_more_of_a_restless_one_and_encodes_none_twice():
    calm, restless = Counter(), Counter()
    jumps = np.random.default_rng(3).integers(0, 256, (81, 4, 6, 3)).astype(np.uint8)
    jumps[:, :, :, 0] = np.where(np.arange(81) % 7 < 3, 250, 5)[:, None, None]
    quiet, busy = Frames(calm, "auto"), Frames(restless, "auto")
    run(quiet, film(81), [16])
    run(busy, jumps, [16])
    assert calm.frames <= 20 < restless.frames <= 81
    assert quiet.risk <= AUTO_TOLERANCE
    exact = consistency(some(Counter()(film(81)), np.arange(81)))
    assert abs(consistency(quiet.frame_set()) - exact) <= 0.005


def test_a_long_clip_is_refused_by_what_needs_all_of_it_and_held_by_nothing_else():
    reader, chosen = Whole(Counter(), 10), Chosen(Counter(), lambda n: [0, n - 1])
    for collector in (reader, chosen):
        run(collector, film(200), [16])
    assert sum(len(part) for part in reader._held) == 10
    assert len(chosen._held) == 2
    with pytest.raises(NoValueError, match="200 frames"):
        reader.result()


@pytest.mark.parametrize("bad", ["1", "3", "some", "-4", "2.5", ""])
def test_other_policies_are_refused(bad):
    with pytest.raises(UserError, match="all, auto, or a number"):
        check_policy(bad)
