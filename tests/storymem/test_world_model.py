"""The embedded weights: memory changes the picture towards what was remembered, and the loader proves the adapter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stbench.world.data import caption, random_staging, random_truth
from stbench.world.reader import read_shot
from stbench.world.render import render_shot
from storymem.generator import Generator, Take
from storymem.options import MemoryOptions, parse
from storymem.profiles import resolve

CASES = 5


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator(resolve("world"), "cpu")


def _distance(generator: Generator, prompt: str, seed: int, remembered: np.ndarray, frames: np.ndarray, mask: np.ndarray) -> float:
    """Root mean square difference to `frames` where the character stands, for a clip made with one remembered picture."""
    sampling = parse(MemoryOptions, {}, generator.profile).sampling(generator.profile, from_text=False)
    made = generator.take(Take(prompt=prompt, seed=seed, sampling=sampling, memory=generator.encode_image(remembered))).frames
    return float(np.sqrt(np.square(made[mask].astype(float) - frames[mask]).mean()))


def test_a_remembered_look_brings_the_film_nearer_to_it_than_another_look(generator: Generator) -> None:
    """Not one of these pairs, but their mean: single clips of the small model may go wrong."""
    rng, gains = np.random.default_rng(4), []
    for seed in range(CASES):
        seen = random_truth(rng, split="any")
        other = replace(seen, colour="cyan" if seen.colour in ("red", "orange", "yellow", "pink") else "red")
        wanted = random_staging(rng, species=seen.species, colour=seen.colour, accessory=seen.accessory)
        target = render_shot(wanted)
        right, wrong = (
            _distance(generator, caption(wanted), seed, render_shot(t).frames[0], target.frames, target.mask) for t in (seen, other)
        )
        gains.append(wrong - right)
    assert np.mean(gains) > 5  # grey levels


def test_text_alone_gives_the_place_the_action_and_the_shot_size(generator: Generator) -> None:
    rng, hits = np.random.default_rng(8), []
    sampling = parse(MemoryOptions, {}, generator.profile).sampling(generator.profile, from_text=True)
    for seed in range(CASES):
        truth = random_truth(rng)
        reading = read_shot(generator.take(Take(prompt=caption(truth), seed=seed, sampling=sampling)).frames)
        hits += [getattr(reading, name) == getattr(truth, name) for name in ("place", "action", "size")]
    assert np.mean(hits) >= 0.8


def test_the_adapter_proves_itself(generator: Generator) -> None:
    generator._load(from_text=False, adapter=True)
    proof = generator.proofs[0]
    assert (proof.modules, proof.rank, proof.scale) == (60, 64, 1.0)
    assert proof.update_norm > 1
