"""The simulator: the real schedule and loop, on a clock that a test can compute by hand."""

from __future__ import annotations

import heapq

import pytest

from stbench.executors.simulated import Conditions, drawn, simulate


def listed(shot_s: dict[str, list[float]], workers: int, *, start_s: float, each_s: float) -> float:
    """Makespan of longest-first list scheduling, written down anew: the next story goes to whoever is free first."""
    free = [start_s] * workers
    for _, times in sorted(shot_s.items(), key=lambda item: (-len(item[1]), int(item[0][1:]))):
        heapq.heappush(free, heapq.heappop(free) + sum(times) + each_s * len(times))
    return max(free)


@pytest.mark.parametrize("workers", [1, 3, 7, 40])
def test_without_failures_it_is_longest_first_list_scheduling(workers: int):
    shot_s = {**drawn(20, 6, median_s=30, spread=0.5), **{f"s{20 + n}": [9.0] * (1 + n % 9) for n in range(15)}}
    found = simulate(shot_s, Conditions(workers=workers, start_s=5.0, overhead_s=0.5, requests=4, latency_s=0.25))
    assert found.makespan_s == pytest.approx(listed(shot_s, workers, start_s=5.0, each_s=1.5))
    assert found.finished == sum(map(len, shot_s.values()))
    assert found.bound_s <= found.makespan_s
    assert found.efficiency == pytest.approx(sum(map(sum, shot_s.values())) / workers / found.makespan_s)


def test_even_work_on_workers_that_never_fail_is_shared_out_without_loss():
    found = simulate({f"s{n}": [10.0] * 5 for n in range(64)}, Conditions(workers=16, start_s=0.0, overhead_s=0.0))
    assert (found.makespan_s, found.efficiency, found.lost_workers) == (200.0, 1.0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_with_failures_every_shot_is_finished_once_and_only_shots_in_progress_are_lost(seed: int):
    shot_s = drawn(100, 10, median_s=60, spread=0.2, seed=seed)
    found = simulate(shot_s, Conditions(workers=10, hours_between_failures=1.0, seed=seed))
    assert found.finished + found.given_up == 1000
    assert found.given_up == 0
    assert found.lost_workers > 5
    assert found.lost_s <= found.lost_workers * max(max(times) for times in shot_s.values())
    assert found.makespan_s > simulate(shot_s, Conditions(workers=10)).makespan_s


def test_one_driver_is_the_limit_where_messages_are_many_and_slow():
    shot_s = {f"s{n}": [1.0] * 10 for n in range(256)}
    fast, slow = (simulate(shot_s, Conditions(workers=64, start_s=0.0, message_s=each)) for each in (0.0, 0.05))
    assert fast.efficiency > 0.95
    assert slow.makespan_s >= slow.messages * 0.05 * 0.99  # the driver hears one after the other
    assert slow.driver_busy == pytest.approx(1.0, abs=0.02)
