"""What the first release does oddly: where it changes pixels it is kept there and mended in the paper; where it crashed, neither does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_method import STORY, film, storymem

from stbench.methods import FinishedShot, ShotRequest
from stbench.story import Shot
from storymem.method import plan_shot

VARIANTS = ("paper", "release-2025-12")


def bank_of(count: int, options: Any) -> list[str]:
    shots = tuple(Shot(index=i, scene=1, number=i + 1, prompt="a cat", cut=True) for i in range(count + 1))
    finished = tuple(FinishedShot(shot=shot, video=Path("v"), keyframes=(Path(shot.id),)) for shot in shots[:count])
    plan = plan_shot(ShotRequest(story=replace(STORY, shots=shots), shot=shots[count], seed=0, finished=finished), options)
    return [shot for shot, _, _ in plan.memory]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_memory_of_size_0_falls_back_to_text_and_first_frames(tiny_model: Path, tmp_path: Path, variant: str) -> None:
    """As published: IndexError."""
    shots = film(storymem(tiny_model, memory__size="0", variant=variant), tmp_path)
    assert [shot.notes["mode"] for shot in shots] == ["t2v", "t2v", "i2v"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_story_whose_shots_keep_no_keyframe_is_filmed_all_the_same(tiny_model: Path, tmp_path: Path, variant: str) -> None:
    """As published: IndexError, too."""
    method = storymem(tiny_model, variant=variant, quality__threshold="1e9")
    assert [shot.notes["mode"] for shot in film(method, tmp_path)] == ["t2v", "t2v", "i2v"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_motion_frames_of_another_size_are_resized(tiny_model: Path, tmp_path: Path, variant: str) -> None:
    """As published: RuntimeError."""
    tail = []
    for number in range(5):
        tail.append(tmp_path / f"{number}.png")
        Image.fromarray(np.full((20, 24, 3), 40 * number, np.uint8)).save(tail[-1])
    before = FinishedShot(shot=STORY.shots[1], video=Path("v"), keyframes=(tail[0],), tail=tuple(tail))
    method = storymem(tiny_model, mode="mm2v", variant=variant)
    method.model = replace(method.model, profile=method.model.profile.model_copy(update={"height": 32, "width": 32}))
    with method.open("cpu") as maker:
        made = maker.shot(ShotRequest(story=STORY, shot=STORY.shots[2], seed=0, finished=(before,)))
    assert made.notes["mode"] == "mm2v"
    assert len(made.frames) == 4


def test_a_capacity_below_the_sink_doubles_pictures_in_the_release_and_is_kept_in_the_paper(tiny_model: Path) -> None:
    options = {"memory__size": "2", "memory__sink": "3"}
    assert bank_of(4, storymem(tiny_model, **options).options) == ["01_01", "01_02"]
    released = storymem(tiny_model, variant="release-2025-12", **options).options
    assert bank_of(4, released) == ["01_01", "01_02", "01_03", "01_02", "01_03", "01_04"]


def test_frame_1_is_a_keyframe_in_the_paper_and_never_considered_in_the_release(tiny_model: Path) -> None:
    frames = np.zeros((4, 16, 32, 3), np.uint8)
    frames[0, :, :16] = 255
    frames[1:, :, 16:] = 255
    found = {}
    for variant in VARIANTS:
        with storymem(tiny_model, variant=variant, quality__threshold="-1").open("cpu") as maker:
            found[variant] = maker._keyframes(frames, [])[0]
    assert found == {"paper": [0, 1], "release-2025-12": [0, 2]}


@pytest.mark.parametrize("variant", VARIANTS)
def test_guidance_may_be_a_whole_number(tiny_model: Path, tmp_path: Path, variant: str) -> None:
    """As published: TypeError."""
    story = replace(STORY, shots=STORY.shots[:1])
    whole, real = (film(storymem(tiny_model, guidance=text, variant=variant), tmp_path, story)[0].frames for text in ("3", "3.0"))
    assert np.array_equal(whole, real)


def test_the_first_frame_reaches_the_picture_in_the_paper_only(tiny_model: Path, tmp_path: Path) -> None:
    """As published: encoded, then overwritten, so no first frame changes anything."""
    changed = {}
    for variant in VARIANTS:
        made = []
        for grey in (20, 220):
            path = tmp_path / f"{grey}.png"
            Image.fromarray(np.full((16, 32, 3), grey, np.uint8)).save(path)
            before = FinishedShot(shot=STORY.shots[1], video=Path("v"), tail=(path,))
            with storymem(tiny_model, variant=variant).open("cpu") as maker:
                made.append(maker.shot(ShotRequest(story=STORY, shot=STORY.shots[2], seed=0, finished=(before,))).frames)
        changed[variant] = not np.array_equal(*made)
    assert changed == {"paper": True, "release-2025-12": False}
