"""Stories of Story World in ST-Bench's own JSON: the suites `world` (30 stories, 300 shots) and `world-mini` (3 stories).

Each story has one or two recurring characters of different species; every shot shows one of them. A character leaves for
some shots and returns; places return; a continuation (`cut` false) starts where the previous shot ended. Scripts are
functions of their number alone: generating them again gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stbench.errors import UserError
from stbench.world.data import caption, random_look, random_staging
from stbench.world.spec import PLACES, SPECIES, ShotTruth

VERSION = 1
LENGTHS = (8, 9, 10, 11, 12)
SUITES = {
    "world": ("Story World: 30 stories, 300 shots, one or two recurring characters whose look no prompt tells", range(30)),
    "world-mini": ("The first-look part of Story World: 3 short stories with one, two and one characters", range(100, 103)),
}
_TITLES = {"robot": "Robot", "cat": "Cat", "bird": "Bird", "car": "Little Car", "ghost": "Ghost"}
_PLACE_TITLES = {"beach": "at the Beach", "forest": "in the Forest", "city": "in the City", "night": "by Night", "snow": "in the Snow"}
_PLACE_TEXT = {"beach": "on the beach", "forest": "in the forest", "city": "in the city", "night": "at night", "snow": "in the snow"}


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One shot before it has words."""

    scene: int
    cut: bool
    truth: ShotTruth


def _cast(rng: np.random.Generator, number: int) -> list[ShotTruth]:
    """The characters, one for even and two for odd story numbers; every third story has looks unseen in training."""
    species = [str(s) for s in rng.permutation(SPECIES)[: 1 + number % 2]]
    cast: list[ShotTruth] = []
    for i, kind in enumerate(species):
        colour, accessory = random_look(rng, kind, "held-out" if number % 3 == 2 else "train")
        while any(colour == other.colour or accessory == other.accessory for other in cast):
            colour, accessory = random_look(rng, kind, "train")
        cast.append(random_staging(rng, species=kind, colour=colour, accessory=accessory, character=i))
    return cast


def continuation(rng: np.random.Generator, before: ShotTruth) -> ShotTruth:
    """A shot that starts exactly where `before` ended, with another action."""
    rest = before.end()
    legal = [a for a, ok in _legal(rest).items() if ok and a != before.action]
    return replace(rest, action=str(rng.choice(legal or ["jump"])))


def _legal(rest: ShotTruth) -> dict[str, bool]:
    return {"right": rest.station == 0, "left": rest.station == 2, "jump": True, "closer": rest.size != "close"}


def _plan(rng: np.random.Generator, number: int, length: int) -> list[Planned]:
    cast = _cast(rng, number)
    scenes = int(rng.integers(2, 5)) if length > 6 else 2
    starts = sorted({0, *(int(s) for s in rng.choice(np.arange(2, length - 1), scenes - 1, replace=False))})
    places = [str(p) for p in rng.permutation(PLACES)[:3]]
    shots: list[Planned] = []
    who = 0
    for k in range(length):
        scene = sum(s <= k for s in starts)
        place = places[(scene - 1) % len(places)]
        opening = k in starts
        if not opening and rng.random() < 0.52:
            shots.append(Planned(scene=scene, cut=False, truth=continuation(rng, shots[-1].truth)))
            continue
        if len(cast) > 1 and k > 0 and rng.random() < 0.6:
            who = 1 - who
        lead = cast[who]
        truth = random_staging(rng, species=lead.species, colour=lead.colour, accessory=lead.accessory, character=who)
        shots.append(Planned(scene=scene, cut=True, truth=replace(truth, place=place)))
    if len(cast) > 1 and len({s.truth.character for s in shots}) < 2:
        return _plan(rng, number, length)
    return shots


def _title(shots: list[Planned]) -> str:
    cast = list(dict.fromkeys(s.truth.species for s in shots))
    return "The " + " and the ".join(_TITLES[s] for s in cast) + " " + _PLACE_TITLES[shots[-1].truth.place]


def _script(number: int, length: int) -> dict[str, Any]:
    rng = np.random.default_rng((2512, 19539, number))
    return script_of(_plan(rng, number, length), rng)


def script_of(shots: list[Planned], rng: np.random.Generator) -> dict[str, Any]:
    """ST-Bench's JSON for planned shots, with their truth; `rng` chooses the wording."""
    cast = list(dict.fromkeys(s.truth.species for s in shots))
    places = list(dict.fromkeys(s.truth.place for s in shots))
    scenes = []
    for scene in range(1, shots[-1].scene + 1):
        part = [s for s in shots if s.scene == scene]
        prompts = [caption(s.truth, rng) for s in part]
        scenes.append(
            {
                "scene_num": scene,
                "video_prompts": prompts,
                "first_frame_prompt": [caption(s.truth).split(". ")[0] + "." for s in part],
                "cut": [s.cut for s in part],
                "truth": [s.truth.to_json() for s in part],
            }
        )
    return {
        "story_name": _title(shots),
        "story_overview": f"A {' and a '.join(cast)}. " + ", ".join(_PLACE_TEXT[p] for p in places).capitalize() + ".",
        "scenes": scenes,
    }


def generate(name: str) -> dict[str, dict[str, Any]]:
    """File name → script of a suite.

    Example:
        >>> scripts = generate("world")
        >>> len(scripts), sum(len(scene["cut"]) for script in scripts.values() for scene in script["scenes"])
        (30, 300)
    """
    if name not in SUITES:
        raise UserError(f"no such generated suite {name!r}", expected="one of: " + ", ".join(SUITES))
    numbers = SUITES[name][1]
    lengths = LENGTHS if len(numbers) > 5 else (6,)
    return {f"{name.removesuffix('-mini')}_{n:03d}.json": _script(n, lengths[n % len(lengths)]) for n in numbers}


def write_suite(name: str, folder: Path) -> Path:
    """Write the scripts of a suite and its `suite.json` (counts and sha256 of every file) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for file, script in generate(name).items():
        data = (json.dumps(script, indent=1, ensure_ascii=False) + "\n").encode()
        (folder / file).write_bytes(data)
        cuts = [cut for scene in script["scenes"] for cut in scene["cut"]]
        rows.append({"file": file, "sha256": hashlib.sha256(data).hexdigest(), "shots": len(cuts), "cuts": sum(cuts)})
    index = {"name": name, "version": VERSION, "description": SUITES[name][0], "licence": "CC0-1.0", "stories": rows}
    (folder / "suite.json").write_text(json.dumps(index, indent=1) + "\n")
    return folder
