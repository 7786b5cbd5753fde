"""Known harm in known amounts. A level of 0 changes nothing, 1 is all of it; a higher level always includes what a lower one did.

What spoils some shots or frames spoils a share of them, chosen by a seed; what grades smoothly has its full strength at level 1.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metrics.validation.films import Film

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
STALL_FRAMES = 3  # after the first: as many as `join_motion` looks at
BLUR_PX, NOISE, FLICKER = 3.0, 50.0, 60.0  # at level 1: radius per 48 rows; grey levels; grey levels up and down
Change = Callable[[Film, float, np.random.Generator], Film]


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """One way of harming a film."""

    name: str
    says: str
    change: Change
    needs_truth: bool = False

    def __call__(self, film: Film, level: float) -> Film:
        """The film at a level; the same film, level and name give the same result."""
        if level == 0:
            return film
        seed = np.frombuffer(f"{self.name} {film.story.id}".encode(), np.uint8)
        return self.change(film, level, np.random.default_rng(seed))


def share(count: int, level: float, rng: np.random.Generator, *, first: int = 0) -> list[int]:
    """Which of `first` … `count` - 1 are spoilt at a level."""
    order = rng.permutation(np.arange(first, count))
    return sorted(int(i) for i in order[: round(level * len(order))])


def _retake(film: Film, index: Sequence[int], change: Callable[[Any], Any]) -> Film:
    """Render some takes again with another truth; the script stays as it is."""
    from stbench.world.render import render_shot

    takes = list(film.takes)
    for i in index:
        takes[i] = replace(takes[i], frames=render_shot(change(takes[i].truth)).frames)
    return replace(film, takes=tuple(takes))


def identity_swap(film: Film, level: float, rng: np.random.Generator) -> Film:
    """In a share of the later shots, a character of the same species with another colour and accessory."""
    from stbench.world.spec import ACCESSORIES, COLOURS

    looks = [(str(c), str(a)) for c, a in zip(rng.permutation(list(COLOURS) * 4), rng.permutation(list(ACCESSORIES) * 8), strict=True)]

    def other(truth: Any) -> Any:
        colour, accessory = next((c, a) for c, a in looks if c != truth.colour and a != truth.accessory)
        looks.remove((colour, accessory))
        return replace(truth, colour=colour, accessory=accessory)

    return _retake(film, share(len(film.takes), level, rng, first=1), other)


def dropped_accessory(film: Film, level: float, rng: np.random.Generator) -> Film:
    """In a share of the later shots, the accessory is gone."""

    def bare(truth: Any) -> Any:
        without = copy(truth)
        object.__setattr__(without, "accessory", "none")  # no truth of a script: the renderer draws no accessory of that name
        return without

    return _retake(film, share(len(film.takes), level, rng, first=1), bare)


def background_swap(film: Film, level: float, rng: np.random.Generator) -> Film:
    """In a share of the shots, another place."""
    from stbench.world.spec import PLACES

    turn = int(rng.integers(1, len(PLACES)))
    places = dict(zip(PLACES, PLACES[turn:] + PLACES[:turn], strict=True))
    return _retake(film, share(len(film.takes), level, rng), lambda truth: replace(truth, place=places[truth.place]))


def _drift(film: Film, level: float, other: Callable[[np.ndarray], np.ndarray]) -> Film:
    """Blend each shot towards another look, the more the later it is."""
    last = max(1, len(film.takes) - 1)
    parts = [level * i / last for i in range(len(film.takes))]
    return film.showing([_bytes((1 - a) * take.frames + a * other(take.frames)) for a, take in zip(parts, film.takes, strict=True)])


def colour_drift(film: Film, level: float, rng: np.random.Generator) -> Film:
    """Colours turn from shot to shot: red becomes green, green blue, blue red."""
    return _drift(film, level, lambda frames: frames[..., [2, 0, 1]].astype(np.float32))


def style_drift(film: Film, level: float, rng: np.random.Generator) -> Film:
    """The drawing style turns from shot to shot towards a sepia print in three tones."""

    def print_(frames: np.ndarray) -> np.ndarray:
        grey = frames.astype(np.float32) @ np.array([0.3, 0.59, 0.11], np.float32)
        tones = np.floor(grey / 86) * 100 + 27
        return tones[..., None] * np.array([1.0, 0.86, 0.68], np.float32)

    return _drift(film, level, print_)


def freeze(film: Film, level: float, rng: np.random.Generator) -> Film:
    """The last share of every shot stands still."""

    def stop(frames: np.ndarray) -> np.ndarray:
        last = round((1 - level) * (len(frames) - 1))
        return frames[np.minimum(np.arange(len(frames)), last)]

    return film.showing([stop(take.frames) for take in film.takes])


def _rotation(count: int, level: float, rng: np.random.Generator) -> list[int]:
    """A permutation that moves a share of the places, each to the next one moved."""
    order = list(range(count))
    moved = share(count, level, rng)
    for i, j in zip(moved, moved[1:] + moved[:1], strict=True):
        order[i] = j
    return order


def shot_shuffle(film: Film, level: float, rng: np.random.Generator) -> Film:
    """A share of the shots is shown in one another's place."""
    return film.showing([film.takes[i].frames for i in _rotation(len(film.takes), level, rng)])


def prompt_swap(film: Film, level: float, rng: np.random.Generator) -> Film:
    """A share of the shots has one another's prompts; not a pixel changes."""
    order = _rotation(len(film.takes), level, rng)
    takes = [replace(take, shot=replace(take.shot, prompt=film.takes[i].shot.prompt)) for take, i in zip(film.takes, order, strict=True)]
    return replace(film, takes=tuple(takes))


def join_stall(film: Film, level: float, rng: np.random.Generator) -> Film:
    """A shot that continues the one before hesitates: its first frames are blended towards its very first one."""

    def stalled(frames: np.ndarray) -> np.ndarray:
        slow = frames[: STALL_FRAMES + 1].astype(np.float32)
        return np.concatenate([_bytes((1 - level) * slow + level * slow[:1]), frames[STALL_FRAMES + 1 :]])

    return film.showing([take.frames if take.shot.cut else stalled(take.frames) for take in film.takes])


def frame_shuffle(film: Film, level: float, rng: np.random.Generator) -> Film:
    """Within every shot a share of the frames is shown in one another's place."""

    def shuffled(frames: np.ndarray) -> np.ndarray:
        places = share(len(frames), level, rng)
        order = np.arange(len(frames))
        order[places] = rng.permutation(places)
        return frames[order]

    return film.showing([shuffled(take.frames) for take in film.takes])


def flicker(film: Film, level: float, rng: np.random.Generator) -> Film:
    """Every other frame is brighter, the others darker."""
    return film.showing([_bytes(take.frames + level * FLICKER * _alternating(len(take.frames))) for take in film.takes])


def blur(film: Film, level: float, rng: np.random.Generator) -> Film:
    """Gaussian blur."""
    from PIL import ImageFilter

    def soft(image: Any) -> Any:
        return image.filter(ImageFilter.GaussianBlur(level * BLUR_PX * image.height / 48))

    return film.showing([_each_frame(take.frames, soft) for take in film.takes])


def noise(film: Film, level: float, rng: np.random.Generator) -> Film:
    """Noise of its own in every frame."""
    return film.showing([_bytes(take.frames + level * NOISE * rng.standard_normal(take.frames.shape, np.float32)) for take in film.takes])


def jpeg(film: Film, level: float, rng: np.random.Generator) -> Film:
    """JPEG, from quality 95 down to 5."""
    from PIL import Image

    def squeezed(image: Any) -> Any:
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=round(95 - 90 * level))
        return Image.open(buffer)

    return film.showing([_each_frame(take.frames, squeezed) for take in film.takes])


def _alternating(count: int) -> np.ndarray:
    return np.where(np.arange(count) % 2 == 0, 1.0, -1.0).astype(np.float32)[:, None, None, None]


def _each_frame(frames: np.ndarray, change: Callable[[Any], Any]) -> np.ndarray:
    from PIL import Image

    return np.stack([np.asarray(change(Image.fromarray(frame))) for frame in frames])


def _bytes(frames: np.ndarray) -> np.ndarray:
    return np.rint(frames).clip(0, 255).astype(np.uint8)


PERTURBATIONS = (
    Perturbation(name="identity_swap", says="another look of the same species", change=identity_swap, needs_truth=True),
    Perturbation(name="dropped_accessory", says="the accessory is gone", change=dropped_accessory, needs_truth=True),
    Perturbation(name="background_swap", says="another place", change=background_swap, needs_truth=True),
    Perturbation(name="colour_drift", says="colours turn from shot to shot", change=colour_drift),
    Perturbation(name="style_drift", says="the style turns from shot to shot", change=style_drift),
    Perturbation(name="shot_shuffle", says="shots change places", change=shot_shuffle),
    Perturbation(name="prompt_swap", says="prompts change places", change=prompt_swap),
    Perturbation(name="freeze", says="shots stand still", change=freeze),
    Perturbation(name="join_stall", says="continuations hesitate", change=join_stall),
    Perturbation(name="frame_shuffle", says="frames change places", change=frame_shuffle),
    Perturbation(name="flicker", says="brightness flickers", change=flicker),
    Perturbation(name="blur", says="blur", change=blur),
    Perturbation(name="noise", says="noise", change=noise),
    Perturbation(name="jpeg", says="JPEG", change=jpeg),
)
