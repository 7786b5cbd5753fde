"""Story World only: does a character keep its colour and its accessory? No prompt names them, so only memory can.

The reference is what the reader finds in the character's *first* shot of the same film, not the script's truth: a
method is free to choose a look, and then has to keep it. First appearances are no units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from metrics.base import Expects, Features, Found, StoryClips, Unit
from metrics.reading import OfReading, read_fact, reading_detail


def first_appearances(characters: list[int | None]) -> list[int | None]:
    """For each shot the index of the first shot with the same character; None for first appearances and for no character.

    Example:
        >>> first_appearances([0, 1, 0, None, 1])
        [None, None, 0, None, 1]
    """
    first: dict[int, int] = {}
    answer: list[int | None] = []
    for i, character in enumerate(characters):
        answer.append(None if character is None else first.get(character))
        if character is not None:
            first.setdefault(character, i)
    return answer


@dataclass(frozen=True)
class _TruthKept(OfReading):
    """1 where a later shot shows what the character's first shot showed, else 0; nothing for scripts without truth."""

    def units(self, film: StoryClips) -> list[Unit]:
        """Every later shot of a character, together with its first."""
        characters = [None if clip.shot.truth is None else int(clip.shot.truth["character"]) for clip in film.clips]
        return [
            Unit(shot=film.clips[i].shot.id, clips=(first, i)) for i, first in enumerate(first_appearances(characters)) if first is not None
        ]

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Compare with the first appearance."""
        first, now = (features.clip(self.need, film.clips[i]) for i in unit.clips)
        kept = read_fact(now, self.fact) == read_fact(first, self.fact)
        return Found(
            value=float(kept),
            detail={
                "first_shot": film.clips[unit.clips[0]].shot.id,
                "expected": read_fact(first, self.fact),
                "found": read_fact(now, self.fact),
                **reading_detail(now),
            },
        )


@dataclass(frozen=True)
class TruthColourKept(_TruthKept):
    """Share of later shots in which the character has the colour of its first shot."""

    name: ClassVar[str] = "truth_colour_kept"
    expects: ClassVar[Expects] = Expects(falls=("identity_swap",), keeps=("prompt_swap", "background_swap", "dropped_accessory"))
    fact: ClassVar[str] = "colour"


@dataclass(frozen=True)
class TruthAccessoryKept(_TruthKept):
    """Share of later shots in which the character has the accessory of its first shot."""

    name: ClassVar[str] = "truth_accessory_kept"
    expects: ClassVar[Expects] = Expects(falls=("identity_swap",), detects=("dropped_accessory",), keeps=("prompt_swap", "background_swap"))
    fact: ClassVar[str] = "accessory"
