"""Scoring: everything once, nothing twice, nothing dropped."""

from dataclasses import replace

import numpy as np
import pytest
from small_films import FakeEncoder, film

from metrics import features as features_module
from metrics.base import METRICS as REGISTERED
from metrics.base import Clip, StoryClips
from metrics.cache import FeatureCache
from metrics.features import FeatureSource
from metrics.protocols import PROTOCOLS, WORLD
from metrics.scoring import applicable, known_rows, score_films
from stbench.scores import aggregate
from stbench.world.render import render_shot
from stbench.world.spec import ShotTruth

LEFT_TO_OTHER_TESTS = {
    "entity_appearance",
    "gap_decay",
    "guarded_consistency",
    "join_appearance",
    "join_motion",
    "motion_magnitude",
    "motion_smoothness",
}
METRICS = tuple(metric for metric in WORLD.metrics if metric.name not in LEFT_TO_OTHER_TESTS)


class Table:
    """Stands in for the encoder registry."""

    def __init__(self, encoder):
        self.encoder = encoder

    def get(self, name):
        return self.encoder


@pytest.fixture
def encoder(monkeypatch):
    fake = FakeEncoder()
    monkeypatch.setattr(features_module, "ENCODERS", Table(fake))
    return fake


def score(films, *, folder=None, known=(), metrics=METRICS):
    source = FeatureSource(protocol="world", device="cpu", cache=FeatureCache(folder), known=known_rows(known))
    used, _ = applicable(metrics, films)
    return score_films(films, metrics=used, features=source), source


def values(rows):
    return {row.unit_id: (row.value, row.reason, row.key) for row in rows}


def test_each_shot_is_decoded_once_and_encoded_once_per_encoder(tmp_path, encoder):
    rows, source = score([film(tmp_path)])
    assert source.decoded == 3
    assert (encoder.calls["video"], encoder.calls["frames"]) == (3, 3)
    assert encoder.calls["texts"] == 4  # three prompts and the overview, each once for all metrics
    assert len(rows) == 4 + 3 * 3  # four metrics of the story, three of each shot
    assert all(row.value is not None for row in rows)
    spent = source.spent.to_json()
    assert sum(found["clips"] for found in spent.values()) == sum(source.encoded.values()) > 0
    assert all(found["seconds"] >= 0 for found in spent.values())
    assert "(decoding)" in spent


def test_a_second_scoring_reuses_rows_and_decodes_nothing(tmp_path, encoder):
    first, _ = score([film(tmp_path)])
    encoder.calls.clear()
    again, source = score([film(tmp_path)], known=first)
    assert values(again) == values(first)
    assert (source.decoded, encoder.calls) == (0, {})
    assert source.spent.to_json() == {}, "what is reused is never timed"


def test_cached_features_give_the_same_scores_without_the_rows(tmp_path, encoder):
    first, _ = score([film(tmp_path)], folder=tmp_path / "cache")
    encoder.calls.clear()
    again, source = score([film(tmp_path)], folder=tmp_path / "cache")
    assert values(again) == values(first)
    assert (source.decoded, encoder.calls) == (0, {})


def test_a_damaged_cache_is_made_again(tmp_path, encoder):
    first, _ = score([film(tmp_path)], folder=tmp_path / "cache")
    for path in (tmp_path / "cache").rglob("*.feature"):
        path.write_bytes(path.read_bytes()[:-3] + b"bad")
    again, source = score([film(tmp_path)], folder=tmp_path / "cache")
    assert values(again) == values(first)
    assert source.decoded == 3


def test_scores_depend_neither_on_the_order_of_films_nor_on_other_metrics(tmp_path, encoder):
    films = [film(tmp_path, name="a"), film(tmp_path, name="b")]
    together, _ = score(films)
    backwards, _ = score(films[::-1], metrics=METRICS[::-1])
    alone = [row for one in films for metric in METRICS for row in score([one], metrics=[metric])[0]]
    assert values(together) == values(backwards) == values(alone)


def test_other_weights_or_another_prompt_change_the_keys_that_they_touch(tmp_path, encoder):
    tale = film(tmp_path)
    before = values(score([tale])[0])
    shot = replace(tale.clips[1].shot, prompt="something else")
    other = replace(tale, clips=(tale.clips[0], replace(tale.clips[1], shot=shot), tale.clips[2]))
    after = values(score([other])[0])
    changed = {(metric, shot) for (_, metric, _, shot), row in after.items() if row[2] != before["world", metric, "tale", shot][2]}
    assert changed == {("cross_shot_consistency_top10", None), ("prompt_following_single_shot", "01_02")}
    encoder.weights = "2"
    retrained = values(score([tale])[0])
    same = {metric for (_, metric, _, shot), row in retrained.items() if row[2] == before["world", metric, "tale", shot][2]}
    assert same == {"temporal_flickering"}


def test_a_missing_shot_gives_reasons_and_a_lower_n(tmp_path, encoder):
    tale = film(tmp_path)
    short = replace(tale, clips=(*tale.clips[:2], Clip(shot=tale.clips[2].shot, reason="the shot was not made")))
    lines = {line.metric: line for line in aggregate(score([short])[0])}
    assert (lines["prompt_following_single_shot"].n_scored, lines["prompt_following_single_shot"].n_expected) == (2, 3)
    assert lines["prompt_following_single_shot"].reasons == {"the shot was not made": 1}
    assert lines["cross_shot_consistency"].mean is None
    assert lines["cross_shot_consistency"].reasons == {"1 of 3 shots missing: 01_03": 1}


def test_a_film_of_one_shot_has_no_cross_shot_consistency_but_other_scores(tmp_path, encoder):
    rows = {row.metric: row for row in score([film(tmp_path, shots=1)])[0]}
    assert rows["cross_shot_consistency"].reason == "the film has one shot: no pairs to compare"
    assert rows["cross_shot_consistency_top10"].reason == "the film has one shot: no pairs to compare"
    assert rows["subject_consistency"].value is not None


def test_a_shot_of_one_frame_has_a_reason_within_the_shot(tmp_path, encoder):
    rows = score([film(tmp_path, frames=1)])[0]
    assert {row.metric for row in rows if row.reason} == {"subject_consistency", "temporal_flickering"}


def test_an_unreadable_video_is_a_reason(tmp_path, encoder):
    tale = film(tmp_path)
    tale.clips[1].video.write_bytes(b"not a video")
    rows = score([tale])[0]
    reasons = {row.reason for row in rows if row.shot == "01_02"}
    assert reasons == {"the video cannot be decoded"}
    assert all(row.value is not None for row in rows if row.shot == "01_01")


def test_a_feature_that_is_not_finite_is_a_reason(tmp_path, encoder, monkeypatch):
    monkeypatch.setattr(encoder, "encode_video", lambda frames: np.full(3, np.nan, np.float32))
    rows = {row.metric: row for row in score([film(tmp_path)])[0]}
    assert "not finite" in rows["cross_shot_consistency"].reason


def test_scripts_without_truth_have_no_truth_rows(tmp_path, encoder):
    films = [film(tmp_path)]
    used, left_out = applicable(METRICS, films)
    assert left_out == [m.name for m in METRICS if m.name.startswith("truth_") or m.name == "entity_consistency"]
    assert len(used) == 7


def truth(**changes):
    facts = {"species": "cat", "place": "snow", "action": "jump", "size": "medium", "colour": "red", "accessory": "hat", "station": 1}
    return ShotTruth(**{**facts, **changes})


def world_film(tmp_path, told, shown):
    """A film whose script tells `told` and whose pixels show `shown`."""
    from stbench.keys import file_sha256
    from stbench.video import write_mp4

    tale = film(tmp_path, shots=len(told), truth=[t.to_json() for t in told])
    for clip, t in zip(tale.clips, shown, strict=True):
        write_mp4(clip.video, render_shot(t).frames, 8)
    clips = tuple(replace(clip, digest=file_sha256(clip.video)) for clip in tale.clips)
    return StoryClips(story=tale.story, clips=clips)


def test_truth_is_read_from_pixels_and_a_look_is_compared_with_the_first_one_shown(tmp_path, encoder):
    told = [truth(), truth(species="ghost", colour="blue", accessory="balloon", character=1), truth(place="city"), truth(size="wide")]
    shown = [truth(colour="green"), told[1], truth(place="beach", colour="green"), truth(size="wide", colour="red", accessory="scarf")]
    metrics = [m for m in METRICS if m.name.startswith("truth_")]
    rows = score([world_film(tmp_path, told, shown)], metrics=metrics)[0]
    found = {(row.metric, row.shot): row.value for row in rows}
    wrong = {unit for unit, value in found.items() if value == 0}
    assert wrong == {("truth_place", "01_03"), ("truth_colour_kept", "01_04"), ("truth_accessory_kept", "01_04")}
    assert {shot for metric, shot in found if metric == "truth_colour_kept"} == {"01_03", "01_04"}  # later shots only


def test_truth_of_another_picture_size_is_a_reason(tmp_path, encoder):
    told = [truth().to_json()] * 2
    rows = score([film(tmp_path, shots=2, truth=told)], metrics=[REGISTERED.get("truth_place")()])[0]
    assert rows[0].reason == "frames are 48x32: Story World's reader needs 80x48"


def test_protocols_and_metrics_are_registered_under_their_names():
    assert {name: REGISTERED.get(name).name for name in REGISTERED} == {name: name for name in REGISTERED}
    assert {metric.name for metric in WORLD.metrics} <= set(REGISTERED.names())
    assert PROTOCOLS.get("world") is WORLD
    for metric in WORLD.metrics:
        assert metric.version >= 1
        assert metric.range[0] < metric.range[1]
        assert metric.unit
        assert metric.source
