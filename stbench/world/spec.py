"""The words and numbers of Story World, and the truth of one shot.

What a prompt may say: species, place, action, shot size. What it never says (the *look*): colour and accessory. What is
only staging: `station` (where the character stands) and `scroll` (which part of the place the camera sees).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from stbench.errors import UserError

WIDTH, HEIGHT, FRAMES, FPS = 80, 48, 17, 8

SPECIES = ("robot", "cat", "bird", "car", "ghost")
PLACES = ("beach", "forest", "city", "night", "snow")
ACTIONS = ("right", "left", "jump", "closer")
SIZES = ("wide", "medium", "close")
COLOURS = {
    "red": (216, 42, 46),
    "orange": (245, 140, 22),
    "yellow": (250, 222, 60),
    "green": (48, 176, 72),
    "cyan": (64, 214, 226),
    "blue": (44, 84, 214),
    "purple": (146, 58, 190),
    "pink": (250, 148, 200),
}
ACCESSORIES = ("hat", "scarf", "balloon", "backpack")
STATIONS = (0, 1, 2)  # left, middle, right
SCROLLS = (0, 1, 2, 3)  # quarter turns of the place's panorama

BODY_PX = {"wide": 18, "medium": 26, "close": 36}  # height of a character without its accessory
GROUND_PX = {"wide": 40, "medium": 43, "close": 46}  # row on which it stands
REACH_PX = {"wide": 24, "medium": 19, "close": 14}  # from the middle of the picture to the outer stations
HOP_PX = {"wide": 12, "medium": 10, "close": 8}


@dataclass(frozen=True, kw_only=True)
class ShotTruth:
    """Everything that is in one shot.

    Example:
        >>> truth = ShotTruth(species="cat", place="snow", action="right", size="wide", colour="red", accessory="hat")
        >>> truth.end().station
        2
    """

    species: str
    place: str
    action: str
    size: str
    colour: str
    accessory: str
    station: int = 0
    scroll: int = 0
    character: int = 0  # which recurring character of its story this is

    def __post_init__(self) -> None:
        for name, allowed in ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"truth.{name} is {getattr(self, name)!r}", expected="one of: " + ", ".join(map(str, allowed)))
        if (self.action, self.station) in (("right", 1), ("right", 2), ("left", 0), ("left", 1)):
            raise UserError(f"a move to the {self.action} cannot start at station {self.station}", expected="right from 0, left from 2")
        if self.action == "closer" and self.size == "close":
            raise UserError("a close-up cannot come closer", expected="size wide or medium")

    def end(self) -> ShotTruth:
        """The same truth as the last frame leaves it: what a continuation starts from (its action is still the old one)."""
        if self.action == "right":
            return _moved(self, station=2)
        if self.action == "left":
            return _moved(self, station=0)
        if self.action == "closer":
            return _moved(self, size=SIZES[SIZES.index(self.size) + 1])
        return self

    def to_json(self) -> dict[str, Any]:
        """As stored in a script's `truth` list."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ShotTruth:
        """Inverse of `to_json`; unknown or missing fields are a `UserError`."""
        known = {f.name for f in fields(cls)}
        if extra := set(data) - known:
            raise UserError(f"truth has unknown fields {sorted(extra)}", expected="only: " + ", ".join(sorted(known)))
        if missing := {f.name for f in fields(cls)} - {"station", "scroll", "character"} - set(data):
            raise UserError(f"truth lacks {sorted(missing)}", expected="all of: " + ", ".join(sorted(known)))
        return cls(**data)


def _moved(truth: ShotTruth, **changes: Any) -> ShotTruth:
    """`truth` in a resting pose that is legal at any station and size ("jump" starts and ends on the ground)."""
    return replace(truth, **{"action": "jump", **changes})


ALLOWED: dict[str, tuple[Any, ...]] = {
    "species": SPECIES,
    "place": PLACES,
    "action": ACTIONS,
    "size": SIZES,
    "colour": tuple(COLOURS),
    "accessory": ACCESSORIES,
    "station": STATIONS,
    "scroll": SCROLLS,
}
