"""The gate of the micro-benchmarks: what is slower, vanished or not a number fails; another machine's numbers do not count."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def history() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_history", Path(__file__).with_name("history.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def save(folder: Path, day: int, node: str = "here", **seconds: float) -> None:
    benchmarks = [{"fullname": f"tests/bench/micro/bench_a.py::{name}", "stats": {"min": value}} for name, value in seconds.items()]
    data = {
        "machine_info": {"node": node, "cpu": {"brand_raw": "CPU"}},
        "commit_info": {"id": f"{day:040x}", "dirty": False},
        "datetime": f"2026-01-{day:02d}T00:00:00+00:00",
        "benchmarks": benchmarks,
    }
    (folder / f"{day:04d}_x.json").write_text(json.dumps(data))


def words(history: ModuleType, folder: Path) -> dict[str, str]:
    return {name.partition("::")[2]: word for name, _, _, word in history.compare(history.read_saved(folder), 2.0)}


def test_slower_vanished_and_no_number_are_told_apart(history: ModuleType, tmp_path: Path) -> None:
    save(tmp_path, 1, steady=1.0, slow=1.0, gone=1.0, nan=1.0)
    save(tmp_path, 2, steady=1.2, slow=1.2, gone=1.2, nan=1.2)
    save(tmp_path, 3, steady=2.1, slow=2.3, nan=float("nan"), fresh=9.0)
    assert words(history, tmp_path) == {"steady": "ok", "slow": "SLOWER", "gone": "VANISHED", "nan": "NO NUMBER", "fresh": "new"}


def test_another_machine_is_not_compared(history: ModuleType, tmp_path: Path) -> None:
    save(tmp_path, 1, node="laptop", one=0.001)
    save(tmp_path, 2, node="server", one=1.0)
    assert words(history, tmp_path) == {"one": "new"}
    (row,) = history.compare(history.read_saved(tmp_path, any_machine=True), 2.0)
    assert row[1:] == (0.001, 1.0, "SLOWER")


def test_what_was_taken_away_on_purpose_fails_once(history: ModuleType, tmp_path: Path) -> None:
    save(tmp_path, 1, steady=1.0, gone=1.0)
    save(tmp_path, 2, steady=1.0)
    assert words(history, tmp_path) == {"steady": "ok", "gone": "VANISHED"}
    save(tmp_path, 3, steady=1.0)
    assert words(history, tmp_path) == {"steady": "ok"}


def test_the_history_marks_since_when(history: ModuleType, tmp_path: Path) -> None:
    for day in range(1, 13):
        save(tmp_path, day, one=(1.0 if day < 8 else 1.5) + 0.01 * (day % 3))
    (series,) = history.history(history.read_saved(tmp_path))
    assert [(step.at, series.word(step)) for step in series.steps] == [(7, "WORSE")]
