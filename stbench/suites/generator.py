"""Story World suites of any size: how many stories, shots and characters, and for how many shots the first character is away.

A story is a function of its number, the plan and the seed alone, and is written before the next is made, so memory stays flat. Prompts
tell species, place, action and shot size, never the look; what is really in the picture stands in `truth`, as in the suite `world`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.errors import UserError
from stbench.suites.index import entry_row, write_index

if TYPE_CHECKING:
    import numpy as np

    from stbench.world.spec import ShotTruth
    from stbench.world.suite import Planned

VERSION = 1
MAX_STORIES, MAX_STORY_SHOTS = 10_000, 1_000
CONTINUES = 0.45  # chance that a shot of the character before goes on without a cut
SCENE_SHOTS = (3, 6)  # shots of a scene, at least and at most


@dataclass(frozen=True, kw_only=True)
class WorldPlan:
    """Size and difficulty.

    Args:
        stories: How many.
        shots: Of each story.
        characters: Of each story, each of another species.
        gap: For how many shots the first character is away, again and again; 0 leaves it to chance.
        seed: Other stories of the same plan.
    """

    stories: int
    shots: int
    characters: int = 2
    gap: int = 0
    seed: int = 0

    def check(self) -> None:
        """A `UserError` for a plan that has no stories."""
        from stbench.world.spec import SPECIES

        ranges = {"stories": (1, MAX_STORIES), "shots": (2, MAX_STORY_SHOTS), "characters": (1, len(SPECIES)), "gap": (0, self.shots - 2)}
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"{value} {name}" if name != "gap" else f"a gap of {value}", where=f"--{name}", expected=f"{low} to {high}")
        if self.gap and self.characters < 2:
            found = f"a gap of {self.gap} with one character"
            raise UserError(found, where="--gap", expected="--characters 2 or more: somebody must be seen")

    @property
    def name(self) -> str:
        """Name of the suite: it says everything that its scripts depend on."""
        return f"world-{self.stories}x{self.shots}-c{self.characters}-g{self.gap}-s{self.seed}"


def world_script(plan: WorldPlan, number: int) -> dict[str, Any]:
    """One story of a plan, as ST-Bench's JSON.

    Example:
        >>> script = world_script(WorldPlan(stories=1, shots=9, characters=3, gap=3), 0)
        >>> [t["character"] for scene in script["scenes"] for t in scene["truth"]].count(0)
        3
    """
    import numpy as np

    from stbench.world.suite import script_of

    rng = np.random.default_rng((2512, 19539, 9, plan.seed, plan.shots, plan.characters, plan.gap, number))
    return script_of(_plan(plan, rng), rng)


def _plan(plan: WorldPlan, rng: np.random.Generator) -> list[Planned]:
    from stbench.world.data import random_staging
    from stbench.world.spec import PLACES
    from stbench.world.suite import Planned, continuation

    cast = _cast(plan.characters, rng)
    places = [str(place) for place in rng.permutation(PLACES)]
    shots: list[Planned] = []
    scene, left = 0, 0
    for k in range(plan.shots):
        opening = left == 0
        if opening:
            scene, left = scene + 1, int(rng.integers(SCENE_SHOTS[0], SCENE_SHOTS[1] + 1))
        left -= 1
        who = _who(plan, k, rng)
        same = bool(shots) and shots[-1].truth.character == who
        if same and not opening and rng.random() < CONTINUES:
            shots.append(Planned(scene=scene, cut=False, truth=continuation(rng, shots[-1].truth)))
            continue
        lead = cast[who]
        truth = random_staging(rng, species=lead.species, colour=lead.colour, accessory=lead.accessory, character=who)
        shots.append(Planned(scene=scene, cut=True, truth=replace(truth, place=places[(scene - 1) % len(places)])))
    return shots


def _who(plan: WorldPlan, k: int, rng: np.random.Generator) -> int:
    """The first character every `gap` + 1 shots and the others between; without a gap, anybody."""
    if plan.gap == 0:
        return int(rng.integers(plan.characters))
    return 0 if k % (plan.gap + 1) == 0 else int(rng.integers(1, plan.characters))


def _cast(characters: int, rng: np.random.Generator) -> list[ShotTruth]:
    """Characters of different species and colours."""
    from stbench.world.data import random_look, random_staging
    from stbench.world.spec import SPECIES

    cast: list[ShotTruth] = []
    for i, species in enumerate(str(name) for name in rng.permutation(SPECIES)[:characters]):
        colour, accessory = random_look(rng, species, "any")
        while any(colour == other.colour for other in cast):
            colour, accessory = random_look(rng, species, "any")
        cast.append(random_staging(rng, species=species, colour=colour, accessory=accessory, character=i))
    return cast


def write_world(plan: WorldPlan, folder: Path, on_story: Callable[[int], None] = lambda done: None) -> Path:
    """Write the suite of a plan into a new or empty folder, story by story.

    Raises:
        UserError: A plan that has no stories, or a folder that is in use.
    """
    plan.check()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError("is not an empty folder", where=str(folder), expected="a new or empty one", hint="nothing was changed")
    folder.mkdir(parents=True, exist_ok=True)
    about = f"Story World: {plan.stories} stories of {plan.shots} shots, {plan.characters} characters, gap {plan.gap}, seed {plan.seed}"
    head = {"name": plan.name, "version": VERSION, "description": about, "licence": "CC0-1.0"}
    write_index(folder, head, _written(plan, folder, on_story))
    return folder


def _written(plan: WorldPlan, folder: Path, on_story: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    digits = len(str(plan.stories - 1))
    for number in range(plan.stories):
        script = world_script(plan, number)
        file = f"world_{number:0{digits}d}.json"
        data = (json.dumps(script, ensure_ascii=False) + "\n").encode()
        (folder / file).write_bytes(data)
        yield entry_row(file, data, (cut for scene in script["scenes"] for cut in scene["cut"]))
        on_story(number + 1)
