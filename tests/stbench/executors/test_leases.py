"""Leases: one holder at a time, taken over when it is gone, never published under once lost."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from stbench.storage.leases import FOLDER, LIFE_S, LeaseLostError, Leases, this_machine


def age(run: Path, story: str, seconds: float) -> None:
    """As if the last heartbeat was so long ago."""
    path = run / FOLDER / f"{story}.json"
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def elsewhere(run: Path, story: str) -> None:
    """As if the holder was a process of another machine."""
    path = run / FOLDER / f"{story}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "another", "pid": 1}))


def test_a_story_is_one_workers_until_it_gives_it_back(tmp_path: Path):
    first, second = Leases(tmp_path, writer="a"), Leases(tmp_path, writer="b")
    assert first.take("ant") == 0
    assert first.take("ant") == 0  # again is no harm
    assert 0 < second.take("ant") <= LIFE_S
    assert second.take("bee") == 0
    assert [(lease.story, lease.writer) for lease in first.held()] == [("ant", "a"), ("bee", "b")]
    second.release("ant")  # not b's to give back
    assert second.take("ant") > 0
    first.release("ant")
    assert second.take("ant") == 0


def test_a_silent_workers_story_is_taken_over_and_it_may_not_publish(tmp_path: Path):
    first, second = Leases(tmp_path, writer="a"), Leases(tmp_path, writer="b")
    first.take("ant")
    elsewhere(tmp_path, "ant")
    age(tmp_path, "ant", LIFE_S - 5)
    assert 0 < second.take("ant") < 6
    age(tmp_path, "ant", 10)
    assert second.take("ant") == 0
    with pytest.raises(LeaseLostError, match="b's now"):
        first.ensure("ant")
    second.ensure("ant")


def test_a_heartbeat_keeps_a_lease_and_revives_no_lost_one(tmp_path: Path):
    first, second = Leases(tmp_path, writer="a"), Leases(tmp_path, writer="b")
    first.take("ant")
    elsewhere(tmp_path, "ant")
    age(tmp_path, "ant", LIFE_S - 1)
    first.renew("ant")
    assert second.take("ant") > LIFE_S - 5
    age(tmp_path, "ant", LIFE_S + 1)
    second.take("ant")
    age(tmp_path, "ant", LIFE_S - 1)
    before = (tmp_path / FOLDER / "ant.json").stat().st_mtime_ns
    first.renew("ant")
    assert (tmp_path / FOLDER / "ant.json").stat().st_mtime_ns == before


def test_the_story_of_a_process_that_is_gone_is_free_at_once(tmp_path: Path):
    process = multiprocessing.get_context("fork").Process(target=lambda: Leases(tmp_path, writer="gone").take("ant"))
    process.start()
    process.join()
    assert json.loads((tmp_path / FOLDER / "ant.json").read_text())["machine"] == this_machine()
    assert Leases(tmp_path, writer="b").held() == []
    assert Leases(tmp_path, writer="b").take("ant") == 0


def test_a_lease_of_another_machine_is_not_judged_by_this_ones_processes(tmp_path: Path):
    Leases(tmp_path, writer="a").take("ant")
    elsewhere(tmp_path, "ant")
    assert Leases(tmp_path, writer="b").take("ant") > 0
    Leases(tmp_path, writer="driver").revoke("b", "ant")
    assert Leases(tmp_path, writer="b").take("ant") > 0
    Leases(tmp_path, writer="driver").revoke("a", "ant")
    assert Leases(tmp_path, writer="b").take("ant") == 0


def test_a_damaged_lease_holds_nobody_off(tmp_path: Path):
    leases = Leases(tmp_path, writer="a")
    leases.take("ant")
    (tmp_path / FOLDER / "ant.json").write_text('{"writer": "a"')
    assert Leases(tmp_path, writer="b").take("ant") == 0


def _race(run: str, writer: str, barrier, won) -> None:
    barrier.wait()
    if Leases(Path(run), writer=writer).take("ant") == 0:
        won.put(writer)
    barrier.wait()  # alive until all have asked


def test_of_many_that_want_one_expired_story_one_gets_it(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    for lap in range(5):
        Leases(tmp_path, writer="old").take("ant")
        age(tmp_path, "ant", LIFE_S + 1)
        barrier, won = context.Barrier(6), context.SimpleQueue()
        racers = [context.Process(target=_race, args=(str(tmp_path), f"w{lap}-{n}", barrier, won)) for n in range(6)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        won.get()
        assert won.empty()
        Leases(tmp_path, writer="x").revoke(json.loads((tmp_path / FOLDER / "ant.json").read_text())["writer"], "ant")
