"""The schedule: longest first, again after a loss, later when another process has it, given up when it kills."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stbench.executors.schedule import MAX_LOSSES, Schedule


def test_the_longest_stories_are_first_and_equal_ones_in_the_suites_order():
    schedule = Schedule({"a": 1, "b": 3, "c": 2, "d": 3})
    assert [schedule.take(f"w{n}", now=0.0) for n in range(5)] == ["b", "d", "c", "a", None]
    assert not schedule.finished
    for n in range(4):
        schedule.ended(f"w{n}")
    assert schedule.finished


def test_a_lost_workers_story_is_taken_up_by_another_in_its_place():
    schedule = Schedule({"a": 1, "b": 3, "c": 2})
    assert schedule.take("w0", now=0.0) == "b"
    assert schedule.lost("w0") is None
    assert [schedule.take("w1", now=0.0), schedule.take("w2", now=0.0)] == ["b", "c"]
    assert schedule.lost("nobody") is None


def test_a_story_that_kills_its_workers_is_given_up():
    schedule = Schedule({"a": 1})
    for n in range(MAX_LOSSES):
        assert schedule.take(f"w{n}", now=0.0) == "a"
        assert schedule.lost(f"w{n}") == ("a" if n == MAX_LOSSES - 1 else None)
    assert schedule.finished


def test_a_long_story_on_machines_that_come_and_go_is_not_at_fault():
    schedule = Schedule({"a": 9})
    for n in range(3 * MAX_LOSSES):
        assert schedule.take(f"w{n}", now=0.0) == "a"
        schedule.progressed(f"w{n}")
        assert schedule.lost(f"w{n}") is None
    schedule.progressed("nobody")


def test_a_story_of_another_process_is_asked_for_later():
    schedule = Schedule({"a": 2, "b": 1})
    assert schedule.take("w0", now=0.0) == "a"
    schedule.busy("w0", until=30.0)
    assert schedule.wake_at() == 30.0
    assert [schedule.take("w0", now=1.0), schedule.take("w1", now=1.0)] == ["b", None]
    assert not schedule.finished
    assert schedule.take("w1", now=30.0) == "a"


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 5), st.data())
def test_every_story_ends_or_is_given_up_exactly_once_whatever_happens(lengths: list[int], size: int, data: st.DataObject):
    schedule = Schedule({f"s{n}": length for n, length in enumerate(lengths)})
    now, over, names = 0.0, [], 0
    workers = [f"w{n}" for n in range(size)]
    while not schedule.finished:
        now += 1
        for place, worker in enumerate(workers):
            story = schedule.working.get(worker) or schedule.take(worker, now=now)
            if story is None:
                continue
            fate = data.draw(st.sampled_from(["end", "lose", "busy"]))
            if fate == "end":
                schedule.ended(worker)
                over.append(story)
            elif fate == "busy":
                schedule.busy(worker, until=now + 1)
            else:
                given_up = schedule.lost(worker)
                names += 1
                workers[place] = f"w{size + names}"
                over += [given_up] if given_up else []
    assert sorted(over) == sorted(f"s{n}" for n in range(len(lengths)))
