"""Films in memory, so that they can be harmed without an encoder of videos adding harm of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metrics.base import Clip, StoryClips
from metrics.decoding import BATCH
from metrics.features import FeatureSource
from stbench.errors import UserError
from stbench.story import Shot, Story

IN_MEMORY = Path("in-memory")


@dataclass(frozen=True, kw_only=True)
class Take:
    """A shot: what the script says, and what is shown. `truth` is what was rendered, None for films made elsewhere."""

    shot: Shot
    frames: np.ndarray  # (F, H, W, 3) uint8
    truth: object | None = None  # a stbench.world.spec.ShotTruth


@dataclass(frozen=True, kw_only=True)
class Film:
    """A story and its takes."""

    story: Story
    takes: tuple[Take, ...]

    def showing(self, frames: Sequence[np.ndarray]) -> Film:
        """The same script with other pixels."""
        return replace(self, takes=tuple(replace(take, frames=new) for take, new in zip(self.takes, frames, strict=True)))


def world_films(count: int, shots: int) -> list[Film]:
    """Rendered films of Story World: the first shots of stories with one character, so that one look is the right one throughout.

    Raises:
        UserError: There are not so many stories.
    """
    from stbench.suites import load_suite
    from stbench.world.render import render_shot
    from stbench.world.spec import ShotTruth

    films: list[Film] = []
    for story in load_suite("world").stories:
        if len({(shot.truth or {}).get("character") for shot in story.shots}) != 1 or len(films) == count:
            continue
        takes = []
        for shot in story.shots[:shots]:
            truth = ShotTruth.from_json(dict(shot.truth or {}))
            takes.append(Take(shot=shot, frames=render_shot(truth).frames, truth=truth))
        films.append(Film(story=replace(story, shots=tuple(take.shot for take in takes)), takes=tuple(takes)))
    if len(films) < count:
        raise UserError(f"{count} stories", where="--stories", expected=f"at most {len(films)}: Story World's with one character")
    return films


def own_films(folder: Path, suite: str, count: int, shots: int) -> list[Film]:
    """Films made elsewhere, as `stbench score --videos` maps them; stories with fewer than three readable shots are left out.

    Raises:
        UserError: Nothing is left.
    """
    from stbench.adoption.layout import find_layout
    from stbench.suites import load_suite
    from stbench.video import VideoError, read_mp4

    stories = load_suite(suite).stories
    sources = find_layout(folder, stories).sources
    films: list[Film] = []
    for story in stories:
        takes: list[Take] = []
        for source in sources:
            if source.story == story.id and source.file and source.kind is None and len(takes) < shots and len(films) < count:
                try:
                    takes.append(Take(shot=source.shot, frames=read_mp4(source.file)[0]))
                except VideoError:
                    continue
        if len(takes) >= 3:
            films.append(Film(story=replace(story, shots=tuple(take.shot for take in takes)), takes=tuple(takes)))
    if not films:
        raise UserError("has no story with three readable shots", where=str(folder), expected="<story>/<scene>_<shot>.mp4")
    return films


def digest_of(frames: np.ndarray) -> str:
    """sha256 of pixels and their shape."""
    return hashlib.sha256(str(frames.shape).encode() + np.ascontiguousarray(frames).tobytes()).hexdigest()


class FilmFeatures(FeatureSource):
    """Features of films in memory; otherwise the very code that scores files."""

    def __init__(self, **settings: object):
        super().__init__(**settings)  # type: ignore[arg-type]
        self._pixels: dict[str, np.ndarray] = {}

    def clips(self, film: Film) -> StoryClips:
        """A film as metrics take it."""
        made = []
        for take in film.takes:
            key = digest_of(take.frames)
            self._pixels[key] = take.frames
            made.append(Clip(shot=take.shot, video=IN_MEMORY, digest=key))
        return StoryClips(story=film.story, clips=tuple(made))

    def drop(self) -> None:
        """Free the pixels; the features stay."""
        self._pixels.clear()

    def promised(self, clip: Clip) -> int:
        """Frames of a clip."""
        return len(self._pixels[str(clip.digest)])

    def batches(self, clip: Clip) -> Iterator[np.ndarray]:
        """The frames of a clip, a few at a time."""
        frames = self._pixels[str(clip.digest)]
        return (frames[start : start + BATCH] for start in range(0, len(frames), BATCH))
