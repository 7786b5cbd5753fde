"""The table at the end of a run: on 80 columns no number is cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stbench.endcard import score_table
from stbench.scores import Aggregate


def line(metric: str, unit: str, expected: int) -> Aggregate:
    return Aggregate(
        metric=metric,
        version=1,
        unit=unit,
        higher_is_better=True,
        protocol="world",
        encoder=None,
        encoder_digest=None,
        n_scored=expected - 1,
        n_expected=expected,
        mean=-0.0884,
        low=-0.1884,
        high=-0.0174,
        by_story={},
        reasons={"why": 1},
    )


@pytest.mark.parametrize(("longest", "expected"), [("prompt_following_single_shot", 300), ("a_metric_of_a_plugin_with_a_long_name", 10000)])
def test_numbers_are_whole_on_80_columns(longest: str, expected: int) -> None:
    console = Console(width=80, file=io.StringIO())
    console.print(score_table([line(longest, "cosine", expected), line("motion_magnitude", "heights / frame", expected)]))
    text = console.file.getvalue()
    assert "…" not in text
    assert max(len(row) for row in text.splitlines()) <= 80
    assert text.count(f"{expected - 1}/{expected} !") == text.count("-0.088") == text.count("-0.188 .. -0.017") == 2
