from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stbench.journal import Journal
from stbench.profiling.profile import profile_run
from stbench.profiling.reading import read_timings
from stbench.store import RunFolder

STORED = Path(__file__).parents[1] / "stored"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A stored run of three shots, its spans forgotten."""
    folder = shutil.copytree(STORED / "schema-2", tmp_path / "run")
    (folder / "timing.jsonl").unlink()
    return RunFolder.open(folder)


def write(run: RunFolder, *spans: dict[str, Any], event: str = "span") -> None:
    with closing(Journal(run.timing_path, lambda: 1.0)) as journal:
        for span in spans:
            journal.add(event, **({"story": "ant", "device": "cpu", "warm": True, "detail": {}} | span))


@pytest.mark.parametrize("schema", ["schema-1", "schema-2"])
def test_runs_of_earlier_versions_are_read_and_not_believed(schema: str) -> None:
    found = profile_run(RunFolder.open(STORED / schema))
    assert [shot.warm for shot in found.timings.shots] == [False, True, True]
    assert found.timings.loads_s == (0.0,)
    assert {row.name for row in found.stages} == {"denoise", "other"}
    assert found.to_json()["headline"] is None
    assert any("do not say how busy the machine was" in reason for reason in found.validity.reasons)


def test_a_shot_that_was_made_again_counts_as_it_was_made_last(run: RunFolder) -> None:
    write(
        run,
        {"shot": "01_01", "stage": "shot", "seconds": 9.0},
        {"shot": "01_01", "stage": "denoise", "seconds": 8.0},
        {"shot": "01_02", "stage": "shot", "seconds": 5.0},
        {"shot": "01_01", "stage": "shot", "seconds": 2.0},
        {"shot": "01_01", "stage": "denoise", "seconds": 1.0},
        {"shot": "07_07", "stage": "shot", "seconds": 99.0},  # of a shot that the run does not have any more
    )
    shots = read_timings(run).shots
    assert [(shot.shot, shot.seconds, shot.by_stage) for shot in shots] == [("01_02", 5.0, {}), ("01_01", 2.0, {"denoise": 1.0})]


def test_a_shot_that_waited_for_weights_was_not_warm(run: RunFolder) -> None:
    write(
        run,
        {"shot": "01_01", "stage": "shot", "seconds": 9.0},
        {"shot": "01_01", "stage": "load_experts", "seconds": 8.0},
        {"shot": "01_02", "stage": "shot", "seconds": 1.0},
    )
    assert [shot.warm for shot in read_timings(run).shots] == [False, True]


def test_spans_of_two_writers_do_not_mix(run: RunFolder) -> None:
    """Several workers write at the same time: their lines alternate."""
    write(
        run,
        {"shot": "01_01", "stage": "shot", "seconds": 9.0},
        {"shot": "01_02", "stage": "shot", "seconds": 5.0},
        {"shot": "01_01", "stage": "denoise", "seconds": 8.0},
        {"shot": "01_02", "stage": "denoise", "seconds": 4.0},
    )
    assert [shot.by_stage for shot in read_timings(run).shots] == [{"denoise": 8.0}, {"denoise": 4.0}]


def test_ceilings_and_scorings_are_no_spans(run: RunFolder) -> None:
    write(run, {"flops_per_s": 1.0}, event="ceiling")
    write(run, {"encoders": {"dino": {"clips": 4, "seconds": 2.0}}}, event="scoring")
    write(run, {"shot": "01_01", "stage": "shot", "seconds": 9.0})
    found = profile_run(run)
    assert found.scoring == (("dino", 4, 0.5),)
    assert found.ceiling is not None
    assert len(found.timings.shots) == 1
