"""Entity consistency: only pairs of shots that share someone count."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_films import FakeEncoder, film

from metrics import features as features_module
from metrics.cache import FeatureCache
from metrics.cross_shot_appearance import shot_appearance
from metrics.entity_consistency import EntityConsistency, pairs_that_share
from metrics.features import FeatureSource
from stbench.video import read_mp4


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=3), max_size=8))
def test_pairs_are_those_with_someone_in_common(cast):
    wanted = [(i, j) for i, j in combinations(range(len(cast)), 2) if any(who in cast[j] for who in cast[i])]
    assert pairs_that_share(cast) == wanted


@pytest.fixture
def source(monkeypatch, tmp_path):
    fake = FakeEncoder()
    monkeypatch.setattr(features_module, "ENCODERS", type("Table", (), {"get": lambda self, name: fake})())
    return FeatureSource(protocol="world", device="cpu", cache=FeatureCache(None), known={})


def test_value_is_the_mean_over_shared_pairs_only(tmp_path, source):
    cast = [{"character": 0}, {"character": 1}, {"character": 0}, {"character": 1}]
    clips = film(tmp_path, shots=4, truth=cast)
    row = EntityConsistency().score(clips, source)[0]
    looks = [shot_appearance(FakeEncoder().encode_frames(read_mp4(clip.video)[0])) for clip in clips.clips]
    unit = [look / np.linalg.norm(look) for look in looks]
    assert row.value == pytest.approx((unit[0] @ unit[2] + unit[1] @ unit[3]) / 2, abs=1e-6)
    assert row.detail["pairs"] == 2


def test_a_film_in_which_nobody_returns_has_no_row(tmp_path, source):
    assert EntityConsistency().score(film(tmp_path, shots=2, truth=[{"character": 0}, {"character": 1}]), source) == []
    assert EntityConsistency().score(film(tmp_path, shots=2), source) == []
