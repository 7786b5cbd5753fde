"""StoryMem and its baselines end to end on a tiny random model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stbench.errors import UserError
from stbench.methods import FinishedShot, ShotRequest, ShotResult
from stbench.story import Shot, Story
from storymem.independent import WanI2VChain, WanT2V
from storymem.method import StoryMem, plan_shot

STORY = Story(
    id="walk",
    name="Walk",
    overview="a cat and a dog",
    shots=(
        Shot(index=0, scene=1, number=1, prompt="a cat sits in the park", cut=True),
        Shot(index=1, scene=1, number=2, prompt="a dog runs on snow", cut=True),
        Shot(index=2, scene=1, number=3, prompt="a dog sits", cut=False),
    ),
)

SHORT = replace(STORY, shots=STORY.shots[:2])


def publish(result: ShotResult, shot: Shot, folder: Path) -> FinishedShot:
    """What the runner does with a result, as far as a method can see it."""

    def save(name: str, frame: np.ndarray) -> Path:
        path = folder / f"{shot.id}.{name}.png"
        Image.fromarray(frame).save(path)
        return path

    first_tail = len(result.frames) - result.tail
    return FinishedShot(
        shot=shot,
        video=folder / f"{shot.id}.mp4",
        keyframes=tuple(save(f"key{number}", result.frames[index]) for number, index in enumerate(result.keyframes)),
        tail=tuple(save(f"tail{number}", frame) for number, frame in enumerate(result.frames[first_tail:])),
    )


def film(method: StoryMem | WanT2V, folder: Path, story: Story = STORY) -> list[ShotResult]:
    results: list[ShotResult] = []
    finished: list[FinishedShot] = []
    with method.open("cpu") as maker:
        for shot in story.shots:
            results.append(maker.shot(ShotRequest(story=story, shot=shot, seed=7 + shot.index, finished=tuple(finished))))
            finished.append(publish(results[-1], shot, folder))
    return results


def storymem(model: Path, **options: str) -> StoryMem:
    return StoryMem.from_options(model=str(model), options={key.replace("__", "."): value for key, value in options.items()})


def test_first_shot_is_t2v_then_memory_and_a_continuation_uses_the_last_frame(tiny_model: Path, tmp_path: Path) -> None:
    first, second, third = film(storymem(tiny_model), tmp_path)
    assert [shot.notes["mode"] for shot in (first, second, third)] == ["t2v", "m2v", "mi2v"]
    assert first.frames.shape == second.frames.shape == (9, 16, 32, 3)
    assert third.frames.shape == (8, 16, 32, 3)  # the known frame is dropped
    assert first.frames.dtype == np.uint8
    assert first.keyframes
    assert second.notes["memory"] == [{"shot": "01_01", "keyframe": number} for number in range(len(first.keyframes))]
    stages = {span.stage for span in third.spans}
    assert stages == {"text_encode", "memory_encode", "denoise", "vae_decode", "keyframes", "quality_filter"}


def test_same_seed_same_frames_and_resumed_equals_uninterrupted(tiny_model: Path, tmp_path: Path) -> None:
    results = film(storymem(tiny_model), tmp_path)
    finished = [publish(result, shot, tmp_path) for result, shot in zip(results, STORY.shots, strict=True)]
    with storymem(tiny_model).open("cpu") as maker:
        again = maker.shot(ShotRequest(story=STORY, shot=STORY.shots[2], seed=9, finished=tuple(finished[:2])))
    assert np.array_equal(again.frames, results[2].frames)


def test_memory_changes_the_picture(tiny_model: Path, tmp_path: Path) -> None:
    with_memory = film(storymem(tiny_model), tmp_path)
    without = film(storymem(tiny_model, memory__size="0"), tmp_path)
    assert np.array_equal(with_memory[0].frames, without[0].frames)
    assert not np.array_equal(with_memory[1].frames, without[1].frames)
    assert [shot.notes["mode"] for shot in without] == ["t2v", "t2v", "i2v"]


def test_without_memory_it_equals_independent_shots(tiny_model: Path, tmp_path: Path) -> None:
    story = replace(STORY, shots=STORY.shots[:2])
    independent = film(WanT2V.from_options(model=str(tiny_model), options={}), tmp_path, story)
    without = film(storymem(tiny_model, memory__size="0"), tmp_path, story)
    for one, other in zip(independent, without, strict=True):
        assert np.array_equal(one.frames, other.frames)


def test_text_to_video_is_the_same_before_and_after_a_memory_shot(tiny_model: Path, tmp_path: Path) -> None:
    results = film(storymem(tiny_model), tmp_path)
    finished = publish(results[0], STORY.shots[0], tmp_path)
    with storymem(tiny_model).open("cpu") as maker:
        maker.shot(ShotRequest(story=STORY, shot=STORY.shots[1], seed=8, finished=(finished,)))
        first = maker.shot(ShotRequest(story=STORY, shot=STORY.shots[0], seed=7))
    assert np.array_equal(first.frames, results[0].frames)


def test_variants_and_stride_change_the_picture(tiny_model: Path, tmp_path: Path) -> None:
    paper, release, stride = (
        film(storymem(tiny_model, **options), tmp_path)[1].frames
        for options in ({}, {"variant": "release-2025-12"}, {"positions__stride": "2"})
    )
    assert not np.array_equal(paper, release)
    assert not np.array_equal(paper, stride)


def test_motion_mode_uses_the_last_five_frames(tiny_model: Path, tmp_path: Path) -> None:
    last = film(storymem(tiny_model, mode="mm2v"), tmp_path)[2]
    assert last.notes["mode"] == "mm2v"
    assert len(last.frames) == 4


def test_cuts_only_mode_ignores_the_last_frame(tiny_model: Path, tmp_path: Path) -> None:
    last = film(storymem(tiny_model, mode="m2v"), tmp_path)[2]
    assert last.notes["mode"] == "m2v"
    assert last.tail == 0


def test_chain_starts_every_shot_from_the_last_frame(tiny_model: Path, tmp_path: Path) -> None:
    shots = film(WanI2VChain.from_options(model=str(tiny_model), options={}), tmp_path)
    assert [shot.notes["mode"] for shot in shots] == ["t2v", "i2v", "i2v"]
    assert [len(shot.frames) for shot in shots] == [9, 8, 8]


def test_bank_keeps_the_sink_and_the_most_recent(tiny_model: Path) -> None:
    shots = tuple(Shot(index=i, scene=1, number=i + 1, prompt="a cat", cut=True) for i in range(6))
    finished = tuple(FinishedShot(shot=shot, video=Path("v"), keyframes=(Path(f"{shot.id}a"), Path(f"{shot.id}b"))) for shot in shots[:5])
    request = ShotRequest(story=replace(STORY, shots=shots), shot=shots[5], seed=0, finished=finished)
    plan = plan_shot(request, storymem(tiny_model, memory__size="5", memory__sink="3").options)
    assert [str(path) for _, _, path in plan.memory] == ["01_01a", "01_01b", "01_02a", "01_05a", "01_05b"]


def test_identity_covers_options_and_weights(tiny_model: Path) -> None:
    base = storymem(tiny_model).identity()
    assert base == storymem(tiny_model).identity()
    assert base["options"]["memory.size"] == 10
    assert storymem(tiny_model, memory__sink="0").identity() != base


def test_notes_say_which_share_of_the_words_is_known(tiny_model: Path) -> None:
    method = storymem(tiny_model)
    assert method.story_notes(STORY) is None
    strange = replace(STORY, shots=(replace(STORY.shots[0], prompt="a cat contemplates eternity"),))
    assert "50%" in (method.story_notes(strange) or "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory.sise": "3"}, "did you mean 'memory.size'"),
        ({"memory.size": "-1"}, "memory.size = '-1'"),
        ({"variant": "papper"}, "variant = 'papper'"),
        ({"guidance": "much"}, "guidance"),
        ({"steps": "0"}, "steps"),
        ({"memory.policy": "promt"}, "recency"),
    ],
)
def test_bad_options_are_refused_with_the_key(tiny_model: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        StoryMem.from_options(model=str(tiny_model), options=options)
