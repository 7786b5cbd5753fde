"""Presets: StoryMem with one thing changed, as methods of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_method import film, storymem

from stbench.errors import UserError
from stbench.methods import METHODS
from storymem.method import StoryMem

SAME_AS = {
    "no-sink": {"memory__sink": "0"},
    "release-2025-12": {"variant": "release-2025-12"},
    "no-memory": {"memory__size": "0"},
    "memory-2": {"memory__size": "2"},
    "no-quality-filter": {"quality": "none"},
}


def preset(name: str, model: Path, **options: str) -> StoryMem:
    return METHODS.get(name).from_options(model=str(model), options=options)  # type: ignore[return-value]


@pytest.mark.parametrize("name", SAME_AS)
def test_a_preset_is_storymem_with_options(tiny_model: Path, name: str) -> None:
    made, by_hand = preset(name, tiny_model), storymem(tiny_model, **SAME_AS[name])
    assert made.options == by_hand.options
    assert made.identity() == by_hand.identity()
    assert made.identity() != storymem(tiny_model).identity()
    assert made.describe().startswith(f"{name}: StoryMem")


def test_other_options_are_still_free_and_fixed_ones_are_not(tiny_model: Path) -> None:
    assert preset("memory-2", tiny_model, **{"memory.sink": "1"}).options.memory_sink == 1
    with pytest.raises(UserError, match=r"memory.size is fixed to 2; leave it out"):
        preset("memory-2", tiny_model, **{"memory.size": "4"})
    with pytest.raises(UserError, match="expected memory-1 to memory-99"):
        preset("memory-N", tiny_model)
    with pytest.raises(UserError, match="unknown method 'memory-0'"):
        METHODS.get("memory-0")


def test_the_first_frame_alone_is_remembered_however_alike_frames_are(tiny_model: Path, tmp_path: Path) -> None:
    shots = film(preset("first-frame-memory", tiny_model), tmp_path)
    assert [shot.keyframes for shot in shots] == [(0,), (0,), (0,)]
    assert shots[2].notes["memory"] == [{"shot": "01_01", "keyframe": 0}, {"shot": "01_02", "keyframe": 0}]
    whole = film(storymem(tiny_model), tmp_path)
    assert np.array_equal(whole[0].frames, shots[0].frames)
    assert preset("first-frame-memory", tiny_model).identity() != storymem(tiny_model).identity()


@pytest.mark.parametrize(("name", "remembered"), [("storymem", 0), ("first-frame-memory", 0), ("no-quality-filter", 1)])
def test_the_quality_filter_stays_but_where_it_is_ablated(tiny_model: Path, tmp_path: Path, name: str, remembered: int) -> None:
    strict = preset(name, tiny_model, **{"quality.threshold": "1e9"})  # nothing is that good
    first = film(strict, tmp_path)[0]
    assert min(len(first.keyframes), 1) == remembered
