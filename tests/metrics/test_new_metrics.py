"""Gap decay, joins, the guard, motion and entities: arithmetic against loops, and what each must and must not see."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_films import film

from metrics.base import Clip, NoValueError, StoryClips
from metrics.cache import FeatureCache
from metrics.encoders.boxes import WorldTruthBoxes
from metrics.encoders.flow import BlockFlow, RaftLarge
from metrics.entity_crops import CROP_HW, EntityAppearance, cut_out, entity_features
from metrics.features import FeatureSource
from metrics.gap_decay import GapDecay, gap_curve, gap_slope
from metrics.guarded_consistency import GuardedConsistency, guarded_mean, is_copy, matches_prompt
from metrics.join_continuity import JoinAppearance, JoinMotion, speed_kept
from metrics.motion import motion_magnitude, motion_smoothness
from metrics.scoring import score_films
from stbench.keys import file_sha256
from stbench.video import write_mp4
from stbench.world.data import caption
from stbench.world.render import render_shot
from stbench.world.spec import ShotTruth

RNG = np.random.default_rng(0)


def cat(**changes):
    facts = {"species": "cat", "place": "snow", "action": "jump", "size": "medium", "colour": "red", "accessory": "hat", "station": 1}
    return ShotTruth(**{**facts, **changes})


def story(folder: Path, frames: list[np.ndarray], truths: list[ShotTruth], cuts: list[bool] | None = None) -> StoryClips:
    """A film of given pixels; prompts are the captions of given truths."""
    tale = film(folder, shots=len(frames), truth=[t.to_json() for t in truths])
    clips = []
    for i, (clip, pixels) in enumerate(zip(tale.clips, frames, strict=True)):
        write_mp4(clip.video, pixels, 8)
        shot = replace(clip.shot, prompt=caption(truths[i]), cut=cuts[i] if cuts else True)
        clips.append(Clip(shot=shot, video=clip.video, digest=file_sha256(clip.video)))
    return StoryClips(story=replace(tale.story, shots=tuple(clip.shot for clip in clips)), clips=tuple(clips))


def score(films, metric):
    source = FeatureSource(protocol="p", device="cpu", cache=FeatureCache(None), known={})
    return score_films([films], metrics=[metric], features=source)


def test_gap_slope_is_the_least_squares_line_and_the_curve_its_means():
    x = RNG.normal(size=(7, 7))
    matrix = x + x.T
    pairs = [(j - i, matrix[i, j]) for i, j in itertools.combinations(range(7), 2)]
    assert gap_slope(matrix) == pytest.approx(np.polyfit(*zip(*pairs, strict=True), 1)[0], abs=1e-12)
    for gap, value in enumerate(gap_curve(matrix), start=1):
        assert value == pytest.approx(np.mean([v for g, v in pairs if g == gap]))
    with pytest.raises(NoValueError, match="three shots"):
        gap_slope(np.eye(2))


def test_speed_is_kept_forwards_and_backwards_alike():
    a, b = RNG.uniform(1, 9, 8), RNG.uniform(1, 9, 8)
    assert speed_kept(a, b) == pytest.approx(speed_kept(b[::-1], a[::-1]))
    assert speed_kept(a, a[::-1]) == 1
    assert speed_kept(a, np.zeros(8)) < 0.1
    with pytest.raises(NoValueError, match="one frame"):
        speed_kept(a, np.zeros(0))


def test_joins_are_shots_that_go_on_and_see_a_jump_and_a_stop(tmp_path):
    before = cat(action="right", station=0)
    after = replace(before.end(), action="left", station=2)
    first, second = render_shot(before).frames, render_shot(after).frames[1:]
    stops = np.repeat(second[:1], 16, axis=0)
    other = render_shot(cat(place="city", colour="blue", species="ghost")).frames
    values = {}
    for name, follow in {"goes on": second, "stops": stops, "jumps": other}.items():
        tale = story(tmp_path, [first, follow, first], [before, after, before], [True, False, True])
        for metric in (JoinAppearance(), JoinMotion()):
            rows = score(tale, metric)
            assert [row.shot for row in rows] == ["01_02"]
            values[name, metric.name] = rows[0].value
    assert values["goes on", "join_motion"] > 0.5 > 0.1 > values["stops", "join_motion"]
    assert values["goes on", "join_appearance"] > 0.9 > 0.5 > values["jumps", "join_appearance"]


def test_a_shot_matches_if_its_own_prompt_is_better_than_the_others_are_on_average():
    similarity = RNG.uniform(size=(5, 5))
    prompts = ["a", "b", "a", "c", "d"]
    for i, found in enumerate(matches_prompt(similarity, prompts)):
        rest = [similarity[i, j] for j in range(5) if prompts[j] != prompts[i]]
        assert found == (similarity[i, i] > sum(rest) / len(rest))
    assert matches_prompt(similarity[:2, :2], ["a", "a"]).all()


def test_copies_are_known_by_features_and_by_how_they_move():
    profile = RNG.uniform(1, 5, 16)
    noisy = profile * RNG.uniform(0.99, 1.01, 16)
    assert is_copy(0.995, profile, noisy)
    assert is_copy(0.995, profile, noisy[1:])  # the first frame of a continuation is dropped
    assert not is_copy(0.9, profile, noisy)
    assert not is_copy(0.995, profile, profile[::-1])


def test_pairs_that_do_not_count_stay_in_the_mean():
    similarity = np.array([[1, 0.9, 0.8], [0.9, 1, -0.5], [0.8, -0.5, 1]])
    everything = np.ones((3, 3), bool)
    assert guarded_mean(similarity, everything) == pytest.approx((0.9 + 0.8 + 0) / 3)
    assert guarded_mean(similarity, everything & (np.arange(3) != 1)) == pytest.approx(0.8 / 3)


def test_frozen_and_copied_films_lose_to_a_true_one_under_the_guard_and_win_without_it(tmp_path):
    truths = [
        cat(),
        cat(place="city", action="right", station=0),
        cat(place="beach", size="wide", action="left", station=2),
        cat(size="close"),
    ]
    shown = [render_shot(t).frames for t in truths]
    films = {
        "true": shown,
        "frozen": [np.repeat(shown[0][:1], 17, axis=0)] * 4,
        "still": [np.repeat(frames[:1], 17, axis=0) for frames in shown],
        "copied": [shown[0]] * 4,
    }
    rows = {name: score(story(tmp_path, frames, truths), GuardedConsistency())[0] for name, frames in films.items()}
    assert rows["true"].value > 0.5
    assert rows["frozen"].value == rows["still"].value == rows["copied"].value == 0
    assert len(rows["still"].detail["still"]) == 4
    assert len(rows["copied"].detail["copies"]) == 6
    assert rows["true"].detail["pairs_that_count"] == 6
    assert rows["true"].encoder == "world-dino + world-clip"


@settings(max_examples=12, deadline=None)
@given(st.integers(-5, 5), st.integers(-5, 5), st.integers(0, 99))
def test_block_flow_finds_a_shifted_picture(x, y, seed):
    texture = np.random.default_rng(seed).integers(0, 256, (80, 112, 3), dtype=np.uint8)
    before, after = texture[16:64, 16:96], texture[16 - y : 64 - y, 16 - x : 96 - x]
    flow = BlockFlow().flow(np.stack([before, after]))
    assert flow.shape == (1, 6, 10, 2)
    np.testing.assert_allclose(flow[0, 1:-1, 1:-1] * 48, np.broadcast_to([x, y], (4, 8, 2)), atol=1e-5)


def test_flow_is_that_of_a_search_block_by_block():
    frames = np.random.default_rng(3).integers(100, 140, (3, 17, 25, 3), dtype=np.uint8)
    grey = np.stack([np.asarray(Image.fromarray(frame).convert("L"), float) for frame in frames])[:, :16, :24]
    flow = BlockFlow().flow(frames)
    assert flow.shape == (2, 2, 3, 2)
    for pair, row, column in np.ndindex(2, 2, 3):
        block, around = grey[pair, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8], np.pad(grey[pair + 1], 7, mode="edge")
        costs = {}
        for y, x in np.ndindex(15, 15):
            apart = np.abs(around[8 * row + y : 8 * row + y + 8, 8 * column + x : 8 * column + x + 8] - block).mean()
            costs[x - 7, y - 7] = apart + 0.25 * np.hypot(x - 7, y - 7)
        assert costs[tuple(np.rint(flow[pair, row, column] * 16).astype(int))] == pytest.approx(min(costs.values()), abs=1e-6)


def test_flow_is_in_frame_heights_whatever_the_size():
    small = render_shot(cat(action="right", station=0)).frames[:6]
    large = small.repeat(2, axis=1).repeat(2, axis=2)
    assert motion_magnitude(BlockFlow().flow(large)) == pytest.approx(motion_magnitude(BlockFlow().flow(small)), rel=0.25)
    assert motion_magnitude(BlockFlow().flow(np.repeat(small[:1], 4, axis=0))) == 0


def test_a_glide_is_smoother_than_a_jerk():
    glide = np.full((6, 2, 2, 2), 0.02)
    jerk = glide * np.array([1, -1] * 3).reshape(6, 1, 1, 1)
    half = glide * np.array([1, 0] * 3).reshape(6, 1, 1, 1)
    assert motion_smoothness(glide) == 1 > motion_smoothness(half) > motion_smoothness(jerk)
    assert motion_smoothness(np.zeros((4, 1, 1, 2))) == 1


def test_raft_loads_its_published_names_and_gives_flow_on_a_grid():
    from torchvision.models.optical_flow import raft_large

    torch.manual_seed(0)
    net = RaftLarge.build(raft_large(weights=None).state_dict())
    flow = RaftLarge(net, "cpu").flow(RNG.integers(0, 256, (2, 30, 40, 3), dtype=np.uint8))
    assert flow.shape == (1, 16, 21, 2)
    assert np.isfinite(flow).all()


def test_true_boxes_hold_the_character_and_scale_with_the_frames():
    truth = cat(action="right", station=0)
    shot = film_shot(truth)
    frames, mask = render_shot(truth).frames, render_shot(truth).mask
    boxes = WorldTruthBoxes().find(frames[[0, 9]], [0, 9], 17, shot, ["character 0"])
    for box, place in zip(boxes[:, 0], (0, 9), strict=True):
        left, top, right, bottom = box.astype(int)
        inside = np.zeros_like(mask[place])
        inside[top:bottom, left:right] = True
        assert not (mask[place] & ~inside).any()
        assert mask[place][top].any()
        assert mask[place][:, right - 1].any()
    double = frames.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(WorldTruthBoxes().find(double[[9]], [9], 17, shot, ["x"])[0], 2 * boxes[1])
    np.testing.assert_allclose(WorldTruthBoxes().find(frames[[9]], [8], 16, shot, ["x"])[0], boxes[1])
    with pytest.raises(NoValueError, match="81 frames"):
        WorldTruthBoxes().find(frames[:1], [0], 81, shot, ["x"])


def film_shot(truth):
    from stbench.story import Shot

    return Shot(index=0, scene=1, number=1, prompt="p", cut=True, truth=truth.to_json())


def test_an_entity_that_is_not_seen_is_a_row_of_zeros_and_a_sliver_is_not_seen():
    frames = RNG.integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    nan = np.full(4, np.nan)
    boxes = np.array([[[5, 5, 30, 30], nan, [1, 1, 3, 30]], [nan, nan, nan]], float)
    rows = entity_features(frames, boxes, lambda crops: np.ones((len(crops), 3)) / 3**0.5)
    assert rows.shape == (3, 3)
    assert np.linalg.norm(rows, axis=1).round(6).tolist() == [1, 0, 0]
    assert cut_out(frames[0], np.array([-9.0, 2, 80, 39])).shape == (*CROP_HW, 3)


def test_another_look_lowers_entity_appearance_and_another_place_does_not(tmp_path):
    look = [cat(), cat(place="city", action="right", station=0), cat(place="beach", size="wide")]
    swapped = [look[0], replace(look[1], colour="blue", accessory="balloon"), replace(look[2], colour="green", accessory="scarf")]
    moved = [look[0], replace(look[1], place="night"), replace(look[2], place="forest")]
    value = {}
    for name, truths in (("same", look), ("swapped", swapped), ("moved", moved)):
        row = score(story(tmp_path, [render_shot(t).frames for t in truths], look), EntityAppearance())[0]
        assert row.detail == {"pairs": 3, "found": 3, "not_found": 0}
        value[name] = row.value
    assert value["same"] - value["swapped"] > 0.2 > abs(value["same"] - value["moved"])
    assert EntityAppearance(detector="owlv2").units(film(tmp_path)) == []


def test_gap_decay_of_a_film_that_drifts_is_negative(tmp_path):
    colours = ["red", "red", "red", "blue", "blue", "blue"]
    truths = [cat(colour=c, place=p) for c, p in zip(colours, ("snow", "city", "beach") * 2, strict=True)]
    steady = [replace(t, colour="red") for t in truths]
    drift, kept = (score(story(tmp_path, [render_shot(t).frames for t in ts], ts), GapDecay())[0] for ts in (truths, steady))
    assert drift.value < -0.05
    assert drift.value < kept.value
    assert len(drift.detail["curve"]) == 5
