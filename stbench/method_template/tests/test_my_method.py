"""The promises that every method keeps, checked through the real runner."""

from __future__ import annotations

from pathlib import Path

from stbench.conformance import check_method


def test_my_method_keeps_the_promises_of_a_method(tmp_path: Path) -> None:
    """Complete, valid, resumed without work, and the same again."""
    check_method("my-method", folder=tmp_path)
