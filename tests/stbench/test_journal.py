from __future__ import annotations

from pathlib import Path

import pytest

from stbench.files import SaveError, write_bytes, write_json
from stbench.journal import Journal, read_journal, segment_path, segments


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


def clocked(path: Path, *events: tuple[str, float]) -> None:
    times = iter([time for _, time in events])
    journal = Journal(path, now=lambda: next(times))
    for event, _ in events:
        journal.add(event)
    journal.close()


def test_segments_of_several_writers_are_read_as_one_journal_by_time(tmp_path: Path):
    main = tmp_path / "events.jsonl"
    clocked(main, ("begin", 1.0), ("end", 9.0))
    clocked(segment_path(main, "w0"), ("a", 2.0), ("c", 4.0))
    clocked(segment_path(main, "w1"), ("b", 3.0), ("set back", 1.5), ("d", 5.0))
    events = read_journal(main).events
    assert [event["event"] for event in events] == ["begin", "a", "b", "set back", "c", "d", "end"]  # each writer's order is kept
    assert [event.get("writer") for event in events] == [None, "w0", "w1", "w1", "w0", "w1", None]


def test_one_writers_torn_line_harms_no_other(tmp_path: Path):
    main = tmp_path / "events.jsonl"
    for number, name in enumerate(("w0", "w1", "w2")):
        clocked(segment_path(main, name), ("first", 1.0 + number), ("last", 10.0 + number))
    torn = segment_path(main, "w1")
    torn.write_bytes(torn.read_bytes()[:-9])
    clocked(segment_path(main, "w2"), ("more", 20.0))
    reading = read_journal(main)
    assert [(event["event"], event["writer"]) for event in reading.events] == [
        ("first", "w0"), ("first", "w1"), ("first", "w2"), ("last", "w0"), ("last", "w2"), ("more", "w2")
    ]  # fmt: skip
    assert reading.torn.startswith('{"event": "last"')
    assert reading.broken == []


def test_a_damaged_line_of_a_segment_is_named_and_set_aside(tmp_path: Path):
    main, path = tmp_path / "events.jsonl", segment_path(tmp_path / "events.jsonl", "w0")
    clocked(path, ("a", 1.0), ("b", 2.0))
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"x"'))
    reading = read_journal(main)
    assert [event["event"] for event in reading.events] == ["b"]
    assert (reading.broken, reading.files) == ([1], ["events/w0.jsonl"])
    Journal(path, now=lambda: 3.0).close()
    assert segments(main) == [path]
    assert (read_journal(main).broken, [event["event"] for event in read_journal(main).events]) == ([], ["b", "damaged_lines_set_aside"])
