"""A score depends on nothing but its inputs: not on batches, order, workers, the cache, or which other metrics ran."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_films import film

from metrics import collectors, decoding
from metrics.cache import FeatureCache
from metrics.features import FeatureSource
from metrics.protocols import WORLD
from metrics.scoring import applicable, sampling_remark, score_films
from stbench.world.render import render_shot
from stbench.world.spec import ShotTruth

METRICS = WORLD.metrics


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two films of Story World and one of noise, one shot of which is there twice."""
    from dataclasses import replace

    from stbench.keys import file_sha256
    from stbench.video import write_mp4

    folder = tmp_path_factory.mktemp("films")
    made = []
    for number, species in enumerate(("cat", "robot")):
        truths = [
            ShotTruth(species=species, place=place, action="jump", size="medium", colour="red", accessory="hat", station=1)
            for place in ("snow", "city", "beach")
        ]
        tale = film(folder, name=f"tale{number}", truth=[truth.to_json() for truth in truths])
        for clip, truth in zip(tale.clips, truths, strict=True):
            write_mp4(clip.video, render_shot(truth).frames, 8)
        made.append(replace(tale, clips=tuple(replace(clip, digest=file_sha256(clip.video)) for clip in tale.clips)))
    noise = film(folder, name="noise", frames=33)
    twice = replace(noise.clips[2], video=noise.clips[0].video, digest=noise.clips[0].digest)
    return [*made, replace(noise, clips=(*noise.clips[:2], twice))]


def score(films, *, metrics=METRICS, folder=None, workers=1, policy="all"):
    source = FeatureSource(protocol="p", device="cpu", cache=FeatureCache(folder), known={}, policy=policy)
    used, _ = applicable(metrics, films)
    rows = score_films(films, metrics=used, features=source, workers=workers)
    return {(row.metric, row.encoder, row.story, row.shot): row for row in rows}, source


@pytest.fixture(scope="module")
def reference(films):
    rows, _ = score(films)
    assert sum(row.value is not None for row in rows.values()) > 60
    return rows


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(batch=st.sampled_from([1, 3, 16, 40]), workers=st.sampled_from([1, 2, 4]), seed=st.integers(0, 999), warm=st.booleans())
def test_scores_do_not_depend_on_how_they_were_computed(films, reference, tmp_path_factory, batch, workers, seed, warm):
    shuffle = random.Random(seed)
    order = shuffle.sample(films, len(films))
    metrics = shuffle.sample(METRICS, shuffle.randint(1, len(METRICS)))
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "BATCH", batch)
        patch.setattr(collectors, "BATCH", batch)
        if warm:
            score(order[:2], metrics=shuffle.sample(METRICS, 3), folder=folder)
        found, _ = score(order, metrics=metrics, folder=folder, workers=workers)
    for unit, row in found.items():
        expected = reference[unit]
        assert (row.reason, row.key, row.encoder_digest) == (expected.reason, expected.key, expected.encoder_digest)
        assert row.value == pytest.approx(expected.value, abs=1e-6)


def test_each_clip_is_decoded_once_whatever_is_computed_from_it(films, reference):
    _, source = score(films, workers=2)
    assert source.decoded == 8  # nine shots, two of them the same file
    assert set(source.encoded.values()) <= {8, 6}  # readers and entity pairs only where there is truth


def test_some_frames_give_other_keys_a_near_value_and_say_what_they_risk(films, reference):
    sampled, _ = score(films, policy="auto")
    unit = ("subject_consistency", "world-dino", "noise", "01_02")
    row, exact = sampled[unit], reference[unit]
    assert row.key != exact.key
    assert row.encoder_digest != exact.encoder_digest  # so that a comparison refuses the two
    assert abs(row.value - exact.value) <= 0.005
    assert row.detail["frames_encoded"] < row.detail["frames"] == 33
    assert abs(row.value - exact.value) <= row.detail["risk"] <= 0.005
    assert "the largest error it risks is 0.00" in sampling_remark(list(sampled.values()))
    same = ("temporal_flickering", None, "noise", "01_02")
    assert sampled[same].key == reference[same].key
