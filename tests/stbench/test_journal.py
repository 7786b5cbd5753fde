from __future__ import annotations

from pathlib import Path

import pytest

from stbench.files import SaveError, write_bytes, write_json
from stbench.journal import Journal, read_journal


def write(path: Path, *events: str) -> None:
    journal = Journal(path, now=lambda: 1.0)
    for event in events:
        journal.add(event, n=1)
    journal.close()


def test_events_come_back_in_order(tmp_path: Path):
    write(tmp_path / "j", "a", "b")
    write(tmp_path / "j", "c")
    assert [event["event"] for event in read_journal(tmp_path / "j").events] == ["a", "b", "c"]
    assert read_journal(tmp_path / "j").events[0] == {"event": "a", "time": 1.0, "n": 1}


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_torn_last_line_is_reported_then_cut_and_recorded(tmp_path: Path, cut: int):
    path = tmp_path / "j"
    write(path, "a", "b")
    path.write_bytes(path.read_bytes()[:-cut])
    reading = read_journal(path)
    assert [event["event"] for event in reading.events] == ["a"]
    assert reading.torn.startswith('{"event": "b"')
    write(path, "c")
    reading = read_journal(path)
    assert [event["event"] for event in reading.events] == ["a", "torn_line_cut", "c"]
    assert (reading.torn, reading.broken) == (None, [])


def test_a_broken_line_in_the_middle_hides_nothing(tmp_path: Path):
    path = tmp_path / "j"
    path.write_bytes(b'{"event": "a"}\n\xff\xfe\n[1]\n{"event": "b"}\n')
    reading = read_journal(path)
    assert [event["event"] for event in reading.events] == ["a", "b"]
    assert reading.broken == [2, 3]


def test_a_missing_journal_is_empty(tmp_path: Path):
    assert read_journal(tmp_path / "none").events == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "f.json"
    write_json(path, {"a": 1})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["f.json"]


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SaveError, match="cannot be written"):
        write_bytes(tmp_path / "file" / "below.json", b"x")


def test_an_empty_first_line_before_a_torn_one_does_not_stay_in_the_journal(tmp_path: Path):
    (tmp_path / "j").write_bytes(b'\n{"torn')
    Journal(tmp_path / "j", lambda: 1.0).close()
    assert read_journal(tmp_path / "j").broken == []
