"""IC-LoRA's keyframes: planning, captions and cutting; the drawing against diffusers' own pipeline; the command from script to films."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_painters import SMALL

from stbench.baselines.ic_lora import ADAPTER_FILE, FluxPainter, IcLoraOptions, pack, unpack
from stbench.baselines.ic_lora_panels import Board, board_prompt, cut_panels, plan_boards
from stbench.errors import UserError
from stbench.story import Story
from stbench.timing import Stopwatch

SEEDS = (11, 12, 13, 14, 15)


@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 2))
def test_boards_draw_every_shot_once_and_hang_together(shots: int, panels: int, overlap: int) -> None:
    if overlap >= panels:
        with pytest.raises(ValueError, match="overlap"):
            plan_boards(shots, panels=panels, overlap=overlap)
        return
    boards = plan_boards(shots, panels=panels, overlap=overlap)
    assert [index for board in boards for index in board.new] == list(range(shots))
    assert all(len(board.shots) == min(panels, shots) for board in boards)
    assert all(board.shots == tuple(range(board.shots[0], board.shots[-1] + 1)) for board in boards)
    assert boards[0].known == 0
    assert [board.known for board in boards[1:-1]] == [overlap] * len(boards[1:-1])
    assert all(overlap <= board.known < panels for board in boards[1:])


def test_ten_shots_take_five_boards() -> None:
    assert [board.shots for board in plan_boards(10)] == [(0, 1, 2), (2, 3, 4), (4, 5, 6), (6, 7, 8), (7, 8, 9)]
    assert plan_boards(10)[-1] == Board(shots=(7, 8, 9), known=2)
    assert plan_boards(2) == [Board(shots=(0, 1), known=0)]


def test_the_caption_is_one_sentence_with_a_mark_per_panel() -> None:
    caption = board_prompt("A fox\n travels;", ["at a gate. ", "on ice", "asleep..."])
    assert caption == "[MOVIE-SHOTS] A fox travels, [SCENE-1] at a gate, [SCENE-2] on ice, [SCENE-3] asleep."


def test_a_board_is_cut_into_equal_panels_that_add_up_to_it() -> None:
    board = np.random.default_rng(0).integers(0, 256, (96, 20, 3), np.uint8)
    panels = cut_panels(board, 3)
    assert [panel.shape for panel in panels] == [(32, 20, 3)] * 3
    assert np.array_equal(np.concatenate(panels), board)
    with pytest.raises(ValueError, match="95 pixels high cannot be cut into 3"):
        cut_panels(board[:95], 3)


def test_tokens_are_packed_as_in_diffusers() -> None:
    from diffusers import FluxPipeline

    latents = torch.randn(1, 16, 12, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pack(latents), FluxPipeline._pack_latents(latents, 1, 16, 12, 8))
    assert torch.equal(unpack(pack(latents), 4), latents)
    top, bottom = latents[:, :, :6], latents[:, :, 6:]
    assert torch.equal(torch.cat([pack(top), pack(bottom)], dim=1), pack(latents))  # panels are consecutive tokens


def painter(painters: dict[str, Path], adapter: Path | None = None, **options: str) -> FluxPainter:
    chosen = IcLoraOptions.parse(SMALL | {f"keyframes.{key}": value for key, value in options.items()})
    return FluxPainter(painters["flux"], adapter or painters["storyboard"] / ADAPTER_FILE, chosen, "cpu")


def test_a_story_of_one_board_equals_diffusers_own_pipeline(painters: dict[str, Path], story: Callable[..., Story]) -> None:
    from diffusers import FluxPipeline

    three = story(3)
    pipeline = FluxPipeline.from_pretrained(painters["flux"])
    pipeline.load_lora_weights(painters["storyboard"], weight_name=ADAPTER_FILE)
    pipeline.set_progress_bar_config(disable=True)
    noise = [torch.randn(1, 4, 4, 8, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS[:3]]
    caption = board_prompt(three.overview, [str(shot.first_frame_prompt) for shot in three.shots])
    size = {"height": 96, "width": 64, "latents": FluxPipeline._pack_latents(torch.cat(noise, dim=2), 1, 4, 12, 8)}
    expected = pipeline(caption, **size, num_inference_steps=2, guidance_scale=3.5, max_sequence_length=512, output_type="np").images[0]
    watch = Stopwatch("cpu")
    found = painter(painters).paint(three, SEEDS[:3], watch)
    assert [span.stage for span in watch.spans] == ["keyframe_text", "keyframe_denoise", "keyframe_decode"]
    np.testing.assert_allclose(np.concatenate([one.pixels for one in found]) / 255, expected, atol=0.5 / 255 + 1e-5)


def test_a_given_panel_stays_and_the_others_are_drawn_in_its_context(painters: dict[str, Path], story: Callable[..., Story]) -> None:
    drawing = painter(painters)
    boards = plan_boards(5)
    texts = [drawing._encode(f"caption {number}") for number in range(2)]
    first, second = drawing._denoise(boards, texts, SEEDS)
    size = first.shape[1] // 3
    assert torch.equal(second[:, :size], first[:, 2 * size :])  # shot 3 closes the first board and opens the second
    other = drawing._denoise(boards, [drawing._encode("another caption"), texts[1]], SEEDS)
    assert not torch.equal(other[1][:, size:], second[:, size:])
    apart = painter(painters, overlap="0", panels="2").paint(story(4), SEEDS[:4], Stopwatch("cpu"))
    changed = painter(painters, overlap="0", panels="2").paint(story(4, shot0="a red dog"), SEEDS[:4], Stopwatch("cpu"))
    assert [np.array_equal(a.pixels, b.pixels) for a, b in zip(apart, changed, strict=True)] == [False, False, True, True]


def test_the_adapter_counts_and_its_weight_too(painters: dict[str, Path], story: Callable[..., Story]) -> None:
    full, half = (painter(painters, lora_weight=weight).paint(story(2), SEEDS[:2], Stopwatch("cpu")) for weight in ("1", "0.5"))
    assert not np.array_equal(full[0].pixels, half[0].pixels)


def test_half_precision_draws_nearly_the_same(painters: dict[str, Path], story: Callable[..., Story]) -> None:
    whole, half = (painter(painters, dtype=dtype).paint(story(4), SEEDS[:4], Stopwatch("cpu")) for dtype in ("float32", "bfloat16"))
    for one, other in zip(whole, half, strict=True):
        assert 0 < np.abs(one.pixels.astype(int) - other.pixels).mean() < 3


def spoiled(painters: dict[str, Path], to: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Path:
    save_file(change(load_file(painters["storyboard"] / ADAPTER_FILE)), to / "adapter.safetensors")
    return to / "adapter.safetensors"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {key: value * (".lora_A." in key) for key, value in state.items()}, "the adapter changes nothing"),
        (lambda state: {key.replace("blocks.0", "blocks.7"): value for key, value in state.items()}, "adapter.safetensors: "),
        (lambda state: {key: torch.cat([value, value]) for key, value in state.items()}, "cannot be attached"),
        (lambda state: state | {"text_encoder.layers.0.q.lora_A.weight": torch.ones(2, 4)}, "adapter.safetensors: "),
        (lambda state: {"weight": torch.ones(2)}, "cannot be attached"),
    ],
)
def test_an_adapter_that_does_not_fit_is_one_line(painters: dict[str, Path], tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        painter(painters, spoiled(painters, tmp_path, change))
    assert "\n" not in str(caught.value)


def test_from_script_to_films_and_a_resumed_run_equals_an_uninterrupted_one(filming: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    whole = filming("ic-lora", out)
    assert whole.code == 0
    assert [record["n_frames"] for record in whole.shots.values()] == [5, 5, 5, 5]
    assert len({record["notes"]["keyframe"] for record in whole.shots.values()}) == 4
    drawing = ["keyframe_load", "keyframe_text", "keyframe_denoise", "keyframe_decode"]
    assert [span for span in whole.spans if span[1].startswith("keyframe")] == [("01_01", stage) for stage in drawing]
    (out / "shots" / "walk" / "01_04.json").unlink()
    again = filming("ic-lora", out)
    assert again.code == 0
    assert {shot: record["video"] for shot, record in again.shots.items()} == {s: r["video"] for s, r in whole.shots.items()}
