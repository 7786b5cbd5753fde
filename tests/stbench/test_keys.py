from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stbench.keys import canonical_json, digest, story_keys
from stbench.seeds import shot_seed
from stbench.story import Shot, Story

IDENTITY = {"method": "m", "weights": "w"}
STORY = Story(
    id="s", name="S", overview="O", shots=tuple(Shot(index=k, scene=1, number=k + 1, prompt=f"p{k}", cut=k == 0) for k in range(4))
)


def keys(story: Story = STORY, identity=IDENTITY, seed: int = 0) -> list[str]:
    return story_keys(identity=identity, story=story, run_seed=seed)


def changed(index: int, **values) -> Story:
    return replace(STORY, shots=tuple(replace(shot, **values) if shot.index == index else shot for shot in STORY.shots))


@pytest.mark.parametrize("values", [{"prompt": "other"}, {"cut": True}, {"first_frame_prompt": "f"}, {"truth": {"place": "sea"}}])
def test_a_change_of_one_shot_changes_its_key_and_all_later_ones(values):
    assert [a == b for a, b in zip(keys(), keys(changed(2, **values)), strict=True)] == [True, True, False, False]


def test_everything_else_that_a_method_sees_changes_all_keys():
    others = [
        keys(identity={"method": "m", "weights": "x"}),
        keys(seed=1),
        keys(replace(STORY, id="t")),
        keys(replace(STORY, name="T")),
        keys(replace(STORY, overview="P")),
        keys(replace(STORY, extra={"a": 1})),
    ]
    assert all(a != b for other in others for a, b in zip(keys(), other, strict=True))


def test_a_longer_story_keeps_the_keys_of_its_beginning():
    assert keys(replace(STORY, shots=STORY.shots[:2])) == keys()[:2]


def test_a_method_that_sees_the_whole_story_has_keys_of_all_shots():
    whole = {**IDENTITY, "sees": "story"}
    assert all(a != b for a, b in zip(keys(identity=whole), keys(changed(3, prompt="other"), identity=whole), strict=True))
    assert keys(replace(STORY, shots=STORY.shots[:2]), identity=whole) != keys(identity=whole)[:2]
    assert keys(identity=whole) != keys()


def test_the_key_of_schema_1_is_pinned():
    """A change here makes every old run's shots unusable: raise KEY_SCHEMA, and say so in the changelog."""
    assert keys()[0] == "71d26714b4347c261af80842b75d917ed670c89b76792e39982a0ec6f81ecd43"


def test_seeds_are_63_bits_and_differ_by_story_shot_and_run():
    seeds = {shot_seed(run_seed=run, story=story, index=k) for run in range(3) for story in ("a", "b") for k in range(20)}
    assert len(seeds) == 120
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert shot_seed(run_seed=0, story="a", index=0) == 8159538606490937477


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.none()))
def test_the_digest_does_not_depend_on_the_order_of_fields(data):
    assert digest(data) == digest(dict(reversed(data.items())))


def test_nan_has_no_key():
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})
