"""A worker in this process: what it says, and what it never does."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stbench.errors import InvalidRunError
from stbench.executors.fleet import Busy, Ended, Progress, Task
from stbench.executors.worker import Worker, new_name
from stbench.journal import read_journal, segment_path
from stbench.methods import METHODS
from stbench.storage.leases import FOLDER, Leases
from stbench.store import RunFolder


@pytest.fixture
def task(film, run_words: list[str], tmp_path: Path, fake) -> Task:
    """Of a run of which nothing is filmed yet."""
    film(*run_words, "--limit", "2", "--no-score")
    shutil.rmtree(tmp_path / "run" / "shots")
    fake.MADE.clear()
    folder = RunFolder.open(tmp_path / "run")
    return Task(
        run=folder.path,
        manifest=folder.manifest,
        target=METHODS.target("fake"),
        options={},
        stories=(),
        device="cpu",
        attempts=2,
        on_error="skip-story",
    )


def test_a_story_is_filmed_told_and_given_back(task: Task, fake):
    said = []
    story = task.manifest.stories[0]
    with Worker(task, "w0-a", said.append) as worker:
        worker.film(story)
    assert isinstance(said[-1], Ended)
    assert (said[-1].outcome.made, said[-1].outcome.reused) == (4, 0)
    calls = [(message.call, message.shot) for message in said if isinstance(message, Progress)]
    assert calls[:3] == [("shot_started", 0), ("loading", None), ("shot_done", 0)]
    assert Leases(task.run, writer="x").held() == []
    mine = [event["event"] for event in read_journal(segment_path(task.run / "events.jsonl", "w0-a")).events]
    assert mine == ["shot_started", "shot_done"] * 4


def test_a_story_that_another_has_is_not_touched(task: Task, fake):
    said, story = [], task.manifest.stories[0]
    Leases(task.run, writer="other").take(story.id)
    with Worker(task, "w0-a", said.append) as worker:
        worker.film(story)
    assert isinstance(said[-1], Busy)
    assert said[-1].retry_s > 0
    assert fake.MADE == []
    assert [lease.writer for lease in Leases(task.run, writer="x").held()] == ["other"]


def test_a_worker_that_lost_its_story_meanwhile_publishes_nothing(task: Task, fake, monkeypatch: pytest.MonkeyPatch):
    said, story = [], task.manifest.stories[0]
    lease = task.run / FOLDER / f"{story.id}.json"

    def slept(request) -> object:
        if request.shot.index == 1:  # as if another had taken the story over while this one slept
            lease.write_text(json.dumps({**json.loads(lease.read_text()), "writer": "other"}))
        return original(request)

    original = fake.stripes
    monkeypatch.setattr(fake, "stripes", slept)
    with Worker(task, "w0-a", said.append) as worker:
        worker.film(story)
    assert isinstance(said[-1], Busy)
    assert [path.name for path in sorted((task.run / "shots" / story.id).glob("*.json"))] == ["01_01.json"]
    assert "lease_lost" in [event["event"] for event in read_journal(segment_path(task.run / "events.jsonl", "w0-a")).events]
    assert json.loads(lease.read_text())["writer"] == "other"


def test_a_halted_worker_ends_its_story_without_a_new_shot(task: Task, fake):
    said, story = [], task.manifest.stories[0]
    with Worker(task, "w0-a", said.append) as worker:
        worker.halt.set("the run was interrupted")
        worker.film(story)
    assert (said[-1].outcome.made, said[-1].outcome.skipped) == (0, 4)
    assert fake.MADE == []


def test_a_worker_with_other_weights_refuses(task: Task):
    other = task.manifest.model_copy(update={"identity": {**task.manifest.identity, "version": 2}})
    with pytest.raises(InvalidRunError, match="other weights"), Worker(replace(task, manifest=other), "w0-a", print):
        pass


def test_a_worker_with_another_torch_refuses(task: Task):
    other = task.manifest.model_copy(update={"versions": {**task.manifest.versions, "torch": "1.0"}})
    with (
        pytest.raises(InvalidRunError, match=r"this worker has torch .*; expected 1\.0"),
        Worker(replace(task, manifest=other), "w0-a", print),
    ):
        pass


@pytest.mark.parametrize("at_once", [True, False])
def test_prompts_are_prepared_for_the_whole_run_or_story_by_story(task: Task, fake, monkeypatch: pytest.MonkeyPatch, at_once: bool):
    asked: list[list[str]] = []
    monkeypatch.setattr(fake.FakeShots, "prepare", lambda self, stories: asked.append([story.id for story in stories]), raising=False)
    with Worker(replace(task, stories=task.manifest.stories if at_once else ()), "w0-a", lambda message: None) as worker:
        for story in task.manifest.stories:
            worker.film(story)
    assert asked == ([["ant", "bee"]] if at_once else [["ant"], ["bee"]])


def test_no_two_workers_have_one_name():
    assert len({new_name(0) for _ in range(100)}) == 100
