"""SIGKILL in the middle: finished shots are reused, and nothing differs from a run that was never cut off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stbench.store import RunFolder

VOLATILE = {"seconds", "attempt", "seal"}


def facts(folder: Path) -> list[dict]:
    run = RunFolder.open(folder)
    return [
        {key: value for key, value in record.to_json().items() if key not in VOLATILE}
        for part in run.story_records()
        for record in part.records
    ]


@pytest.mark.parametrize("at", ["ant 01_02", "bee 02_02"])
def test_a_killed_run_continues_and_equals_an_uninterrupted_one(process, run_words, tmp_path, at):
    killed = process(run_words, FAKE_KILL=at)
    assert killed.returncode == -9
    assert RunFolder.open(tmp_path / "run").manifest.status == "started"
    finished = facts(tmp_path / "run")
    with (tmp_path / "run" / "events.jsonl").open("a") as journal:
        journal.write('{"event": "shot_do')  # as a power loss would leave it
    (tmp_path / "run" / "shots" / "ant" / ".tmp-1-02_02.mp4").write_bytes(b"half a shot")
    (tmp_path / "run" / "report" / "sheets").mkdir(parents=True, exist_ok=True)
    (tmp_path / "run" / "report" / ".tmp-1-.sums.json").write_bytes(b"half a list")
    (tmp_path / "run" / "report" / "sheets" / ".tmp-1-ant.png").write_bytes(b"half a sheet")
    resumed = process([*run_words, "--json"])
    assert resumed.returncode == 0, resumed.stderr
    n = json.loads(resumed.stdout)["n"]
    assert (n["reused"], n["made"]) == (len(finished), 7 - len(finished))
    assert f"resuming: {len(finished)} of 7 shots reused" in resumed.stderr
    assert not list((tmp_path / "run").rglob(".tmp-*"))
    whole = process([*run_words, "--out", str(tmp_path / "whole")])
    assert whole.returncode == 0, whole.stderr
    assert facts(tmp_path / "run") == facts(tmp_path / "whole")
    assert RunFolder.open(tmp_path / "run").scores() == RunFolder.open(tmp_path / "whole").scores()
    assert process(["check", str(tmp_path / "run")]).returncode == 0
