"""The stored world encoders: their contract, and whether they see what they are there to see."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metrics.cross_shot_appearance import shot_appearance
from metrics.cross_shot_consistency import mean_pair_similarity
from metrics.encoders.world import WorldClip, WorldDino
from stbench.encoders import ENCODERS
from stbench.errors import UserError
from stbench.stats import cluster_interval
from stbench.world.data import caption, random_look, random_truth
from stbench.world.render import render_shot
from stbench.world.spec import ShotTruth
from stbench.world.suite import generate

TURNED = {"right": {"action": "left", "station": 2}, "left": {"action": "right", "station": 0}}


@pytest.fixture(scope="module")
def clip():
    return WorldClip.load("cpu")


@pytest.fixture(scope="module")
def dino():
    return WorldDino.load("cpu")


@pytest.fixture(scope="module")
def frames():
    return render_shot(ShotTruth(species="cat", place="snow", action="right", size="wide", colour="red", accessory="hat")).frames


def test_registered_and_digested_without_loading():
    for name in ("world-clip", "world-dino"):
        kind = ENCODERS.get(name)
        assert kind.id == name
        assert len(kind.digest()) == 64
        assert kind.digest() == kind.digest()


@pytest.mark.parametrize("length", [1, 3, 16, 17, 81])
def test_unit_vectors_for_clips_of_any_length(clip, dino, frames, length):
    some = frames[np.arange(length) % len(frames)]
    assert np.linalg.norm(clip.encode_video(some)) == pytest.approx(1, abs=1e-5)
    feats = dino.encode_frames(some)
    assert feats.shape == (length, 96)
    assert feats.dtype == np.float32
    assert np.allclose(np.linalg.norm(feats, axis=1), 1, atol=1e-5)


def test_texts_do_not_depend_on_their_neighbours(clip):
    texts = ["A cat jumps up and down in the snow, wide shot.", "words nobody has heard", "", "a " * 100]
    together = clip.encode_texts(texts)
    assert np.allclose(together, np.concatenate([clip.encode_texts([t]) for t in texts]), atol=1e-6)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_larger_pictures_are_resized_with_antialiasing(clip, dino, frames):
    large = frames.repeat(4, axis=1).repeat(4, axis=2)
    assert clip.encode_video(large) @ clip.encode_video(frames) > 0.98
    assert (dino.encode_frames(large) * dino.encode_frames(frames)).sum(1).min() > 0.95


def test_frames_of_another_type_are_refused(clip):
    with pytest.raises(ValueError, match="expected uint8"):
        clip.encode_video(np.zeros((4, 48, 80, 3), np.float32))


def test_missing_weights_are_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(WorldDino, "folder", tmp_path)
    with pytest.raises(UserError, match=r"config.json: is missing; .*metrics.training"):
        WorldDino.digest()


def test_the_order_of_events_counts(clip):
    rng, right = np.random.default_rng(0), []
    while len(right) < 24:
        truth = random_truth(rng, split="any")
        if truth.action in ("right", "left"):
            frames = render_shot(truth).frames
            told, other = clip.encode_texts([caption(truth), caption(replace(truth, **TURNED[truth.action]))])
            forward, backward = clip.encode_video(frames), clip.encode_video(frames[::-1])
            right += [(forward - backward) @ (told - other) > 0]
    assert np.mean(right) > 0.9


def truths_of(script):
    return [ShotTruth.from_json(truth) for scene in script["scenes"] for truth in scene["truth"]]


def appearance(dino, truths):
    return mean_pair_similarity(np.stack([shot_appearance(dino.encode_frames(render_shot(truth).frames[::4])) for truth in truths]))


def test_films_that_keep_a_look_rank_above_films_that_change_it_in_every_shot(dino):
    rng = np.random.default_rng(0)
    changes = {}
    for name, script in list(generate("world").items())[:6]:
        kept = truths_of(script)
        looks = [random_look(rng, t.species, "any") for t in kept]
        changed = [replace(t, colour=colour, accessory=accessory) for t, (colour, accessory) in zip(kept, looks, strict=True)]
        changes[name] = [appearance(dino, kept) - appearance(dino, changed)]
    assert cluster_interval(changes).low > 0


def test_weights_are_small_and_their_cards_complete():
    folders = [Path(kind.folder) for kind in (WorldClip, WorldDino)]
    assert sum((folder / "model.safetensors").stat().st_size for folder in folders) < 4_000_000
    for folder in folders:
        assert json.loads((folder / "config.json").read_text())["network"]
        card = (folder / "MODEL_CARD.md").read_text()
        for word in ("seed", "steps", "sha256", "Measured quality", "Limits"):
            assert word in card
