"""Turns at the stories of a run in an object store: one holder at a time, whatever the store does, and a silent one is taken over from."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import pytest

from stbench.check import check_run
from stbench.journal import Journal, read_journal
from stbench.storage.leases import LeaseLostError
from stbench.storage.mirror import Mirror
from stbench.storage.turns import Turns
from stbench.store import RunFolder

ELSEWHERE = "another machine"


class Store:
    """Objects in memory with exclusive creation. Each request may fail: refused, stored with the answer lost, half stored, or seen late."""

    def __init__(self, failing: float = 0.0, seed: int = 0):
        self.objects: dict[str, bytes] = {}
        self.created: list[str] = []
        self.unseen: dict[str, int] = {}
        self.failing, self.random = failing, random.Random(seed)

    def _fails(self) -> bool:
        return self.random.random() < self.failing

    def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        if self._fails():
            raise OSError(16, "SlowDown: please reduce your request rate")
        if mode == "create":
            if path in self.objects:
                raise FileExistsError(path)
            self.created.append(path)
        self.objects[path] = data[: len(data) // 2] if self._fails() else data
        self.unseen[path] = 2 if self._fails() else 0
        if self._fails():
            raise TimeoutError("the request timed out")

    def cat_file(self, path: str) -> bytes:
        if self._fails():
            raise OSError(16, "SlowDown: please reduce your request rate")
        self.unseen[path] = self.unseen.get(path, 0) - 1
        if path not in self.objects or self.unseen[path] >= 0:
            raise FileNotFoundError(path)
        return self.objects[path]


class Machine:
    """One machine: its disk, its clock, its turns."""

    def __init__(self, store: Store, run: RunFolder, name: str, monkeypatch: pytest.MonkeyPatch):
        self.clock = 0.0
        self.journal = Journal(run.path / f"{name}.jsonl", time.time)
        mirror = Mirror("test://bucket/run", store=store, sleep=lambda _: None)
        self.turns = Turns(mirror, run, self.journal, writer=name, life_s=100.0, now=lambda: self.clock)


@pytest.fixture
def run(film, run_words: list[str], tmp_path: Path) -> RunFolder:
    """Of which nothing is filmed yet."""
    film(*run_words, "--no-score")
    shutil.rmtree(tmp_path / "run" / "shots")
    return RunFolder.open(tmp_path / "run")


def machines(store: Store, run: RunFolder, monkeypatch: pytest.MonkeyPatch, *names: str) -> list[Machine]:
    """Claims of this process count as another machine's, so that it is silence that frees them."""
    monkeypatch.setattr("stbench.storage.turns.alive", lambda pid: True)
    return [Machine(store, run, name, monkeypatch) for name in names]


def test_a_story_is_one_machines_until_it_is_given_back(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    store, story = Store(), run.stories[0]
    a, b = machines(store, run, monkeypatch, "a", "b")
    assert a.turns.take(story) == 0
    assert b.turns.take(story) > 0
    a.turns.ensure(story.id)
    with pytest.raises(LeaseLostError):
        b.turns.ensure(story.id)
    a.turns.leave()
    assert b.turns.take(story) == 0
    with pytest.raises(LeaseLostError):
        a.turns.ensure(story.id)


def test_a_silent_holder_is_taken_over_from_and_learns_of_it_before_it_publishes(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    store, story = Store(), run.stories[0]
    a, b = machines(store, run, monkeypatch, "a", "b")
    a.turns.take(story)
    for b.clock in (0.0, 60.0):
        assert b.turns.take(story) > 0
    a.turns.beat()
    for b.clock in (90.0, 180.0):  # 120 s after the first look, but 90 after the last beat
        assert b.turns.take(story) > 0
    b.clock = 191.0
    assert b.turns.take(story) == 0
    with pytest.raises(LeaseLostError, match="silent too long"):
        a.turns.ensure(story.id)
    a.turns.leave()  # it was not a's to give back
    b.turns.ensure(story.id)
    assert a.turns.take(story) > 0


def test_the_claim_of_a_process_that_is_gone_need_not_be_waited_for(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    store, story = Store(), run.stories[0]
    a, b = machines(store, run, monkeypatch, "a", "b")
    a.turns.take(story)
    monkeypatch.setattr("stbench.storage.turns.alive", lambda pid: False)
    assert b.turns.take(story) == 0


def test_a_dead_process_of_another_machine_is_waited_for(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    store, story = Store(), run.stories[0]
    a, b = machines(store, run, monkeypatch, "a", "b")
    a.turns.take(story)
    path = f"bucket/run/claims/{story.id}/0.json"
    store.objects[path] = json.dumps({**json.loads(store.objects[path]), "machine": ELSEWHERE}).encode()
    monkeypatch.setattr("stbench.storage.turns.alive", lambda pid: False)
    assert b.turns.take(story) > 0


@pytest.mark.parametrize("seed", range(20))
def test_no_claim_has_two_holders_however_the_store_fails(run: RunFolder, monkeypatch: pytest.MonkeyPatch, seed: int):
    store, source = Store(failing=0.15, seed=seed), random.Random(seed)
    fleet = machines(store, run, monkeypatch, "a", "b", "c")
    holders: dict[tuple[str, int], set[str]] = {}
    for _ in range(200):
        machine, story = source.choice(fleet), source.choice(run.stories[:2])
        machine.clock += source.choice((1.0, 30.0))
        if machine.turns.holds is None:
            if machine.turns.take(story) == 0:
                assert machine.turns.holds is not None
                holders.setdefault(machine.turns.holds, set()).add(machine.turns.writer)
        elif source.random() < 0.3:
            machine.turns.leave()
        else:
            machine.turns.beat()
    assert len(holders) > 5
    assert all(len(names) == 1 for names in holders.values())
    assert len(set(store.created)) == len(store.created)


def test_a_store_that_is_away_gives_no_turn_and_takes_none(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    store, story = Store(), run.stories[0]
    a, b = machines(store, run, monkeypatch, "a", "b")
    a.turns.take(story)
    store.failing = 1.0
    a.turns.ensure(story.id)
    a.turns.beat()
    assert b.turns.take(story) > 0
    assert [event["event"] for event in read_journal(b.journal.path).events] == ["store_away"]


@pytest.mark.parametrize("words", [[], ["--workers", "2"]], ids=["alone", "workers"])
def test_a_second_machine_makes_what_the_first_did_not(film, run_words: list[str], fake, tmp_path: Path, words: list[str]):
    mirror = ["--mirror", f"file://{tmp_path}/bucket"]
    assert film(*run_words, *mirror, "--limit", "2", *words).code == 0
    there = RunFolder.open(tmp_path / "run")
    shutil.move(tmp_path / "run", tmp_path / "first")
    fake.MADE.clear()
    assert film(*run_words, *mirror, *words).code == 0
    again = [line for line in fake.MADE if line.split()[0] in {story.id for story in there.stories}]
    assert again == []
    assert check_run(tmp_path / "run").verdict == "valid"
    events = [event["event"] for event in read_journal(tmp_path / "run" / "events.jsonl").events]
    assert events.count("shot_fetched") == there.manifest.counts.expected
