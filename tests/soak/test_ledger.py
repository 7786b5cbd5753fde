"""A soak that was stopped goes on where it was."""

from __future__ import annotations

import ledger
import pytest
from ledger import Ledger, Tally


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "_program", lambda: "this program")
    return tmp_path / "soak.jsonl"


def test_what_was_tried_is_known_when_the_soak_is_started_again(path):
    first = Ledger(path)
    first.add("kill at 3", Tally())
    first.add("fuzz 7", Tally(tried=500, good=499, wrong=("a traceback",)))
    again = Ledger(path)
    assert again.get("kill at 3") == Tally()
    assert again.get("fuzz 7") == Tally(tried=500, good=499, wrong=("a traceback",))
    assert again.get("kill at 4") is None


def test_what_another_program_came_to_does_not_count(path, monkeypatch):
    Ledger(path).add("kill at 3", Tally())
    monkeypatch.setattr(ledger, "_program", lambda: "that program")
    assert Ledger(path).get("kill at 3") is None
