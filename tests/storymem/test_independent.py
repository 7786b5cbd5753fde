"""Independent and chained shots against diffusers' own Wan pipelines, on a tiny Wan2.2 with two experts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_wan import TinyWan, copy

from stbench.methods import FinishedShot, ShotRequest, ShotResult
from stbench.story import Shot, Story
from storymem.denoise import flow_schedule
from storymem.first_frame import WanI2V
from storymem.images import read_image
from storymem.independent import WanI2VChain, WanT2V

STEPS, GUIDANCE = 4, {"guidance": (2.0, 3.0), "guidance_t2v": (2.5, 3.5)}  # low-noise, high-noise expert
OPTIONS = {"steps": str(STEPS)} | {key: f"{low},{high}" for key, (low, high) in GUIDANCE.items()}
STORY = Story(
    id="walk",
    name="Walk",
    overview="a walk",
    shots=tuple(Shot(index=i, scene=i + 1, number=1, prompt=text, cut=True) for i, text in enumerate(("a cat sits", "a dog runs on snow"))),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TinyWan().diffusers(tmp_path_factory.mktemp("wan") / "tiny")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A frame of the film's size."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "last.png")
    return tmp_path / "last.png"


def shoot(method: WanT2V, index: int, tail: tuple[Path, ...] = ()) -> tuple[ShotResult, Any]:
    """One shot, and the text embeddings (with and without prompt) that it was made from."""
    shot = STORY.shots[index]
    finished = tuple(FinishedShot(shot=done, video=Path("unused.mp4"), tail=tail) for done in STORY.shots[:index])
    with method.open("cpu") as maker:
        result = maker.shot(ShotRequest(story=STORY, shot=shot, seed=7 + index, finished=finished))
        generator = maker.generator
        return result, [generator._text(text)[None] for text in (shot.prompt, generator.profile.negative_prompt)]


def pipeline(kind: str, model: Path, base: str, *, shift: float, boundary: float, texts: Any, seed: int, **more: Any) -> np.ndarray:
    """What diffusers' pipeline makes of the same noise, texts, schedule and experts: (F, H, W, 3) in 0 .. 1."""
    import diffusers

    low, high = GUIDANCE["guidance" if base == "i2v" else "guidance_t2v"]
    experts = {role: diffusers.WanTransformer3DModel.from_pretrained(model / base / role) for role in ("transformer", "transformer_2")}
    vae = diffusers.AutoencoderKLWan.from_pretrained(model / "t2v" / "vae")
    scheduler = flow_schedule(STEPS, shift)
    scheduler.set_timesteps = lambda *_, **__: None  # the published schedule is set; the pipeline would set diffusers' own
    parts = {"vae": vae, "scheduler": scheduler, "boundary_ratio": boundary, "tokenizer": None, "text_encoder": None, **experts}
    if base == "i2v":
        parts |= {"image_encoder": None, "image_processor": None}
    running = getattr(diffusers, kind)(**parts)
    running.set_progress_bar_config(disable=True)
    made = running(
        prompt_embeds=texts[0],
        negative_prompt_embeds=texts[1],
        height=16,
        width=32,
        num_frames=5,
        num_inference_steps=STEPS,
        guidance_scale=high,
        guidance_scale_2=low,
        latents=torch.randn(16, 2, 2, 4, generator=torch.Generator().manual_seed(seed))[None],
        output_type="np",
        **more,
    )
    frames: np.ndarray = made.frames[0]
    return frames


def experts_of(result: ShotResult) -> set[str]:
    return {name for span in result.spans if span.stage == "denoise" for name in span.detail["experts"]}


def test_independent_shots_equal_diffusers_pipeline_with_both_experts(model: Path) -> None:
    result, texts = shoot(WanT2V.from_options(model=str(model), options=OPTIONS), 1)
    expected = pipeline("WanPipeline", model, "t2v", shift=8.0, boundary=0.875, texts=texts, seed=8)
    np.testing.assert_allclose(result.frames / 255, expected, atol=1.01 / 255)
    assert np.abs(result.frames / 255 - expected).mean() < 0.3 / 255  # rounding only
    assert len(experts_of(result)) == 2


def test_a_chained_shot_equals_diffusers_image_to_video_from_the_last_frame(model: Path, picture: Path) -> None:
    result, texts = shoot(WanI2VChain.from_options(model=str(model), options=OPTIONS), 1, (picture,))
    image = Image.open(picture)
    expected = pipeline("WanImageToVideoPipeline", model, "i2v", shift=4.0, boundary=0.9, texts=texts, seed=8, image=image)
    assert result.frames.shape == (4, 16, 32, 3)  # the frame that it starts from is the shot's before
    np.testing.assert_allclose(result.frames / 255, expected[1:], atol=1.01 / 255)
    assert np.abs(result.frames / 255 - expected[1:]).mean() < 0.3 / 255
    assert len(experts_of(result)) == 2


def test_a_shot_from_its_own_first_frame_keeps_that_frame(model: Path, picture: Path) -> None:
    chained, _ = shoot(WanI2VChain.from_options(model=str(model), options=OPTIONS), 1, (picture,))
    request = ShotRequest(story=STORY, shot=STORY.shots[1], seed=8)
    with WanI2V.from_options(model=str(model), options=OPTIONS).open("cpu") as maker:
        result = maker.animate(request, read_image(picture))
        with maker.away():
            pass
        again = maker.animate(request, read_image(picture))
    assert result.frames.shape == (5, 16, 32, 3)
    assert np.array_equal(result.frames[1:], chained.frames)
    assert np.array_equal(result.frames, again.frames)


@pytest.mark.parametrize("expert", ["transformer", "transformer_2"])
@pytest.mark.parametrize(("kind", "base"), [(WanT2V, "t2v"), (WanI2VChain, "i2v")])
def test_either_expert_changes_the_picture(
    model: Path, picture: Path, tmp_path: Path, kind: Callable[..., Any], base: str, expert: str
) -> None:
    from diffusers import WanTransformer3DModel

    spoilt = copy(model, tmp_path / "model")
    network = WanTransformer3DModel.from_pretrained(spoilt / base / expert)
    torch.nn.init.zeros_(network.proj_out.weight)
    network.save_pretrained(spoilt / base / expert)
    whole, other = (shoot(kind.from_options(model=str(path), options=OPTIONS), 1, (picture,))[0] for path in (model, spoilt))  # type: ignore[attr-defined]
    assert not np.array_equal(whole.frames, other.frames)


def test_the_chain_goes_on_over_cuts_and_starts_anew_only_where_a_shot_is_missing(model: Path, picture: Path) -> None:
    method = WanI2VChain.from_options(model=str(model), options=OPTIONS)
    assert all(shot.cut for shot in STORY.shots)
    assert [shoot(method, index, (picture,))[0].notes["mode"] for index in (0, 1)] == ["t2v", "i2v"]
    with method.open("cpu") as maker:
        alone = maker.shot(ShotRequest(story=STORY, shot=STORY.shots[1], seed=8))
    assert alone.notes["mode"] == "t2v"


def damaged(model: Path, folder: Path, part: str) -> Path:
    """A copy of a model with one weight of `part` changed."""
    from safetensors.torch import load_file, save_file

    copied = copy(model, folder)
    path = next((copied / part).rglob("*.safetensors"))
    state = load_file(path)
    name = sorted(state)[0]
    save_file(state | {name: state[name] + 1}, path)
    return copied


@pytest.mark.parametrize(("kind", "bases"), [(WanT2V, {"t2v"}), (WanI2VChain, {"t2v", "i2v"}), (WanI2V, {"t2v", "i2v"})])
def test_a_shot_without_memory_is_the_same_whatever_the_memory_adapter_and_another_on_another_base(
    model: Path, tmp_path: Path, kind: Callable[..., Any], bases: set[str]
) -> None:
    def identity(folder: Path) -> Any:
        return kind.from_options(model=str(folder), options=OPTIONS).identity()  # type: ignore[attr-defined]

    before = identity(model)
    assert identity(damaged(model, tmp_path / "lora", "lora")) == before
    for base in ("t2v", "i2v"):
        changed = identity(damaged(model, tmp_path / base, f"{base}/transformer_2"))
        assert (changed != before) is (base in bases)


def test_a_chain_on_a_model_whose_first_frame_shots_run_with_the_adapter_depends_on_it(model: Path, picture: Path, tmp_path: Path) -> None:
    changed = copy(model, tmp_path / "with")
    profile = json.loads((changed / "profile.json").read_text())
    (changed / "profile.json").write_text(json.dumps(profile | {"i2v_uses_lora": True}))
    chains = [
        WanI2VChain.from_options(model=str(path), options=OPTIONS)
        for path in (model, changed, damaged(changed, tmp_path / "other", "lora"))
    ]
    films = [shoot(method, 1, (picture,))[0].frames for method in chains]
    assert not any(np.array_equal(films[a], films[b]) for a, b in ((0, 1), (1, 2)))
    assert len({json.dumps(method.identity()) for method in chains}) == 3
    assert chains[0].card().parameters != chains[1].card().parameters
