"""A fast subset of the kill tests; `tox -e soak` stops the run at every point."""

from __future__ import annotations

import pytest
from kills import MODES, KillTest

CHOSEN = (  # one point of each kind of moment: before the first byte, inside a shot, between its files, after its record, at the end
    "open manifest.json",
    "fsync events.jsonl",
    "journal shot_started",
    "encode",
    "rename shots/ant/01_02.mp4",
    "open shots/ant/02_01.json",
    "journal shot_done",
    "open films/ant.json",
    "rename scores.jsonl",
    "rename .finished.json",
)


@pytest.fixture(scope="module")
def test(tmp_path_factory, server) -> KillTest:
    return KillTest(tmp_path_factory.mktemp("kills"), server)


def test_there_are_points_at_every_journal_event_and_every_file(test):
    journal = {name for name in test.points if name.startswith("journal ")}
    assert journal == {
        "journal run_started",
        "journal story_note",
        "journal shot_started",
        "journal shot_done",
        "journal span",
        "journal run_filmed",
    }
    for name in ("manifest.json", "shots/ant/01_01.mp4", "shots/bee/01_01.json", "films/bee.mp4", "scores.jsonl", ".finished.json"):
        assert {f"fsync {name}", f"rename {name}"} <= set(test.points)
    assert len(test.points) >= 150


PAIRS = [(name, MODES[(k + shift) % len(MODES)]) for k, name in enumerate(CHOSEN) for shift in (0, 2)]


@pytest.mark.parametrize(("name", "mode"), PAIRS)
def test_a_run_stopped_anywhere_continues_and_equals_one_that_was_never_stopped(test, name, mode):
    places = [number for number, point in enumerate(test.points, start=1) if point == name]
    assert test.trial(places[len(places) // 2], mode).wrong == []
