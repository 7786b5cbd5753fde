"""Pixels → truth, by analysis-by-synthesis: which of all shots that the renderer could have drawn is nearest to this one?

No trained model takes part, so nothing that made the pixels also judges them. First the place (pixels that the character
does not cover), then the poses whose silhouette fits best, then every colour of those, compared as pictures. Exact on
rendered shots; on generated ones it names the nearest truth and says how far it is (`error`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stbench.errors import UserError
from stbench.world.places import background
from stbench.world.render import draw, pose
from stbench.world.spec import ACCESSORIES, COLOURS, FRAMES, HEIGHT, PLACES, SCROLLS, SIZES, SPECIES, STATIONS, WIDTH, ShotTruth

_LOOKED_AT = (1, 4, 8, 12, 16)  # frames; frame 0 is missing in continuations
_CANDIDATES = 24  # silhouettes that are compared as pictures
_CLIP = 40.0  # grey levels: a pixel further off than this is "covered", however far


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a shot shows. `error` is the root mean square difference to the nearest rendered shot, in grey levels (0-255)."""

    place: str
    species: str
    action: str
    size: str
    colour: str
    accessory: str
    error: float


@lru_cache(maxsize=1)
def _silhouettes() -> tuple[list[ShotTruth], np.ndarray]:
    """All (species, accessory, action, size, station) and their alphas, (N, looked-at frames · HEIGHT · WIDTH) float32."""
    truths = []
    for action, stations in (("right", (0,)), ("left", (2,)), ("jump", STATIONS), ("closer", STATIONS)):
        for size in SIZES[:2] if action == "closer" else SIZES:
            for species in SPECIES:
                for accessory in ACCESSORIES:
                    for station in stations:
                        truths.append(
                            ShotTruth(
                                species=species, accessory=accessory, action=action, size=size, station=station, place="snow", colour="red"
                            )
                        )
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    alphas = np.stack([np.stack([draw(canvas, t, pose(t, f)) for f in _LOOKED_AT]) for t in truths])
    return truths, alphas.reshape(len(truths), -1)


def _place(shot: np.ndarray) -> tuple[str, int]:
    """Place and scroll whose empty picture explains the most pixels; `shot` is (F, HEIGHT, WIDTH, 3) float32."""
    errors = {
        (place, scroll): float(np.minimum(np.abs(shot - background(place, scroll)).mean(-1), _CLIP).mean())
        for place in PLACES
        for scroll in SCROLLS
    }
    return min(errors, key=errors.__getitem__)


def _picture_error(shot: np.ndarray, empty: np.ndarray, truth: ShotTruth) -> float:
    """Mean square difference between the shot and the rendered truth over the looked-at frames."""
    total = 0.0
    for frame, at in zip(shot, _LOOKED_AT, strict=True):
        canvas = empty.copy()
        draw(canvas, truth, pose(truth, at))
        total += float(np.square(frame - canvas).mean())
    return total / len(_LOOKED_AT)


def read_shot(frames: np.ndarray) -> Reading:
    """Read one shot.

    Args:
        frames: (17, 48, 80, 3) uint8, or (16, 48, 80, 3) for a continuation whose first frame was dropped.

    Raises:
        UserError: The frames are not Story World's in number or size.

    Example:
        >>> from stbench.world.render import render_shot
        >>> truth = ShotTruth(species="bird", place="city", action="left", size="wide", colour="pink", accessory="scarf", station=2)
        >>> reading = read_shot(render_shot(truth).frames)
        >>> reading.species, reading.colour, reading.accessory, reading.action
        ('bird', 'pink', 'scarf', 'left')
    """
    if frames.shape[1:] != (HEIGHT, WIDTH, 3) or frames.shape[0] not in (FRAMES, FRAMES - 1):
        raise UserError(f"a shot of shape {frames.shape}", expected=f"(17 or 16, {HEIGHT}, {WIDTH}, 3), as Story World's models make")
    dropped = FRAMES - frames.shape[0]
    shot = frames[[f - dropped for f in _LOOKED_AT]].astype(np.float32)
    place, scroll = _place(shot)
    empty = background(place, scroll)
    truths, alphas = _silhouettes()
    cover = np.minimum(np.abs(shot - empty).mean(-1) / _CLIP, 1).ravel()
    misfit = alphas.sum(1) - 2 * alphas @ cover  # |cover - alpha|² up to a constant, for alphas near 0 or 1
    near = [truths[i] for i in np.argsort(misfit)[:_CANDIDATES]]
    errors = {
        (t, colour): _picture_error(shot, empty, ShotTruth(**{**t.to_json(), "colour": colour, "place": place}))
        for t in near
        for colour in COLOURS
    }
    truth, colour = min(errors, key=errors.__getitem__)
    return Reading(
        place=place,
        species=truth.species,
        action=truth.action,
        size=truth.size,
        colour=colour,
        accessory=truth.accessory,
        error=errors[truth, colour] ** 0.5,
    )
