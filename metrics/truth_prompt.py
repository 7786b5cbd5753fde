"""Story World only: does the picture show the place, species, action and shot size that the prompt names?

Read from the decoded pixels by `stbench.world.reader`, which knows nothing about the model that made them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from metrics.base import Expects, Features, Found, StoryClips, Unit
from metrics.reading import OfReading, read_fact, reading_detail


@dataclass(frozen=True)
class _TruthOfPrompt(OfReading):
    """1 where the reader finds what the script's truth says, else 0; nothing for scripts without truth."""

    def units(self, film: StoryClips) -> list[Unit]:
        """Every shot whose truth is known."""
        return [
            Unit(shot=clip.shot.id, clips=(i,), facts={self.fact: clip.shot.truth[self.fact]})
            for i, clip in enumerate(film.clips)
            if clip.shot.truth is not None
        ]

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Compare."""
        reading = features.clip(self.need, film.clips[unit.clips[0]])
        found, expected = read_fact(reading, self.fact), unit.facts[self.fact]
        return Found(value=float(found == expected), detail={"expected": expected, "found": found, **reading_detail(reading)})


@dataclass(frozen=True)
class TruthPlace(_TruthOfPrompt):
    """Share of shots in the right place."""

    name: ClassVar[str] = "truth_place"
    expects: ClassVar[Expects] = Expects(falls=("background_swap",), keeps=("prompt_swap", "identity_swap", "dropped_accessory"))
    fact: ClassVar[str] = "place"


@dataclass(frozen=True)
class TruthSpecies(_TruthOfPrompt):
    """Share of shots with the right species."""

    name: ClassVar[str] = "truth_species"
    expects: ClassVar[Expects] = Expects(keeps=("prompt_swap", "identity_swap", "background_swap"))
    fact: ClassVar[str] = "species"


@dataclass(frozen=True)
class TruthAction(_TruthOfPrompt):
    """Share of shots with the right action."""

    name: ClassVar[str] = "truth_action"
    expects: ClassVar[Expects] = Expects(detects=("freeze",), keeps=("prompt_swap", "identity_swap", "background_swap"))
    fact: ClassVar[str] = "action"


@dataclass(frozen=True)
class TruthSize(_TruthOfPrompt):
    """Share of shots with the right shot size."""

    name: ClassVar[str] = "truth_size"
    fact: ClassVar[str] = "size"
