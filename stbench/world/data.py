"""Random truths and their captions: what the embedded models are trained on.

Looks are held out: for every species one colour-accessory pair in eight never occurs in training, so that a model which
keeps such a look at test time has read it from memory.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from stbench.world.spec import ACCESSORIES, ACTIONS, COLOURS, PLACES, SCROLLS, SIZES, SPECIES, STATIONS, ShotTruth

_START = {"right": (0,), "left": (2,), "jump": STATIONS, "closer": STATIONS}
_SIZE_WORDS = {"wide": "wide shot", "medium": "medium shot", "close": "close-up"}
_PLACE_WORDS = {"beach": "on the beach", "forest": "in the forest", "city": "in the city", "night": "at night", "snow": "in the snow"}
_ACTION_WORDS = {"right": "moves to the right", "left": "moves to the left", "jump": "jumps up and down", "closer": "comes closer"}
_TEMPLATES = (
    "{size} of a {who} {place}. The {species} {action}.",
    "A {who} {action} {place}, {size}.",
    "{place}, a {who} {action}. {size}.",
)


def held_out(species: str, colour: str, accessory: str) -> bool:
    """Whether this look is kept out of training: one of 8 per species and accessory."""
    return (list(COLOURS).index(colour) + 2 * ACCESSORIES.index(accessory) + 3 * SPECIES.index(species)) % 8 == 0


def random_look(rng: np.random.Generator, species: str, split: Literal["train", "held-out", "any"] = "train") -> tuple[str, str]:
    """A colour and an accessory for `species`."""
    looks = [(c, a) for c in COLOURS for a in ACCESSORIES if split == "any" or held_out(species, c, a) == (split == "held-out")]
    return looks[int(rng.integers(len(looks)))]


def random_staging(rng: np.random.Generator, *, species: str, colour: str, accessory: str, character: int = 0) -> ShotTruth:
    """A random shot of a given character."""
    action = str(rng.choice(ACTIONS))
    sizes = SIZES[:2] if action == "closer" else SIZES
    return ShotTruth(
        species=species,
        colour=colour,
        accessory=accessory,
        character=character,
        action=action,
        place=str(rng.choice(PLACES)),
        size=str(rng.choice(sizes)),
        station=int(rng.choice(_START[action])),
        scroll=int(rng.choice(SCROLLS)),
    )


def random_truth(rng: np.random.Generator, *, split: Literal["train", "held-out", "any"] = "train") -> ShotTruth:
    """A random shot of a random character."""
    species = str(rng.choice(SPECIES))
    colour, accessory = random_look(rng, species, split)
    return random_staging(rng, species=species, colour=colour, accessory=accessory)


def caption(truth: ShotTruth, rng: np.random.Generator | None = None, *, appearance: bool = False) -> str:
    """The prompt of a shot: species, place, action and shot size, never the look.

    Args:
        truth: The shot.
        rng: Chooses the wording; without it the first wording is used.
        appearance: Also say colour and accessory. For training metric encoders only.

    Example:
        >>> caption(ShotTruth(species="cat", place="snow", action="right", size="wide", colour="red", accessory="hat"))
        'Wide shot of a cat in the snow. The cat moves to the right.'
    """
    template = _TEMPLATES[int(rng.integers(len(_TEMPLATES)))] if rng is not None else _TEMPLATES[0]
    who = f"{truth.colour} {truth.species} with a {truth.accessory}" if appearance else truth.species
    text = template.format(
        size=_SIZE_WORDS[truth.size], who=who, species=truth.species, place=_PLACE_WORDS[truth.place], action=_ACTION_WORDS[truth.action]
    )
    return ". ".join(part[:1].upper() + part[1:] for part in text.split(". "))
