"""Half precision: other keys, nearly the same scores, and the distance is written beside each."""

import numpy as np
import pytest
import torch
from small_films import film
from test_published_encoders import FRAMES, hub, put, tiny_dino, tiny_viclip  # noqa: F401

from metrics.cache import FeatureCache
from metrics.encoders import vbench
from metrics.encoders.half import InHalf
from metrics.features import FeatureSource
from metrics.motion import MotionMagnitude
from metrics.overall_consistency import OverallConsistency
from metrics.scoring import precision_remark, score_films
from metrics.subject_consistency import SubjectConsistency

METRICS = (SubjectConsistency(encoder="dino-vit-b-16"), OverallConsistency(), MotionMagnitude())


def score(films, half, folder=None):
    source = FeatureSource(protocol="p", device="cpu", cache=FeatureCache(folder), known={}, half=half)
    rows = score_films(films, metrics=METRICS, features=source, forget=False)
    return {(row.metric, row.story, row.shot): row for row in rows}, source


@pytest.fixture
def films(hub, tmp_path):  # noqa: F811
    put(hub, vbench.DinoB16.weights, tiny_dino())
    put(hub, vbench.ViclipL14.weights, {"model": tiny_viclip()})
    return [film(tmp_path, name=name) for name in ("one", "two")]


def test_half_precision_has_its_own_keys_and_says_how_far_it_is(films, tmp_path):
    full, whole = score(films, False)
    half, coarse = score(films, True, tmp_path / "cache")
    for unit, row in half.items():
        exact = full[unit]
        assert row.value is not None
        if unit[0] == "motion_magnitude":  # no network: the same row
            assert (row.key, row.value, row.detail) == (exact.key, exact.value, exact.detail)
            continue
        assert row.key != exact.key
        assert row.encoder_digest != exact.encoder_digest
        assert row.detail["precision"] == "bfloat16"
        assert row.value != exact.value
        assert "precision" not in exact.detail
        assert abs(row.value - exact.value) <= 4 * row.detail["half_deviation"] <= 0.1
    need, clip = METRICS[0].need, films[0].clips[0]
    apart = np.linalg.norm(coarse.clip(need, clip) - whole.clip(need, clip), axis=1).max()
    first = half["subject_consistency", "one", clip.shot.id]
    assert first.detail["half_deviation"] == pytest.approx(apart, abs=2e-6)
    assert f"{max(row.detail.get('half_deviation', 0) for row in half.values()):.5f}" in precision_remark(list(half.values()))


def test_a_second_scoring_from_the_cache_still_knows_the_deviation(films, tmp_path):
    first, _ = score(films, True, tmp_path / "cache")
    second, source = score(films, True, tmp_path / "cache")
    assert source.decoded == 0
    assert {unit: (row.key, row.value, row.detail) for unit, row in second.items()} == {
        unit: (row.key, row.value, row.detail) for unit, row in first.items()
    }


def test_texts_and_frame_choice_are_those_of_the_encoder(films):
    encoder = vbench.ViclipL14.load("cpu")
    half = InHalf(encoder, "cpu")
    assert np.array_equal(half.encode_texts(["a cat"]), encoder.encode_texts(["a cat"]))
    assert half.pick(40) == encoder.pick(40)
    assert half.deviation is None
    assert np.linalg.norm(half.encode_video(FRAMES) - encoder.encode_video(FRAMES)) == pytest.approx(half.deviation, abs=1e-7)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_half_is_float16(films):
    source = FeatureSource(protocol="p", device="cuda", cache=FeatureCache(None), known={}, half=True)
    rows = score_films(films, metrics=METRICS[:2], features=source)
    assert {row.detail["precision"] for row in rows} == {"float16"}
    assert max(row.detail["half_deviation"] for row in rows) < 0.01
