"""`stbench verify`: lines, exit codes and JSON. What it checks is tested beside the checks, in tests/storymem and tests/metrics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stbench.cli import main
from stbench.oracle import Case, Check, Setting

ORACLE = Path(__file__).parent.parent / "oracle"


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["verify", *words])
    return int(exit_.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("memory_bank.json", "keyframes.json"):
        shutil.copy(ORACLE / name, tmp_path)
    return tmp_path


def test_all_within_tolerance_is_exit_0_and_one_line_per_case(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(folder)) == 0
    out = capsys.readouterr().out.splitlines()
    cases = len(json.loads((ORACLE / "memory_bank.json").read_text())["cases"]) + 2 * len(
        json.loads((ORACLE / "keyframes.json").read_text())["cases"]
    )
    assert sum(line.startswith("pass") for line in out) == cases
    assert "not in this folder: transformer_m2v.json" in "\n".join(out)
    assert out[-1].startswith(f"EQUAL  {cases} of {cases} cases")


def test_a_miss_is_exit_1_and_json_is_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fact = json.loads((folder / "memory_bank.json").read_text())
    fact["cases"][-1]["selected"] = [0]
    (folder / "memory_bank.json").write_text(json.dumps(fact))
    assert run(str(folder), "--json") == 1
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report["verdict"] == "different"
    assert report["n_done"] == report["n_expected"] - 1
    wrong = [case for case in report["cases"] if not case["pass"]]
    assert len(wrong) == 1
    assert wrong[0]["error"] > wrong[0]["tolerance"] == 0
    assert "MISS" in said.err


@pytest.mark.parametrize("content", [None, "notes.json"])
def test_no_oracle_is_exit_2_without_a_traceback(tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    if content:
        (tmp_path / content).write_text("{}")
    assert run(str(tmp_path)) == 2
    assert run(str(tmp_path / "nowhere")) == 2
    said = capsys.readouterr().err
    assert "holds no oracle" in said
    assert "Traceback" not in said


def test_files_that_need_absent_files_are_not_called_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ORACLE / "t5.json", tmp_path)
    assert run(str(tmp_path), "--json") == 2
    assert json.loads(capsys.readouterr().out)["verdict"] == "error"


def test_wrong_options_are_exit_2(folder: Path) -> None:
    assert run(str(folder), "--dtype", "int8") == 2
    assert run(str(folder), "--device", "tpu") == 2


def test_a_crash_and_nan_are_misses_with_a_reason() -> None:
    def crash() -> float:
        raise ValueError("no such layer")

    crashed = Check(name="a", measure=crash).run()
    assert (crashed.passed, crashed.reason) == (False, "ValueError: no such layer")
    assert not Check(name="b", measure=lambda: float("nan"), tolerance=1.0).run().passed
    assert Case(name="c", kind="abs", tolerance=1.0, error=1.0).passed
    assert Setting().dtype == "float32"
