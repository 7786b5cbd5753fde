"""What storydiffusion and ic-lora share: options, weights that are missing or damaged, identity, keyframes kept per story."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tiny_painters import SMALL, make_tiny_sdxl

from stbench.baselines import weights
from stbench.baselines.ic_lora import IcLora
from stbench.baselines.keyframed import Keyframe, Keyframed, KeyframedShots
from stbench.baselines.storydiffusion import COMPONENTS, PART, VAE, StoryDiffusion
from stbench.catalogue import catalogue
from stbench.errors import UserError
from stbench.methods import METHODS, ShotRequest, ShotResult
from stbench.story import Story
from storymem import hub
from storymem.first_frame import WanI2V
from storymem.profiles import WAN


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty-cache"))
    monkeypatch.delenv(hub.ENVIRONMENT, raising=False)


@pytest.fixture
def build(painters: dict[str, Path], wan: Path) -> Callable[..., Keyframed]:
    """A method by its name on the tiny models, with more options."""

    def make(name: str, **options: str) -> Keyframed:
        kind: Any = METHODS.get(name)
        places = {f"weights.{part}": str(painters[part]) for part in kind.repositories()}
        named = {key.replace("__", "."): value for key, value in options.items()}
        return kind.from_options(model=str(wan), options=SMALL | places | named)

    return make


@pytest.mark.usefixtures("nothing_here")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "storydiffusion",
            ["stable-diffusion-xl-base-1.0 (CreativeML Open RAIL++-M; about 6.9 GB)", "133 GB in all", "--include 'unet/*fp16*'"],
        ),
        (
            "ic-lora",
            [
                "FLUX.1-dev (FLUX.1 [dev] Non-Commercial License; accept it on its page",
                "about 34 GB",
                "--include 'film-storyboard.safetensors'",
            ],
        ),
    ],
)
def test_all_missing_weights_are_one_message(name: str, said: list[str]) -> None:
    with pytest.raises(UserError, match=rf"{name}: weights are not on this machine") as caught:
        METHODS.get(name).from_options(model=WAN.name, options={})
    message = str(caught.value)
    for part in (*said, "Wan-AI/Wan2.2-I2V-A14B-Diffusers (Apache-2.0; about 126 GB)", "hf download", "export STBENCH_MODELS=models"):
        assert part in message
    assert "T2V" not in message
    assert "StoryMem" not in message
    assert "\n" not in message


@pytest.mark.usefixtures("nothing_here")
def test_weights_in_the_folder_of_downloads_are_found(
    painters: dict[str, Path], wan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "stable-diffusion-xl-base-1.0").symlink_to(painters["sdxl"])
    monkeypatch.setenv(hub.ENVIRONMENT, str(tmp_path / "models"))
    assert StoryDiffusion.from_options(model=str(wan), options={}).places[PART].name == "stable-diffusion-xl-base-1.0"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("storydiffusion", {"keyframes__stesp": "3"}, "unknown option 'keyframes.stesp'.*did you mean 'keyframes.steps'"),
        ("storydiffusion", {"keyframes__sampling_rate": "1.5"}, r"keyframes\.sampling_rate = '1.5'"),
        ("storydiffusion", {"keyframes__width": "100"}, r"keyframes\.width = '100'"),
        ("storydiffusion", {"stesp": "3"}, "unknown option 'stesp'"),
        ("storydiffusion", {"weights__sdxl": "/nowhere"}, "--set weights.sdxl: '/nowhere' is not on this machine"),
        ("ic-lora", {"keyframes__overlap": "3"}, "keyframes.overlap is 3; expected fewer than the 3 panels"),
        ("ic-lora", {"keyframes__panels": "4"}, r"keyframes\.panels = '4'"),
        ("ic-lora", {"weights__storyboard": "."}, "film-storyboard.safetensors: file is missing"),
    ],
)
def test_bad_options_are_one_line(build: Callable[..., Keyframed], name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build(name, **options)
    assert "\n" not in str(caught.value)


def test_identity_covers_options_weights_and_animator_and_asks_for_the_whole_story(build: Callable[..., Keyframed], tmp_path: Path) -> None:
    base = build("storydiffusion").identity()
    assert base["sees"] == "story"
    assert base == build("storydiffusion").identity()
    assert str(tmp_path) not in json.dumps(base)
    changes: list[dict[str, str]] = [
        {"keyframes__sampling_rate": "0.4"},
        {"keyframes__steps": "3"},
        {"steps": "1"},
        {"weights__sdxl": str(make_tiny_sdxl(tmp_path / "half", half=True))},
    ]
    for options in changes:
        assert build("storydiffusion", **options).identity() != base
    assert set(build("ic-lora").identity()["keyframes"]["weights"]) == {"flux", "storyboard"}


def test_a_broken_download_is_said_before_anything_is_loaded(
    build: Callable[..., Keyframed], painters: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(painters["sdxl"], tmp_path / "sdxl"))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(UserError, match=r"not complete: 2 files missing.*hf download stabilityai/stable-diffusion-xl-base-1.0"):
        build("storydiffusion", weights__sdxl=str(folder))


@pytest.mark.parametrize("role", ["unet", "text_encoder", "vae"])
@pytest.mark.parametrize(
    ("change", "message"), [("drop", "1 weights missing"), ("add", "1 weights left over: stray"), ("cut", "cannot be loaded")]
)
def test_damaged_weights_are_one_line_and_nothing_is_left_random(
    painters: dict[str, Path], tmp_path: Path, role: str, change: str, message: str
) -> None:
    folder = Path(shutil.copytree(painters["sdxl"], tmp_path / "sdxl"))
    path = next((folder / role).glob("*.safetensors"))
    state = load_file(path)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        stray = {"stray.weight": next(iter(state.values())).clone()}
        kept = {name: value for name, value in state.items() if name != max(state)} if change == "drop" else state | stray
        save_file(kept, path, metadata={"format": "pt"})
    with weights.quiet(), pytest.raises(UserError, match=message) as caught:
        weights.load(folder, {role: {**COMPONENTS, **VAE}[role]}, dtype="float32")
    assert "\n" not in str(caught.value)


def test_half_precision_files_are_used_where_they_are(painters: dict[str, Path], tmp_path: Path) -> None:
    import torch

    both = make_tiny_sdxl(tmp_path / "both", half=True)
    whole = weights.digest(both, COMPONENTS)
    for role in ("unet", "text_encoder"):
        shutil.copy(next((painters["sdxl"] / role).glob("*.safetensors")), both / role)
    assert [path.name for path in weights.files(both / "unet")] == ["diffusion_pytorch_model.fp16.safetensors"]
    assert weights.digest(both, COMPONENTS) == whole  # files that are not read do not count
    with weights.quiet():
        unet = weights.load(both, {"unet": COMPONENTS["unet"]}, dtype="float32")["unet"]
    stored = load_file(both / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert torch.equal(unet.conv_in.weight, stored["conv_in.weight"].float())


def test_the_card_and_the_line_name_both_models_and_licences(build: Callable[..., Keyframed], painters: dict[str, Path], wan: Path) -> None:
    method = build("storydiffusion")
    card = method.card()
    shapes = [path for role in ("transformer", "transformer_2") for path in (wan / "i2v" / role).glob("*.safetensors")]
    drawn = sum(value.numel() for value in load_file(painters["sdxl"] / "unet" / "diffusion_pytorch_model.safetensors").values())
    assert card.parameters == drawn + sum(value.numel() for path in shapes for value in load_file(path).values())
    assert (card.base_model, card.licence, card.steps) == ("SDXL + tiny-wan", "CreativeML Open RAIL++-M; none", 2)
    assert "SDXL with consistent self-attention, 2 steps; weights: CreativeML Open RAIL++-M; then tiny-wan" in method.describe()
    assert "Non-Commercial" in build("ic-lora").describe()
    listed = dict(catalogue("methods"))
    assert "Open RAIL++-M" in listed["storydiffusion"]
    assert "non-commercial" in listed["ic-lora"]


def test_shots_without_a_first_frame_prompt_are_counted(build: Callable[..., Keyframed], story: Callable[..., Story]) -> None:
    whole = story(3)
    assert build("storydiffusion").story_notes(whole) is None
    some = replace(whole, shots=(*whole.shots[:2], replace(whole.shots[2], first_frame_prompt=None)))
    assert "walk: 1 of 3 shots have no first-frame prompt" in (build("storydiffusion").story_notes(some) or "")


class Counting(Keyframed):
    """A painter that counts, without a model."""

    name, version, base_model, licence, about = "counting", 1, "none", "none", "nothing"

    def __init__(self) -> None:
        self.painted: list[str] = []

    def painter(self, device: str) -> Any:
        return self

    def paint(self, story: Story, seeds: Any, watch: Any) -> list[Keyframe]:
        self.painted.append(story.id)
        return [Keyframe(pixels=np.full((2, 2, 3), seed, np.uint8), text_cut=False) for seed in seeds]


class Still:
    """An animator that holds its first frame."""

    def __init__(self) -> None:
        self.gone = 0

    @contextmanager
    def away(self) -> Any:
        self.gone += 1
        yield

    def animate(self, request: ShotRequest, first_frame: np.ndarray) -> ShotResult:
        return ShotResult(frames=first_frame[None], fps=8)


def test_keyframes_are_drawn_once_per_story_and_seeds(story: Callable[..., Story]) -> None:
    method, animator = Counting(), Still()
    maker: Any = KeyframedShots(method, animator, "cpu")  # type: ignore[arg-type]

    def film(made: Story, seeds: tuple[int, ...]) -> list[int]:
        requests = [ShotRequest(story=made, shot=shot, seed=seeds[shot.index], seeds=seeds) for shot in made.shots]
        return [int(maker.shot(request).frames[0, 0, 0, 0]) for request in requests]

    assert film(story(3), (1, 2, 3)) == [1, 2, 3]
    assert (method.painted, animator.gone) == (["walk"], 1)
    assert film(story(3), (4, 5, 6)) == [4, 5, 6]
    assert film(story(3, shot2="another"), (4, 5, 6)) == [4, 5, 6]
    assert len(method.painted) == 3
    with pytest.raises(UserError, match="counting, story walk: 0 seeds for 3 shots"):
        maker.shot(ShotRequest(story=story(3), shot=story(3).shots[0], seed=1))  # a caller that knows no seeds


def test_image_to_video_needs_one_base_only(wan: Path, tmp_path: Path) -> None:
    """The published image-to-video base holds text encoder, tokenizer and VAE too; nothing of the text-to-video base is asked for."""
    base = Path(shutil.copytree(wan / "i2v", tmp_path / "Wan2.2-I2V-A14B-Diffusers"))
    for role in ("text_encoder", "tokenizer", "vae"):
        shutil.copytree(wan / "t2v" / role, base / role)
    animator = WanI2V.from_options(model=WAN.name, options={"weights.m2v": str(base)})
    assert animator.model.t2v == animator.model.m2v == base
    assert animator.model.lora == ()
    assert (animator.options.shift, animator.licence) == (5.0, "Apache-2.0 (Wan2.2)")
    assert IcLora.animated_by == StoryDiffusion.animated_by == "wan-i2v"
