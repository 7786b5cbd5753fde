"""A fast subset of the injected faults and flipped bits; `tox -e soak` tries every kind at every place."""

from __future__ import annotations

import pytest
from faults import MODEL, SPOILT, Fault, FaultTest, all_faults

FAULTS = {str(fault): fault for fault in all_faults()}
CHOSEN = (
    "ENOSPC at open shots/ant/01_02.json",
    "EROFS at open .lock",
    "EIO at fsync events.jsonl",
    "EIO at rename shots/ant/01_02.mp4",
    "ENOSPC at mkdir report",
    "file size limit at 2000 bytes",
    "encoder dies of SIGSEGV at encode",
    "decode-back: a frame is missing at always",
    "decode-back: file cut short at once",
    "model: out of memory at once",
    "model: NaN at always",
    "model: black at always",
    "model: constant at always",
    "scoring: out of memory at scores",
    "clock goes backwards at by a year",
    "second process at finished run",
)
FLIPPED = (
    ("manifest.json", False),
    ("events.jsonl", True),
    ("scores.jsonl", True),
    ("shots/ant/01_02.mp4", True),
    ("films/ant.json", False),
)


@pytest.fixture(scope="module")
def test(tmp_path_factory, server) -> FaultTest:
    return FaultTest(tmp_path_factory.mktemp("faults"), server)


def test_there_are_more_than_forty_kinds_and_places():
    assert len(FAULTS) >= 120
    assert len({fault.kind for fault in FAULTS.values()}) >= 10 + len(SPOILT) + len(MODEL)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_fault_is_told_loses_nothing_and_the_same_command_mends_it(test, name):
    fault: Fault = FAULTS[name]
    assert test.fault(fault).wrong == []


@pytest.mark.parametrize(("name", "rotten"), FLIPPED)
def test_a_flipped_bit_is_named_by_check_and_mended_by_the_same_command(test, name, rotten):
    assert test.flip(name, at=0.5, rotten=rotten).wrong == []
