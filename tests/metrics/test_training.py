"""Training of the world encoders, in miniature: it learns, it repeats, it resumes."""

import json

import numpy as np
import pytest
import torch

from metrics.encoders.nets import motion_maps
from metrics.training import loop
from metrics.training.clip import ClipTask, overview, shared_targets, world_vocabulary
from metrics.training.data import FACTS, GROUP, augment, make_pool, to_clips, twin
from metrics.training.dino import DinoTask, contrast
from metrics.training.loop import Plan, fit, learning_rate
from stbench.world.data import held_out, random_truth


@pytest.fixture(scope="module")
def pool():
    return make_pool(16, seed=3)


class Small(DinoTask):
    batch = 8


def test_pools_repeat_and_hold_near_twins_with_training_looks_only(pool):
    again = make_pool(16, seed=3)
    assert pool.truths == again.truths
    assert np.array_equal(pool.frames, again.frames)
    for i, truth in enumerate(pool.truths):
        first = pool.truths[i - i % GROUP]
        assert sum(getattr(truth, fact) != getattr(first, fact) for fact in FACTS) <= 2
        assert not held_out(truth.species, truth.colour, truth.accessory)


def test_twins_stay_in_their_split():
    rng = np.random.default_rng(0)
    truth = random_truth(rng, split="held-out")
    twins = [twin(truth, rng, "held-out") for _ in range(20)]
    assert all(held_out(t.species, t.colour, t.accessory) for t in twins)


def test_augmentation_keeps_colour_and_repeats(pool):
    clips = to_clips(pool.frames[:4, :2])
    one, two = (augment(clips, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == clips.shape
    assert (one.mean((1, 3, 4)) - clips.mean((1, 3, 4))).abs().max() < 0.08


def test_clips_with_equal_facts_share_a_caption():
    targets = shared_targets(np.array([[0, 1], [2, 1], [0, 1]]))
    assert targets.tolist() == [[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]]


def test_contrast_equals_the_loop_and_leaves_out_pairs_that_look_alike():
    views = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    alike = torch.eye(3, dtype=torch.bool)
    alike[0, 1] = alike[1, 0] = True
    total = 0.0
    for i in range(6):
        own = (i + 3) % 6
        rivals = [j for j in range(6) if j == own or not alike[i % 3, j % 3]]
        logits = torch.stack([views[i] @ views[j] for j in rivals]) / 0.5
        total += float(logits.logsumexp(0) - views[i] @ views[own] / 0.5)
    assert float(contrast(views[:3], views[3:], alike, temperature=0.5)) == pytest.approx(total / 6, abs=1e-5)


def test_a_clip_that_stands_still_has_no_motion_and_its_reverse_is_told_apart(pool):
    clips = to_clips(pool.frames[:3, [1, 5, 9, 14]])
    maps = motion_maps(clips)
    assert maps.shape == (3, 240)
    assert motion_maps(clips[:, :1].repeat(1, 4, 1, 1, 1)).abs().max() < 1e-6
    assert torch.allclose(motion_maps(clips.flip(1)), maps.unflatten(1, (4, 60)).flip(1).flatten(1), atol=1e-6)


def test_the_vocabulary_knows_captions_and_overviews():
    words = world_vocabulary()
    assert len(words) <= 64
    assert 1 not in words.ids(overview(["cat", "ghost"], ["beach", "night"]), length=32)


def test_the_learning_rate_warms_up_and_ends_low():
    rates = [learning_rate(step, 200, 1.0) for step in range(200)]
    assert rates[0] < 0.1
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates[-1] < 0.02


def test_an_interrupted_training_ends_as_an_uninterrupted_one(pool, tmp_path, monkeypatch):
    torch.manual_seed(0)
    fit(Small(pool, seed=0), Plan(out=tmp_path / "a", seed=0, minutes=1, steps=4))

    monkeypatch.setattr(loop, "CHECKPOINT_S", 0.0)  # a checkpoint after every step
    broken = Small(pool, seed=0)
    steps = iter(range(3))
    monkeypatch.setattr(broken, "after_step", lambda progress: next(steps))  # raises in the middle of the fourth step
    with pytest.raises(StopIteration):
        fit(broken, Plan(out=tmp_path / "b", seed=0, minutes=1, steps=4))
    fit(Small(pool, seed=0), Plan(out=tmp_path / "b", seed=0, minutes=1, steps=4))

    ends = [torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["net"] for name in "ab"]
    assert all(torch.allclose(ends[0][name], ends[1][name], atol=1e-6) for name in ends[0])
    rows = [json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1])["loss"] for name in "ab"]
    assert rows[0] == rows[1]


def test_world_clip_learns_a_little_batch(pool):
    task = ClipTask(pool, seed=0)
    task.batch = 8
    optimizer = torch.optim.AdamW(task.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        loss, logs = task.loss(torch.Generator().manual_seed(0), 0.0)  # the same batch each time
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(logs["loss"])
    assert losses[-1] < 0.8 * losses[0]


def test_world_dino_learns_to_tell_near_twins_apart(pool):
    task = DinoTask(pool, seed=0)
    task.batch = 16
    optimizer = torch.optim.AdamW(task.parameters(), lr=1e-3)
    losses = []
    for step in range(24):
        loss, logs = task.loss(torch.Generator().manual_seed(step), 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(logs["loss"])
    assert np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4])
