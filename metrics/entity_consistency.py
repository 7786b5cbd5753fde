"""Entity consistency: does who appears again look the same, in those shots in which the script has it appear?

Consistency over all pairs of shots rewards a film in which everything looks alike, and blames one that shows two characters in turn.
Here only pairs of shots that share an entity count. Who appears where is the script's word: its entity schedule, or Story
World's truth. The whole frame is compared, not a box around the entity: on Story World the encoder was trained to see who it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np

from metrics.base import Features, Found, StoryClips, Unit
from metrics.cross_shot_appearance import CrossShotAppearance, appearances
from metrics.cross_shot_consistency import similarity_matrix
from stbench.story import Shot


def entities(shot: Shot) -> tuple[str, ...]:
    """Who appears in a shot: the script's schedule, else Story World's truth; nothing where neither says."""
    if shot.truth is not None and "character" in shot.truth:
        return (f"character {shot.truth['character']}",)
    return tuple(getattr(shot, "entities", None) or ())


def pairs_that_share(cast: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of shots with at least one entity in common.

    Example:
        >>> pairs_that_share([("cat",), ("dog",), ("cat", "dog"), ()])
        [(0, 2), (1, 2)]
    """
    return [(i, j) for i, j in combinations(range(len(cast)), 2) if set(cast[i]) & set(cast[j])]


@dataclass(frozen=True)
class EntityConsistency(CrossShotAppearance):
    """Mean similarity of the averaged frame features over pairs of shots that share an entity; a film without such a pair has no row."""

    name: ClassVar[str] = "entity_consistency"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "of this project; entity schedules as in EntityBench (arXiv 2605.15199)"

    def units(self, film: StoryClips) -> list[Unit]:
        """The film, with the pairs that count."""
        pairs = pairs_that_share([entities(clip.shot) for clip in film.clips])
        if not pairs:
            return []
        used = sorted({index for pair in pairs for index in pair})
        return [Unit(shot=None, clips=tuple(used), facts={"pairs": [list(pair) for pair in pairs]})]

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Mean over the pairs."""
        place = {index: k for k, index in enumerate(unit.clips)}
        shots, _ = appearances(film, unit, self.need, features)
        matrix = similarity_matrix(shots)
        found = [float(matrix[place[i], place[j]]) for i, j in unit.facts["pairs"]]
        return Found(value=float(np.mean(found)), detail={"pairs": len(found), "least": round(min(found), 4)})
