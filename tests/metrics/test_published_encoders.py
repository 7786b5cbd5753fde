"""Encoders with published weights, loaded from tiny files under the published names; and what is said when the files are not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from metrics.aesthetic_quality import AestheticQuality
from metrics.background_consistency import BackgroundConsistency
from metrics.base import METRICS
from metrics.encoders import published, vbench, weights
from metrics.encoders.viclip_net import Viclip, ViclipConfig
from metrics.overall_consistency import OverallConsistency
from stbench.encoders import ENCODERS
from stbench.errors import UserError

ORACLE = Path(__file__).parent.parent / "oracle_metrics"
FRAMES = np.random.default_rng(0).integers(0, 256, (19, 48, 64, 3), dtype=np.uint8)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the local cache: <hub id>/<file>."""
    monkeypatch.setattr(weights, "cached", lambda hub_id, name: tmp_path / hub_id / name)
    monkeypatch.setenv("STBENCH_CACHE", str(tmp_path))
    return tmp_path


def put(hub: Path, kind: weights.Weights, state: dict[str, torch.Tensor]) -> Path:
    path = hub / (kind.hub_id or "") / kind.files[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


def tiny_clip() -> dict[str, torch.Tensor]:
    from open_clip.transformer import QuickGELU, VisionTransformer

    torch.manual_seed(0)
    tower = VisionTransformer(224, 32, 64, 2, 1, 4.0, output_dim=32, act_layer=QuickGELU)
    return {f"visual.{key}": value for key, value in tower.state_dict().items()} | {"logit_scale": torch.ones(())}


def tiny_dino() -> dict[str, torch.Tensor]:
    return {
        key.removeprefix("dino."): value for key, value in load_file(ORACLE / "stub_weights.safetensors").items() if key.startswith("dino.")
    }


def tiny_viclip() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    net = Viclip(ViclipConfig(patch=56, width=64, layers=1, heads=1, embedding=16, text_width=64, text_layers=1, text_heads=1))
    return {key: 0.1 * torch.randn_like(value) for key, value in net.state_dict().items()}


@pytest.mark.parametrize("name", ["clip-vit-b-32-openai", "dino-vit-b-16", "laion-aesthetic", "viclip-l-14"])
def test_missing_weights_are_one_message_with_licence_size_and_command(hub: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"not on this machine \(.+; .+\).*run: (hf download|curl)"):
        ENCODERS.get(name).load("cpu")  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="not on this machine"):
        ENCODERS.get(name).digest()  # type: ignore[attr-defined]


def test_frames_become_unit_vectors_whatever_the_batch(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for encoder, state in ((vbench.ClipB32, tiny_clip()), (vbench.DinoB16, tiny_dino())):
        put(hub, encoder.weights, state)
        loaded = encoder.load("cpu")
        whole = loaded.encode_frames(FRAMES)
        assert np.allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)
        monkeypatch.setattr(published, "FRAMES_PER_BATCH", 5)
        assert np.abs(loaded.encode_frames(FRAMES) - whole).max() < 1e-6
        assert np.abs(loaded.encode_frames(FRAMES[3:4])[0] - whole[3]).max() < 1e-6
        monkeypatch.undo()
        monkeypatch.setattr(weights, "cached", lambda hub_id, name: hub / hub_id / name)
        assert len(encoder.digest()) == 64


def test_ratings_by_hand(hub: Path) -> None:
    put(hub, vbench.LaionAesthetic.weights, tiny_clip())
    put(hub, vbench.ClipB32.weights, tiny_clip())
    head = {"weight": torch.randn(1, 32), "bias": torch.tensor([5.0])}
    path = put(hub, vbench.LaionAesthetic.head, head)
    ratings = vbench.LaionAesthetic.load("cpu").encode_frames(FRAMES)
    expected = (vbench.ClipB32.load("cpu").encode_frames(FRAMES) @ head["weight"][0].numpy() + 5.0) / 10
    assert ratings.shape == (len(FRAMES), 1)
    assert np.abs(ratings[:, 0] - expected).max() < 1e-6
    before = vbench.LaionAesthetic.digest()
    path.unlink()
    put(hub, vbench.LaionAesthetic.head, head | {"bias": torch.tensor([6.0])})
    assert vbench.LaionAesthetic.digest() != before


@pytest.mark.parametrize("frames", [1, 5, 19])
def test_viclip_reads_clips_of_any_length_and_texts(hub: Path, frames: int) -> None:
    put(hub, vbench.ViclipL14.weights, {"model": tiny_viclip()})
    encoder = vbench.ViclipL14.load("cpu")
    video = encoder.encode_video(FRAMES[:frames])
    assert video.shape == (16,)
    texts = encoder.encode_texts(["a cat", "word " * 90])
    assert np.abs(encoder.encode_texts(["a cat"])[0] - texts[0]).max() < 1e-6
    assert np.allclose(np.linalg.norm(np.vstack([texts, video[None]]), axis=1), 1, atol=1e-6)


def test_weights_that_do_not_fit_are_named(hub: Path) -> None:
    state = tiny_viclip()
    del state["vision_encoder.ln_pre.bias"]
    put(hub, vbench.ViclipL14.weights, state | {"vision_encoder.extra": torch.ones(1)})
    with pytest.raises(UserError, match=r"1 weights missing, 1 left over, first vision_encoder.ln_pre.bias"):
        vbench.ViclipL14.load("cpu")


def test_a_pickle_that_runs_code_is_refused(hub: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    path = hub / str(vbench.ViclipL14.weights.hub_id) / vbench.ViclipL14.weights.files[0]
    path.parent.mkdir(parents=True)
    torch.save({"model": Evil()}, path)
    with pytest.raises(UserError, match="cannot be read as weights"):
        vbench.ViclipL14.load("cpu")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("metric", [AestheticQuality, BackgroundConsistency, OverallConsistency])
def test_metrics_are_listed_and_their_encoders_exist(metric) -> None:
    assert METRICS.get(metric.name) is metric
    assert metric().need.encoder in ENCODERS.names()
