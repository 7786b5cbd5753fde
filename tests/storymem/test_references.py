"""MR2V (a story's memory starts with reference pictures), and memory chosen by the prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_method import STORY, film, storymem

from stbench.errors import UserError
from stbench.methods import FinishedShot, ShotRequest
from stbench.references import read_reference
from stbench.story import Shot, Story
from storymem import condition
from storymem.memory import select_by_prompt
from storymem.method import PromptRank, plan_shot


def with_picture(folder: Path, size: tuple[int, int] = (32, 16), seed: int = 0) -> Story:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"hero{seed}.png")
    return replace(STORY, references=(read_reference(folder / f"hero{seed}.png", "test"),))


def test_with_references_the_first_shot_is_made_from_memory_and_they_stay_in_front(tiny_model: Path, tmp_path: Path) -> None:
    shots = film(storymem(tiny_model), tmp_path, with_picture(tmp_path))
    assert [shot.notes["mode"] for shot in shots] == ["mr2v", "m2v", "mi2v"]
    assert shots[0].notes["memory"] == [{"shot": "reference", "keyframe": 0}]
    assert shots[1].notes["memory"][0] == {"shot": "reference", "keyframe": 0}
    assert shots[1].notes["memory"][1]["shot"] == "01_01"


def test_another_reference_gives_another_film(tiny_model: Path, tmp_path: Path) -> None:
    first = replace(STORY, shots=STORY.shots[:1])
    one, other = (film(storymem(tiny_model), tmp_path, replace(with_picture(tmp_path, seed=seed), shots=first.shots))[0] for seed in (0, 1))
    assert not np.array_equal(one.frames, other.frames)


def test_a_reference_of_another_shape_is_cropped_and_in_the_first_release_decides_the_shape_of_the_film(
    tiny_model: Path, tmp_path: Path
) -> None:
    story = replace(with_picture(tmp_path, size=(48, 64)), shots=STORY.shots[:1])
    assert film(storymem(tiny_model), tmp_path, story)[0].frames.shape[1:3] == (16, 32)
    wide = replace(with_picture(tmp_path, size=(64, 8), seed=1), shots=STORY.shots[:1])
    with storymem(tiny_model, variant="release-2025-12").open("cpu") as maker:
        maker.generator.profile = maker.generator.profile.model_copy(update={"height": 32, "width": 64})
        shape = maker.shot(ShotRequest(story=story, shot=story.shots[0], seed=0)).frames.shape[1:3]
        assert shape == condition.fit_area(64, 48, 32 * 64) == (48, 32)
        assert maker.shot(ShotRequest(story=wide, shot=wide.shots[0], seed=0)).frames.shape[1:3] == (16, 128)


@given(rows=st.integers(1, 200), columns=st.integers(1, 200))
def test_a_crop_is_the_middle_and_as_large_as_can_be(rows: int, columns: int) -> None:
    pixels = np.arange(rows * columns, dtype=np.int64).reshape(1, rows, columns, 1)
    found = condition.crop_to_aspect(pixels, 48, 80)
    height, width = found.shape[1:3]
    assert height == rows or width == columns
    assert min(height, width) >= 1
    top, left = divmod(int(found[0, 0, 0, 0]), columns)
    assert abs((rows - height) - 2 * top) <= 1
    assert abs((columns - width) - 2 * left) <= 1
    assert abs(width - height * 80 / 48) <= 80 / 48 + 1


@given(similarity=st.lists(st.floats(-1, 1), max_size=20), size=st.integers(0, 8), sink=st.integers(0, 8))
def test_memory_by_prompt_keeps_the_sink_and_nothing_better_is_left_out(similarity: list[float], size: int, sink: int) -> None:
    found = select_by_prompt(similarity, size=size, sink=sink)
    fixed = min(size, sink, len(similarity))
    assert len(found) == min(size, len(similarity))
    assert found == sorted(set(found))
    assert found[:fixed] == list(range(fixed))
    left = [similarity[index] for index in range(len(similarity)) if index not in found]
    assert not left or not found[fixed:] or max(left) <= min(similarity[index] for index in found[fixed:])


class Words:
    """Pictures and texts as the colours that they name; counts what it is asked."""

    COLOURS = ("red", "green", "blue")

    def __init__(self) -> None:
        self.pictures = self.texts = 0

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        self.pictures += len(frames)
        return frames.reshape(len(frames), -1, 3).mean(axis=1).astype(np.float32)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        self.texts += len(texts)
        return np.array([[float(colour in text) for colour in self.COLOURS] for text in texts], np.float32)


def test_a_character_who_comes_back_is_remembered_by_the_prompt_and_forgotten_by_recency(tiny_model: Path, tmp_path: Path) -> None:
    cast = ["red", "green", "green", "blue", "blue", "blue"]
    shots = tuple(Shot(index=i, scene=1, number=i + 1, prompt=f"a {name} cat", cut=True) for i, name in enumerate([*cast, "green"]))
    finished = []
    for shot, colour in zip(shots, cast, strict=False):
        path = tmp_path / f"{shot.id}.png"
        Image.new("RGB", (8, 8), colour).save(path)
        finished.append(FinishedShot(shot=shot, video=Path("v"), keyframes=(path,)))
    request = ShotRequest(story=replace(STORY, shots=shots), shot=shots[6], seed=0, finished=tuple(finished))
    options = {"memory__size": "3", "memory__sink": "1"}
    encoder = Words()
    rank = PromptRank(encoder)
    by_prompt = storymem(tiny_model, memory__policy="prompt", **options).options
    for _ in range(2):
        plan = plan_shot(request, by_prompt, rank)
    assert [shot for shot, _, _ in plan.memory] == ["01_01", "01_02", "01_03"]
    assert (encoder.pictures, encoder.texts) == (6, 1)  # each once
    recent = plan_shot(request, storymem(tiny_model, **options).options)
    assert [shot for shot, _, _ in recent.memory] == ["01_01", "01_05", "01_06"]


def test_the_policy_is_part_of_the_identity_and_of_the_paper_only(tiny_model: Path) -> None:
    assert "prompt_encoder" not in storymem(tiny_model).identity()
    chosen = storymem(tiny_model, memory__policy="prompt").identity()
    assert chosen["prompt_encoder"]["id"] == "world-clip"
    with pytest.raises(UserError, match="recency only"):
        storymem(tiny_model, memory__policy="prompt", variant="release-2025-12")


def test_the_prompt_policy_films_a_story(tiny_model: Path, tmp_path: Path) -> None:
    shots = film(storymem(tiny_model, memory__policy="prompt", memory__size="1", memory__sink="0"), tmp_path)
    assert [len(shot.notes["memory"]) for shot in shots] == [0, 1, 1]
