"""The world model gives the same frames, bit for bit, after a stop, whatever else is filmed before, on one thread and on two.

Two steps instead of the profile's number: state left by an earlier story would show in two as well, and so would another order of adding.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from kills import write_suite

from stbench.config import RunConfig
from stbench.display import Display
from stbench.runner import InterruptedRunError, run

torch = pytest.importorskip("torch")
Videos = dict[tuple[str, str], str]


def film(out: Path, suite: Path, *, threads: int = 1) -> Videos:
    """sha256 of every video, by story and shot, filmed on a machine with so many threads.

    Equal bytes are equal frames: the encoder is repeatable, and checked to decode back.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        config = RunConfig(method="storymem", suite=str(suite), out=out, options={"steps": "2"}, score=False, device="cpu")
        outcome = run(config, Display(out=(out.parent / "said.txt").open("a")))
        assert torch.get_num_threads() == threads, "scoring has them all again"
    finally:
        torch.set_num_threads(before)
    assert outcome.verdict == "complete"
    return {(record.story, record.shot): record.video.sha256 for part in outcome.folder.story_records() for record in part.records}


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("suite") / "tales"
    write_suite(folder)
    return folder


@pytest.fixture(scope="module")
def one_thread(suite, tmp_path_factory) -> Videos:
    return film(tmp_path_factory.mktemp("one") / "run", suite)


def test_a_story_filmed_alone_is_the_one_filmed_after_others(suite, one_thread, tmp_path):
    alone = film(tmp_path / "run", suite / "bee.json")
    assert alone == {name: sha256 for name, sha256 in one_thread.items() if name[0] == "bee"}


def test_a_machine_with_two_threads_gives_the_frames_of_one(suite, one_thread, tmp_path):
    assert film(tmp_path / "run", suite, threads=2) == one_thread


def test_a_run_that_was_stopped_gives_the_frames_of_one_that_was_not(suite, one_thread, tmp_path, monkeypatch):
    import stbench.filming

    publish, calls = stbench.filming.publish_shot, []

    def stop(*words, **facts):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return publish(*words, **facts)

    monkeypatch.setattr(stbench.filming, "publish_shot", stop)
    with pytest.raises(InterruptedRunError):
        film(tmp_path / "run", suite)
    monkeypatch.undo()
    assert film(tmp_path / "run", suite) == one_thread
