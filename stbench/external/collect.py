"""From what a program left to the shots of a story, with a name for everything that can be wrong with it.

Files are mapped to shots as those of `stbench score --videos` are (`stbench.adoption`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.adoption.cuts import Cutting, cut_films
from stbench.adoption.layout import SUFFIXES, Layout, Source, find_layout
from stbench.adoption.probe import probe
from stbench.errors import UserError
from stbench.external.recipe import Films
from stbench.story import Story
from stbench.video import VideoError

if TYPE_CHECKING:
    import numpy as np


class ProgramError(Exception):
    """A program did not give what its recipe promises: `kind` is crash, hang, no-output, partial, wrong-frames or unreadable."""

    def __init__(self, kind: str, found: str):
        self.kind, self.found = kind, found
        super().__init__(f"{kind}: {found}")

    def with_log(self, log: Path) -> ProgramError:
        """The same, and where what the program printed is, if it ran."""
        return ProgramError(self.kind, f"{self.found}; log: {log}") if log.is_file() else self


@dataclass(frozen=True, kw_only=True)
class Collected:
    """The films of one story, shot by shot.

    Attributes:
        sources: Of each shot, in order.
        extra: Videos that belong to no shot.
    """

    sources: tuple[Source, ...]
    extra: tuple[str, ...]

    @property
    def found(self) -> int:
        """Shots that are there."""
        return sum(source.kind is None for source in self.sources)

    def source(self, shot: str, frames: tuple[int, ...]) -> Source:
        """Where the pixels of a shot are.

        Raises:
            ProgramError: They are missing, too few to be a shot, or not as many as the recipe says.
        """
        source = next(one for one in self.sources if one.shot.id == shot)
        if source.kind is not None or source.file is None:
            lost = ", ".join(one.shot.id for one in self.sources if one.kind is not None)
            what = f"shot {shot}: {source.problem}; {self.found} of {len(self.sources)} shots are there, without {lost}"
            raise ProgramError("partial" if source.kind in ("missing", "twice") else "wrong-frames", what)
        _check_frames(source, frames)
        return source


def _check_frames(source: Source, allowed: tuple[int, ...]) -> None:
    file = source.file
    if file is None:
        return
    try:
        found = probe(file)
    except VideoError as error:
        raise ProgramError("unreadable", f"shot {source.shot.id}: {file.name} {error.what}") from error
    if found.short and source.span is None:
        raise ProgramError("wrong-frames", f"shot {source.shot.id}: of {file.name}, {found.short}")
    count = source.span[1] - source.span[0] if source.span else found.frames
    if allowed and count not in allowed:
        wanted = " or ".join(map(str, allowed))
        raise ProgramError("wrong-frames", f"shot {source.shot.id}: {file.name} has {count} frames, expected {wanted}")


def collect(out: Path, story: Story, films: Films, script: dict[str, Any]) -> Collected:
    """Map what lies in a folder to the shots of a story.

    Args:
        out: The folder that the program was given for its films.
        story: The story.
        films: How the recipe says that they are left.
        script: The script as it was written for the program, for the cuts of one film.

    Raises:
        ProgramError: Nothing is there, or one film does not have the frames that its cuts need.
    """
    folder = out / films.folder
    videos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not videos:
        raise ProgramError("no-output", f"it ended well and left no video in {folder}")
    try:
        layout = _film(folder, story, films, script) if films.kind == "film" else find_layout(folder, (story,))
    except UserError as error:
        raise ProgramError("no-output" if films.kind == "shots" else "wrong-frames", str(error)) from error
    return Collected(sources=layout.sources, extra=tuple(path.name for path in layout.extra))


def _film(folder: Path, story: Story, films: Films, script: dict[str, Any]) -> Layout:
    """One film, cut."""
    file = folder / films.file
    if not file.is_file():
        raise ProgramError("no-output", f"it ended well and left no {file}")
    sources = tuple(Source(story=story.id, shot=shot, file=file, problem="the film is not cut yet") for shot in story.shots)
    cutting = Cutting(detect=True) if films.cuts == "detect" else Cutting(lengths={story.id: _lengths(story, films, script)})
    if cutting.lengths is not None:
        total, wanted = probe(file).frames, sum(cutting.lengths[story.id])
        if total != wanted:
            raise ProgramError("wrong-frames", f"{file.name} has {total} frames, its cuts need {wanted}")
    return cut_films(Layout(sources=sources, films={story.id: file}), (story,), cutting)


def _lengths(story: Story, films: Films, script: dict[str, Any]) -> tuple[int, ...]:
    """Frames of each shot of one film."""
    if isinstance(films.cuts, int):
        return (films.cuts,) * len(story.shots)
    edges = [0, *script["shot_cut_frames"], script["num_frames"]]
    return tuple(stop - start for start, stop in pairwise(edges))


def read_shot(source: Source) -> tuple[np.ndarray, float]:
    """Frames (F, H, W, 3) uint8 and rate of a shot.

    Raises:
        ProgramError: It cannot be decoded.
    """
    from stbench.video import read_mp4

    if source.file is None:
        raise ProgramError("no-output", f"shot {source.shot.id} has no file")
    try:
        frames, fps = read_mp4(source.file)
    except VideoError as error:
        raise ProgramError("unreadable", f"shot {source.shot.id}: {source.file.name} {error.what}") from error
    return (frames[source.span[0] : source.span[1]] if source.span else frames), fps
