"""Story World: the renderer agrees with the reader, continuations join, the bundled suites are what the generator writes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import stbench
from stbench.errors import UserError
from stbench.world.data import caption, held_out, random_truth
from stbench.world.reader import read_shot
from stbench.world.render import render_shot
from stbench.world.spec import ACCESSORIES, COLOURS, SPECIES, ShotTruth
from stbench.world.suite import SUITES, generate, write_suite

READ = ("place", "species", "action", "size", "colour", "accessory")
BUNDLED = Path(stbench.__file__).parent / "suites"


@pytest.mark.parametrize("seed", range(6))
def test_what_is_drawn_is_what_is_read(seed: int) -> None:
    rng = np.random.default_rng((3, seed))
    truth = random_truth(rng, split="any")
    frames = render_shot(truth).frames[seed % 2 :]  # every second one as a continuation, without its first frame
    reading = read_shot(frames)
    assert {k: getattr(reading, k) for k in READ} == {k: getattr(truth, k) for k in READ}
    assert reading.error < 1


def test_reading_survives_noise() -> None:
    rng = np.random.default_rng(0)
    truth = random_truth(rng)
    noisy = render_shot(truth).frames + rng.normal(0, 20, (17, 48, 80, 3))
    reading = read_shot(noisy.clip(0, 255).astype(np.uint8))
    assert {k: getattr(reading, k) for k in READ} == {k: getattr(truth, k) for k in READ}
    assert 15 < reading.error < 25  # the noise, clipped at the ends of the range


def test_reader_refuses_other_sizes() -> None:
    with pytest.raises(UserError, match="48, 80"):
        read_shot(np.zeros((17, 64, 64, 3), np.uint8))


@pytest.mark.parametrize("name", sorted(SUITES))
def test_bundled_scripts_are_what_the_generator_writes(name: str, tmp_path: Path) -> None:
    """If the world is changed on purpose: `stbench suite generate NAME --out stbench/suites/NAME` and raise VERSION."""
    fresh = write_suite(name, tmp_path / name)
    assert {p.name: p.read_bytes() for p in fresh.iterdir()} == {p.name: p.read_bytes() for p in (BUNDLED / name).iterdir()}


def test_world_suite_has_the_promised_shape() -> None:
    scripts = generate("world")
    scenes = [scene for script in scripts.values() for scene in script["scenes"]]
    lengths = [sum(len(s["cut"]) for s in script["scenes"]) for script in scripts.values()]
    assert (len(scripts), sum(lengths)) == (30, 300)
    assert (min(lengths), max(lengths)) == (8, 12)
    assert all(scene["cut"][0] for scene in scenes)
    share = sum(not cut for scene in scenes for cut in scene["cut"]) / 300
    assert 0.3 < share < 0.5
    casts = [{t["character"] for s in script["scenes"] for t in s["truth"]} for script in scripts.values()]
    assert sum(len(cast) == 2 for cast in casts) == 15


def test_prompts_never_tell_the_look() -> None:
    words = {*COLOURS, *ACCESSORIES}
    for script in generate("world").values():
        text = json.dumps([[s["video_prompts"], s["first_frame_prompt"]] for s in script["scenes"]]) + script["story_overview"]
        assert not words & set(text.lower().replace(".", " ").replace(",", " ").replace('"', " ").split())


def test_a_character_returns_after_absence_and_keeps_its_look() -> None:
    gaps = []
    for script in generate("world").values():
        truths = [ShotTruth.from_json(t) for s in script["scenes"] for t in s["truth"]]
        for who in {t.character for t in truths}:
            seen = [i for i, t in enumerate(truths) if t.character == who]
            gaps += [b - a - 1 for a, b in pairwise(seen)]
            assert len({(truths[i].species, truths[i].colour, truths[i].accessory) for i in seen}) == 1
    assert max(gaps) >= 3


def test_continuations_start_where_the_shot_before_ended() -> None:
    for script in generate("world-mini").values():
        shots = [(cut, ShotTruth.from_json(t)) for s in script["scenes"] for cut, t in zip(s["cut"], s["truth"], strict=True)]
        for (_, before), (cut, after) in pairwise(shots):
            if not cut:
                np.testing.assert_array_equal(render_shot(before).frames[-1], render_shot(after).frames[0])


def test_held_out_looks_never_occur_in_training() -> None:
    rng = np.random.default_rng(0)
    drawn = {(t.species, t.colour, t.accessory) for t in (random_truth(rng) for _ in range(3000))}
    kept_out = {(s, c, a) for s in SPECIES for c in COLOURS for a in ACCESSORIES if held_out(s, c, a)}
    assert not drawn & kept_out
    assert len(kept_out) == 20
    assert len(drawn) == 140


@pytest.mark.parametrize(
    ("change", "message"),
    [({"species": "dog"}, "species"), ({"action": "left"}, "cannot start"), ({"action": "closer", "size": "close"}, "closer")],
)
def test_impossible_truths_are_refused(change: dict[str, str], message: str) -> None:
    truth = ShotTruth(species="cat", place="snow", action="jump", size="wide", colour="red", accessory="hat")
    with pytest.raises(UserError, match=message):
        replace(truth, **change)


def test_truth_json_round_trip_names_strange_fields() -> None:
    truth = ShotTruth(species="cat", place="snow", action="jump", size="wide", colour="red", accessory="hat")
    assert ShotTruth.from_json(truth.to_json()) == truth
    with pytest.raises(UserError, match="unknown fields"):
        ShotTruth.from_json(truth.to_json() | {"mood": "glad"})
    with pytest.raises(UserError, match="lacks"):
        ShotTruth.from_json({"species": "cat"})


def test_wording_varies_but_says_the_same() -> None:
    truth = ShotTruth(species="car", place="night", action="closer", size="medium", colour="red", accessory="hat")
    texts = {caption(truth, np.random.default_rng(i)) for i in range(20)}
    assert len(texts) == 3
    assert all("car" in t and "night" in t.lower() and "comes closer" in t and "medium shot" in t.lower() for t in texts)
