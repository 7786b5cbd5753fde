"""`stbench status`: what a folder says about a run that goes on, was cut off, or is over."""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from stbench.commands.status import lines, serve
from stbench.errors import UserError
from stbench.journal import Journal, segment_path
from stbench.manifest import read_manifest
from stbench.status import Watcher, prometheus
from stbench.storage.leases import Leases


@pytest.fixture
def run(film, run_words: list[str], tmp_path: Path) -> Path:
    """A finished run: ant with 4 shots, bee with 3."""
    film(*run_words, "--no-score")
    return tmp_path / "run"


def journal(run: Path, writer: str | None, *events: tuple[float, str, dict]) -> None:
    times = iter([time for time, _, _ in events])
    path = run / "events.jsonl"
    out = Journal(segment_path(path, writer) if writer else path, lambda: next(times))
    for _, event, facts in events:
        out.add(event, **facts)
    out.close()


def as_if_running(run: Path) -> None:
    """Two workers since time 1000: w0 made 2 shots of ant and is at the third, w1 has taken bee."""
    for shot in ("02_01", "02_02"):
        (run / "shots" / "ant" / f"{shot}.json").unlink()
    shutil.rmtree(run / "shots" / "bee")
    (run / "events.jsonl").unlink()
    read_manifest(run).model_copy(update={"status": "started"}).save(run)
    journal(run, None, (1000.0, "run_started", {}), (1001.0, "worker_lost", {"worker": "w9"}))
    done = [(time, "shot_done", {"story": "ant", "shot": shot}) for time, shot in ((1010.0, "01_01"), (1020.0, "01_02"))]
    failed = (1025.0, "shot_failed", {"story": "ant", "shot": "02_01"})
    journal(run, "w0-a", *done, failed, (1030.0, "shot_started", {"story": "ant", "shot": "02_01"}))
    for writer, story in (("w0-a", "ant"), ("w1-b", "bee")):
        Leases(run, writer=writer).take(story)
        os.utime(run / ".leases" / f"{story}.json", (1039.0, 1039.0))


def test_a_running_run_says_who_works_on_what_and_how_long_it_will_take(run: Path):
    as_if_running(run)
    found = Watcher(run).look(1040.0)
    assert (found.state, found.done, found.expected, found.stories_done, found.stories) == ("running", 2, 7, 0, 2)
    assert found.shots_per_s == pytest.approx(2 / 40)
    assert found.eta_s == pytest.approx(5 / (2 / 40))
    assert (found.retries, found.given_up, found.lost_workers) == (1, 0, 1)
    assert [(w.worker, w.story, w.shot, w.for_s, w.made) for w in found.working] == [
        ("w0-a", "ant", "02_01", 10.0, 2),
        ("w1-b", "bee", None, None, 0),
    ]
    assert all(len(line) <= 80 for line in lines(found))


def test_looking_again_reads_only_what_is_new_and_waits_for_whole_lines(run: Path):
    as_if_running(run)
    watcher = Watcher(run)
    watcher.look(1040.0)
    segment = segment_path(run / "events.jsonl", "w0-a")
    text = b'{"event": "shot_done", "time": 1050.0, "story": "ant", "shot": "02_01"}\n'
    with segment.open("ab") as stream:
        stream.write(text[:30])
    assert watcher.look(1050.0).working[0].shot == "02_01"
    with segment.open("ab") as stream:
        stream.write(text[30:])
    assert (watcher.look(1050.0).working[0].shot, watcher.look(1050.0).working[0].made) == (None, 3)


def test_a_run_whose_workers_are_gone_was_cut_off(run: Path):
    as_if_running(run)
    found = Watcher(run).look(1039.0 + 61)
    assert (found.state, found.working, found.eta_s) == ("cut off", (), None)


def test_a_finished_run_has_its_manifests_status_and_the_command_prints_json(run: Path, film):
    assert Watcher(run).look(2000.0).state == "complete"
    said = json.loads(film("status", run, "--json").out)
    assert (said["done"], said["expected"], said["state"], said["working"]) == (7, 7, "complete", [])
    assert film("status", run).out.splitlines()[0] == "run run   complete   7/7 shots   2/2 stories"
    assert film("status", run, "--watch").code == 0  # ends at once: nobody films
    assert film("status", run.parent / "none").code == 2


def test_prometheus_reads_what_is_served(run: Path):
    """Against the text format's grammar: a HELP and a TYPE before each name's samples, labels quoted and escaped."""
    as_if_running(run)
    read_manifest(run).model_copy(update={"name": 'a "b"\\c'}).save(run)
    text = prometheus(Watcher(run).look(1040.0))
    assert 'stbench_shots_done{run="a \\"b\\"\\\\c"} 2\n' in text
    assert 'worker="w0-a"} 2\n' in text
    named = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(named) == len(set(named))
    assert {line.partition("{")[0] for line in text.splitlines() if not line.startswith("#")} == set(named)
    server = serve(run, 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert b"stbench_shots_expected" in answer.read()
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/etc/passwd")
        with pytest.raises(UserError, match="cannot be had"):
            serve(run, server.server_port)
    finally:
        server.shutdown()


@pytest.mark.parametrize(("took_s", "for_s", "hangs"), [(10.0, 199.0, False), (10.0, 201.0, True), (0.1, 119.0, False), (0.1, 121.0, True)])
def test_a_worker_without_progress_for_twenty_shots_time_hangs(run: Path, took_s: float, for_s: float, hangs: bool):
    as_if_running(run)
    done = [(1031.0, "shot_done", {"story": "bee", "shot": shot, "seconds": took_s}) for shot in ("01_01", "02_01")]
    journal(run, "w1-b", *done)
    now = 1030.0 + for_s
    for story in ("ant", "bee"):
        os.utime(run / ".leases" / f"{story}.json", (now, now))
    found = Watcher(run).look(now)
    assert {each.worker: each.hangs for each in found.working} == {"w0-a": hangs, "w1-b": False}
    assert any("HANGS?" in line for line in lines(found)) == hangs
    assert f'stbench_workers_hanging{{run="run"}} {int(hangs)}' in prometheus(found)
