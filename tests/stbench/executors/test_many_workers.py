"""One run on several processes: the same run as on one, whatever is killed, stopped or fails meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from stbench.check import check_run
from stbench.errors import UserError
from stbench.executors.drive import MAX_FALSE_STARTS, Drive, WorkerError
from stbench.executors.fleet import Ended, Lost, Message, Ready
from stbench.executors.schedule import Schedule
from stbench.filming import StoryOutcome
from stbench.journal import read_journal
from stbench.store import RunFolder

VOLATILE = {"seconds", "seal", "attempt"}


def facts(run: Path) -> dict:
    """What must not depend on who filmed: records, frames, scores, films."""
    folder = RunFolder.open(run)
    records = [record.to_json() for part in folder.story_records() for record in part.records]
    return {
        "records": [{name: value for name, value in record.items() if name not in VOLATILE} for record in records],
        "frames": {path.name: path.read_bytes() for path in sorted(run.glob("shots/*/*.mp4"))},
        "scores": folder.scores_path.read_text(),
        "films": [folder.film_path(story.id).read_bytes() for story in folder.stories],
    }


def times_done(run: Path) -> Counter[str]:
    return Counter(event["key"] for event in read_journal(run / "events.jsonl").events if event["event"] == "shot_done")


@pytest.fixture
def crew(process, run_words: list[str], tmp_path: Path):
    """Run with two workers in a process of its own: crew(…) → what the process came to."""

    def call(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return process([*run_words, "--workers", "2", *words], FAKE_LOG=str(tmp_path / "asked.log"), **extra)

    return call


@pytest.fixture
def alone(film, run_words: list[str], tmp_path: Path) -> dict:
    """Facts of the same run on one process."""
    words = [*run_words]
    words[words.index("--out") + 1] = str(tmp_path / "one")
    assert film(*words).code == 0
    return facts(tmp_path / "one")


def asked(tmp_path: Path) -> Counter[str]:
    return Counter(line.rsplit(" ", 2)[0] for line in (tmp_path / "asked.log").read_text().splitlines())


def test_two_workers_make_what_one_makes_and_again_there_is_nothing_to_do(crew, alone: dict, tmp_path: Path):
    done = crew("--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "complete"
    assert facts(tmp_path / "run") == alone
    assert set(asked(tmp_path).values()) == {1}
    assert len({line.split()[-2] for line in (tmp_path / "asked.log").read_text().splitlines()}) == 2  # both worked
    result = check_run(tmp_path / "run")
    assert (result.verdict, result.remarks) == ("valid", [])
    again = crew()
    assert "7 of 7 shots reused" in again.stderr
    assert sum(asked(tmp_path).values()) == 7


def test_a_killed_workers_story_goes_on_elsewhere(crew, alone: dict, tmp_path: Path):
    torn = tmp_path / "run" / "shots" / "ant" / ".tmp-7-02_01.mp4"  # what it had begun to write
    done = crew(FAKE_ONCE=f"worker {tmp_path / 'marker'} ant 02_01", FAKE_TORN=str(torn))
    assert done.returncode == 0, done.stderr
    assert "killed by SIGKILL -> ant goes on elsewhere" in done.stderr
    assert "7/7 shots" in done.stderr or "7 made" in done.stderr
    assert facts(tmp_path / "run") == alone
    assert set(times_done(tmp_path / "run").values()) == {1}
    assert {shot: times for shot, times in asked(tmp_path).items() if times > 1} == {"ant 02_01": 2}
    assert check_run(tmp_path / "run").verdict == "valid"


def test_a_killed_driver_takes_its_workers_along_and_the_same_command_continues(crew, alone: dict, tmp_path: Path):
    died = crew(FAKE_ONCE=f"driver {tmp_path / 'marker'} ant 01_02")
    assert died.returncode == -9
    assert check_run(tmp_path / "run").verdict == "partial"
    done = crew()
    assert done.returncode == 0, done.stderr
    assert facts(tmp_path / "run") == alone
    assert set(times_done(tmp_path / "run").values()) == {1}
    assert all(times <= 2 for times in asked(tmp_path).values())
    assert check_run(tmp_path / "run").verdict == "valid"


def test_ctrl_c_finishes_the_shots_in_progress_and_begins_none(crew, tmp_path: Path):
    stopped = crew(FAKE_ONCE=f"ctrl-c {tmp_path / 'marker'} ant 01_02", FAKE_SLEEP="0.2")
    assert stopped.returncode == 130
    assert "stopping: the run was interrupted; shots in progress are finished" in stopped.stderr
    assert "are safe in" in stopped.stderr
    assert "--workers 2" in stopped.stderr  # the command that continues
    assert (tmp_path / "run" / "shots" / "ant" / "01_02.json").exists()  # the shot in progress was finished
    assert not (tmp_path / "run" / "shots" / "ant" / "02_02.json").exists()
    done = crew()
    assert done.returncode == 0, done.stderr
    assert set(asked(tmp_path).values()) == {1}


def test_a_story_that_kills_every_worker_is_given_up_and_the_others_are_filmed(crew, tmp_path: Path):
    done = crew("--no-score", FAKE_KILL="ant 01_02")
    assert done.returncode == 3, done.stderr
    assert asked(tmp_path)["ant 01_02"] == 3
    kinds = [event["event"] for event in read_journal(tmp_path / "run" / "events.jsonl").events]
    assert (kinds.count("worker_lost"), kinds.count("story_given_up")) == (3, 1)
    assert "bee: 3/3 shots (3 made, 0 reused)" in done.stderr
    assert "ant: 1/4 shots (1 made, 0 reused, 1 failed, 2 skipped)" in done.stderr


def test_the_policy_stop_stops_all_workers(crew, tmp_path: Path):
    done = crew("--on-error", "stop", "--retries", "0", "--no-score", FAKE_FAIL="bee 01_01", FAKE_SLEEP="0.2")
    assert done.returncode == 3, done.stderr
    assert not (tmp_path / "run" / "shots" / "ant" / "02_02.json").exists()
    skipped = [event for event in read_journal(tmp_path / "run" / "events.jsonl").events if event["event"] == "shots_skipped"]
    assert "the policy is to stop" in {event["story"]: event["reason"] for event in skipped}["ant"]


@pytest.mark.parametrize("words", [["--gpus", "0", "--workers", "2"], ["--gpus", "0,0"], ["--gpus", "a"], ["--gpus", "0"]])
def test_gpus_that_contradict_or_are_not_there_are_refused_before_a_folder_is_made(film, run_words, tmp_path: Path, words: list[str]):
    done = film(*run_words, *words)  # with --device cpu
    assert done.code == 2
    assert "--gpus" in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--executor", "slurm"], "expected local or ray"),
        (["--ray-address", "auto"], "it is for --executor ray"),
        (["--worker-gpus", "0.5"], "it is for --executor ray"),
        (["--executor", "ray", "--gpus", "0"], "Ray chooses the GPUs itself"),
    ],
)
def test_flags_of_the_other_executor_are_refused(film, run_words, tmp_path: Path, words: list[str], said: str):
    done = film(*run_words, *words)
    assert (done.code, said in done.err) == (2, True)
    assert not (tmp_path / "run").exists()


class DeadOnArrival:
    """A fleet whose workers end before they are ready."""

    size = 2

    def __init__(self) -> None:
        self.started = 0

    def start(self) -> str:
        self.started += 1
        return f"w{self.started}"

    def wait(self, timeout_s: float) -> list[Lost]:
        return [Lost(worker=f"w{self.started}", reason="it ended with exit code 1")]

    def now(self) -> float:
        return 0.0


class Deaf:
    def lost(self, worker: str, story: str | None, reason: str) -> None:
        pass


def test_workers_that_cannot_start_are_not_started_for_ever():
    fleet = DeadOnArrival()
    with pytest.raises(WorkerError, match="before they were ready"):
        list(Drive({}, Schedule({"ant": 1, "bee": 2, "cat": 3}), fleet, Deaf()).outcomes())
    assert fleet.started <= 2 + MAX_FALSE_STARTS
    assert issubclass(WorkerError, UserError)


class Hanging:
    """Two workers on a virtual clock: the first to get the story "ant" says nothing any more, all others film at once."""

    size = 2

    def __init__(self) -> None:
        self.clock, self.count, self.said, self.filmed, self.hanging = 0.0, 0, [], [], None

    def start(self) -> str:
        self.count += 1
        self.said.append(Ready(worker=f"w{self.count}"))
        return f"w{self.count}"

    def film(self, worker: str, story: str) -> None:
        if story == "ant" and self.hanging is None:
            self.hanging = worker
            return
        self.filmed.append((worker, story))
        self.said.append(Ended(worker=worker, outcome=StoryOutcome(story=story, made=1, reused=0, failed=0, skipped=0)))

    def end(self, worker: str) -> None:
        assert worker == self.hanging
        self.ended_s = self.clock
        self.said.append(Lost(worker=worker, reason="killed by SIGKILL"))

    def wait(self, timeout_s: float) -> list[Message]:
        said, self.said = self.said, []
        self.clock += 0 if said else timeout_s
        return said

    def now(self) -> float:
        return self.clock


class Told(Deaf):
    def __init__(self) -> None:
        self.losses: list[tuple[str | None, str]] = []

    def lost(self, worker: str, story: str | None, reason: str) -> None:
        self.losses.append((story, reason))


def test_a_worker_that_hangs_is_ended_and_its_story_goes_on_elsewhere():
    fleet, told = Hanging(), Told()
    names = ("ant", "bee", "cat")
    outcomes = list(Drive({name: name for name in names}, Schedule(dict.fromkeys(names, 1)), fleet, told, silence_s=60.0).outcomes())
    assert sorted(outcome.story for outcome in outcomes) == ["ant", "bee", "cat"]
    assert told.losses == [("ant", "it said nothing for 60 s and was ended")]
    assert 60.0 < fleet.ended_s < 61.0
    assert {worker for worker, _ in fleet.filmed}.isdisjoint({fleet.hanging})


def test_the_driver_imports_no_model_library():
    code = "import sys, stbench.runner, stbench.executors.worker, stbench.executors.processes; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
