"""StoryDiffusion's keyframes: the attention against a reference, the loop against diffusers' own, the command from script to films."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_painters import SMALL

from stbench.baselines.keyframed import Keyframe
from stbench.baselines.storydiffusion import SdxlPainter, StoryDiffusionOptions
from stbench.baselines.storydiffusion_attention import ConsistentSelfAttention, TokenBank, sample_positions, use_consistent_attention
from stbench.story import Story
from stbench.timing import Stopwatch

SEEDS = (11, 12, 13, 14, 15)
CHANNELS, HEADS = 12, 3


@pytest.fixture
def layer() -> Any:
    from diffusers.models.attention_processor import Attention

    torch.manual_seed(0)
    return Attention(query_dim=CHANNELS, heads=HEADS, dim_head=CHANNELS // HEADS).eval().requires_grad_(False)


def reference(layer: Any, own: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
    """Self-attention of one image (L, C) over its tokens and those of others, written out."""
    weights = {name: value.numpy() for name, value in layer.state_dict().items()}
    read = np.concatenate([own, *others])
    out = np.zeros_like(own)
    size = CHANNELS // HEADS
    q, k, v = (tokens @ weights[f"to_{name}.weight"].T for name, tokens in (("q", own), ("k", read), ("v", read)))
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / np.sqrt(size)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[:, part] = scores / scores.sum(axis=1, keepdims=True) @ v[:, part]
    return out @ weights["to_out.0.weight"].T + weights["to_out.0.bias"]


def sampled(tokens: np.ndarray, image: int, *, seed: int = 5, step: int = 7, layer: int = 2, rate: float = 0.5) -> np.ndarray:
    return tokens[sample_positions(len(tokens), rate, seed=seed, step=step, layer=layer, image=image)]


@pytest.mark.parametrize("groups", [1, 2])
def test_consistent_self_attention_equals_the_reference_in_both_stages(layer: Any, groups: int) -> None:
    images = torch.randn(groups * 3, 10, CHANNELS, generator=torch.Generator().manual_seed(1))
    later = torch.randn(groups * 2, 10, CHANNELS, generator=torch.Generator().manual_seed(2))
    bank = TokenBank(rate=0.5, seed=5, step=7, groups=groups)
    layer.set_processor(ConsistentSelfAttention(2, bank))
    written = layer(images).numpy()
    bank.stage = "read"
    read = layer(later).numpy()
    for group in range(groups):
        own = [images[group * 3 + image].numpy() for image in range(3)]
        left = [sampled(tokens, image) for image, tokens in enumerate(own)]
        for image in range(3):
            expected = reference(layer, own[image], left[:image] + left[image + 1 :])
            np.testing.assert_allclose(written[group * 3 + image], expected, atol=1e-6)
        for image in range(2):
            expected = reference(layer, later[group * 2 + image].numpy(), left)
            np.testing.assert_allclose(read[group * 2 + image], expected, atol=1e-6)


def test_one_image_is_plain_self_attention_to_the_bit(layer: Any) -> None:
    image = torch.randn(2, 10, CHANNELS, generator=torch.Generator().manual_seed(1))
    plain = layer(image)
    layer.set_processor(ConsistentSelfAttention(0, TokenBank(rate=0.5, seed=5, groups=2)))
    assert torch.equal(layer(image), plain)


def test_a_rate_of_zero_is_plain_and_of_one_reads_everything(layer: Any) -> None:
    images = torch.randn(3, 10, CHANNELS, generator=torch.Generator().manual_seed(1))
    plain = layer(images)
    layer.set_processor(ConsistentSelfAttention(0, TokenBank(rate=0.0, seed=5)))
    assert torch.equal(layer(images), plain)
    layer.set_processor(ConsistentSelfAttention(0, TokenBank(rate=1.0, seed=5)))
    whole = layer(images[None].flatten(1, 2).expand(3, -1, -1).contiguous())
    expected = reference(layer, images[1].numpy(), [images[0].numpy(), images[2].numpy()])
    np.testing.assert_allclose(layer(images)[1].numpy(), expected, atol=1e-6)
    assert whole.shape == (3, 30, CHANNELS)


def test_samples_differ_by_image_layer_and_step_and_have_the_asked_size() -> None:
    one = sample_positions(100, 0.3, seed=1, step=0, layer=0, image=0)
    assert len(one) == len(set(one)) == 30
    assert one.max() < 100
    for other in ({"step": 1}, {"layer": 1}, {"image": 1}, {"seed": 2}):
        assert not np.array_equal(one, sample_positions(100, 0.3, **({"seed": 1, "step": 0, "layer": 0, "image": 0} | other)))


def test_every_self_attention_is_replaced_and_no_cross_attention(painters: dict[str, Path]) -> None:
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(painters["sdxl"] / "unet")
    count = use_consistent_attention(unet, TokenBank(rate=0.5, seed=0))
    ours = [name for name, processor in unet.attn_processors.items() if isinstance(processor, ConsistentSelfAttention)]
    assert len(ours) == count == sum(name.endswith("attn1.to_q") for name, _ in unet.named_modules())
    assert all("attn1" in name for name in ours)


def paint(painters: dict[str, Path], story: Story, **options: str) -> list[Keyframe]:
    painter = SdxlPainter(painters["sdxl"], StoryDiffusionOptions.parse(SMALL | {f"keyframes.{k}": v for k, v in options.items()}), "cpu")
    watch = Stopwatch("cpu")
    keyframes = painter.paint(story, SEEDS[: len(story.shots)], watch)
    assert [span.stage for span in watch.spans] == ["keyframe_text", "keyframe_denoise", "keyframe_decode"]
    return keyframes


@pytest.mark.parametrize("guidance", ["5.0", "1.0"])
def test_a_story_of_one_shot_equals_diffusers_own_pipeline(painters: dict[str, Path], story: Callable[..., Story], guidance: str) -> None:
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline

    one = story(1)
    pipeline = StableDiffusionXLPipeline.from_pretrained(painters["sdxl"], add_watermarker=False)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 4, 8, generator=torch.Generator().manual_seed(SEEDS[0]))
    expected = pipeline(
        one.shots[0].first_frame_prompt,
        height=32,
        width=64,
        num_inference_steps=2,
        guidance_scale=float(guidance),
        latents=noise,
        output_type="np",
    ).images
    found = paint(painters, one, guidance=guidance)
    assert found[0].pixels.shape == (32, 64, 3)
    np.testing.assert_allclose(found[0].pixels / 255, expected[0], atol=0.5 / 255 + 1e-5)


def test_later_images_follow_the_id_images_and_not_one_another(painters: dict[str, Path], story: Callable[..., Story]) -> None:
    """What each image depends on: the first two on each other; the rest on those two; nothing on a later one."""

    def pixels(*changed: int, shots: int = 4) -> list[np.ndarray]:
        made = story(shots, **{f"shot{index}": "a wide red park of snow" for index in changed})
        return [keyframe.pixels for keyframe in paint(painters, made, id_images="2")]

    base = pixels()
    assert all(np.array_equal(a, b) for a, b in zip(base[:2], pixels(shots=2), strict=True))
    same = {index: [np.array_equal(a, b) for a, b in zip(base, pixels(index), strict=True)] for index in (1, 2, 3)}
    assert same[1] == [False, False, False, False]
    assert same[2] == [True, True, False, True]
    assert same[3] == [True, True, True, False]


def test_consistent_attention_changes_the_pictures(painters: dict[str, Path], story: Callable[..., Story]) -> None:
    together, apart = (paint(painters, story(2), sampling_rate=rate) for rate in ("0.5", "0"))
    assert not np.array_equal(together[0].pixels, apart[0].pixels)
    alone = paint(painters, story(1))
    assert np.array_equal(apart[0].pixels, alone[0].pixels)


def test_half_precision_draws_nearly_the_same(painters: dict[str, Path], story: Callable[..., Story]) -> None:
    whole, half = (paint(painters, story(3), dtype=dtype, id_images="2") for dtype in ("float32", "bfloat16"))
    for one, other in zip(whole, half, strict=True):
        assert 0 < np.abs(one.pixels.astype(int) - other.pixels).mean() < 3


def test_a_prompt_that_is_too_long_is_said_to_be_cut(painters: dict[str, Path], story: Callable[..., Story]) -> None:
    keyframes = paint(painters, story(2, shot1="a fox " * 60))
    assert [keyframe.text_cut for keyframe in keyframes] == [False, True]


def test_from_script_to_films_and_a_resumed_run_equals_an_uninterrupted_one(filming: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    whole = filming("storydiffusion", out, "--set", "keyframes.id_images=2")
    assert whole.code == 0
    assert [record["n_frames"] for record in whole.shots.values()] == [5, 5, 5, 5]
    assert {record["notes"]["mode"] for record in whole.shots.values()} == {"i2v"}
    assert len({record["notes"]["keyframe"] for record in whole.shots.values()}) == 4
    drawing = ["keyframe_load", "keyframe_text", "keyframe_denoise", "keyframe_decode"]
    assert [span for span in whole.spans if span[1].startswith("keyframe")] == [("01_01", stage) for stage in drawing]
    for shot in ("01_03", "01_04"):
        (out / "shots" / "walk" / f"{shot}.json").unlink()
    again = filming("storydiffusion", out, "--set", "keyframes.id_images=2")
    assert again.code == 0
    for shot, record in whole.shots.items():
        assert again.shots[shot]["video"] == record["video"]
        assert again.shots[shot]["notes"]["keyframe"] == record["notes"]["keyframe"]
    redone = again.spans[len(whole.spans) :]
    assert [span for span in redone if span[1].startswith("keyframe")] == [("01_03", stage) for stage in drawing]
