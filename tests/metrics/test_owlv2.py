"""The open-vocabulary detector: a tiny one through the code of the large one."""

import numpy as np
import pytest
import torch

from metrics.encoders import weights
from metrics.encoders.owlv2 import LEAST_SCORE, Owlv2, square
from metrics.entity_crops import EntityAppearance
from stbench.errors import UserError
from stbench.story import Shot

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 40, 64, 3), dtype=np.uint8)
SHOT = Shot(index=0, scene=1, number=1, prompt="p", cut=True, entities=("fox", "red_kite"))


@pytest.fixture
def owl(tmp_path, monkeypatch):
    """A detector of two layers, saved as the hub stores it."""
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    torch.manual_seed(0)
    text = {"vocab_size": 49408, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64}
    net = Owlv2ForObjectDetection(Owlv2Config(text_config=text, vision_config={**vision, "patch_size": 16}, projection_dim=16))
    folder = tmp_path / "snapshot"
    net.save_pretrained(folder)
    monkeypatch.setattr(weights, "cached", lambda hub_id, name: folder / name)
    return folder, net.eval()


def test_boxes_are_those_of_the_library_scaled_to_the_frame(owl):
    from metrics.encoders.clip_tokens import token_ids

    found = Owlv2.load().find(FRAMES, [0, 5], 9, SHOT, SHOT.entities)
    assert found.shape == (2, 2, 4)
    ids = torch.tensor([token_ids("a photo of a fox", 16), token_ids("a photo of a red kite", 16)])
    with torch.inference_mode():
        out = owl[1](input_ids=ids, attention_mask=(ids != 0).long(), pixel_values=square(FRAMES[1], 64, "cpu"))
    scores = out.logits[0].sigmoid()
    for n in range(2):
        assert np.isfinite(found[1, n]).all() == bool(scores[:, n].max() >= LEAST_SCORE)
        x, y, w, h = (out.pred_boxes[0][scores[:, n].argmax()] * 64).tolist()  # the padded square is as wide as the frame
        box = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]).clip(0, [64, 40, 64, 40])
        if np.isfinite(found[1, n]).all():
            np.testing.assert_allclose(found[1, n], box, atol=1e-3)
    assert np.isfinite(found).any()


def test_nobody_is_looked_for_where_the_script_names_nobody(owl):
    assert Owlv2.load().find(FRAMES, [0, 5], 9, SHOT, ()).shape == (2, 0, 4)


def test_padding_stands_at_the_right_and_bottom_and_is_grey():
    picture = square(np.full((20, 40, 3), 255, np.uint8), 40, "cpu")[0]
    assert (picture[:, :20] == picture[:, :1, :1]).all()
    assert (picture[:, 21:] == picture[:, -1:, -1:]).all()
    assert (picture[:, 0, 0] > picture[:, -1, -1]).all()


def test_it_is_found_by_its_name_and_its_absence_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "cached", lambda hub_id, name: None)
    assert EntityAppearance(encoder="dinov2-base", detector="owlv2").need.detector == "owlv2"
    with pytest.raises(UserError, match="hf download google/owlv2"):
        Owlv2.digest()
