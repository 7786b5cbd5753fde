"""Keyframe search beyond the published answers (test_verify.py): what the paper variant mends, and what always holds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from published import facts

from storymem.keyframes import cosine, search

CASES = facts("keyframes")["cases"]


def always(frame: int) -> bool:
    return True


def test_the_paper_variant_sees_frame_1() -> None:
    embeddings = np.array(CASES["cut_at_frame1"]["embeddings"])
    assert search(embeddings, always).indices == (0, 1)
    assert search(embeddings, always, variant="release-2025-12").indices == (0, 2)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000), frames=st.integers(1, 20), maximum=st.integers(1, 4))
def test_never_too_many_and_always_in_order(seed: int, frames: int, maximum: int) -> None:
    embeddings = np.random.default_rng(seed).normal(size=(frames, 3))
    found = search(embeddings, always, maximum=maximum)
    assert 1 <= len(found.indices) <= maximum
    assert list(found.indices) == sorted(set(found.indices))
    assert found.indices[0] == 0


def test_scale_of_embeddings_does_not_matter() -> None:
    embeddings = np.array(CASES["drift_81"]["embeddings"])
    scaled = embeddings * np.linspace(0.1, 9, len(embeddings))[:, None]
    assert search(scaled, always) == search(embeddings, always)


def test_no_frame_passes_no_keyframe() -> None:
    assert search(np.eye(3), lambda frame: False).indices == ()


def test_cosine_against_numpy() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 4, 5))
    expected = [[x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in b] for x in a]
    assert np.allclose(cosine(a, b), expected)
