"""Which file is which shot: folders of shots, or one film per story.

DIR/<story>/<scene>_<shot>.mp4     any zero padding; for a suite of one story DIR may be the story's folder
DIR/<story>.mp4                    one film, cut into shots by given lengths or at detected cuts (`stbench.adoption.cuts`)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stbench.errors import UserError
from stbench.story import Shot, Story, safe_id

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
_SHOT_NAME = re.compile(r"0*(\d+)[_-]0*(\d+)")
LAYOUT = "<story>/<scene>_<shot>.mp4, or one <story>.mp4 per story"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the pixels of one shot come from, or why there are none.

    Attributes:
        story: Id of the story.
        shot: The shot.
        file: The video, or None.
        span: Frames [start, stop) of a whole film, or None for a whole file.
        problem: Why this shot cannot be scored, or None.
        kind: Of the problem: "missing", "short", "unreadable" or "twice".
    """

    story: str
    shot: Shot
    file: Path | None = None
    span: tuple[int, int] | None = None
    problem: str | None = None
    kind: str | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The mapping of a folder: a source for every shot of the suite, what was left over, and remarks on how it was decided."""

    sources: tuple[Source, ...]
    extra: tuple[Path, ...] = ()
    remarks: tuple[str, ...] = ()
    films: Mapping[str, Path] | None = None  # story → whole film, still to be cut
    guessed: bool = False  # cuts were detected: a person should look before it is trusted

    def counts(self) -> dict[str, int]:
        """Shots found, and each kind of trouble."""
        kinds = [source.kind for source in self.sources]
        found = {"shots": len(kinds), "found": kinds.count(None)}
        found |= {kind: kinds.count(kind) for kind in ("missing", "short", "unreadable", "twice")}
        return found | {"extra": len(self.extra)}

    @property
    def whole(self) -> bool:
        """Every shot has a source, and nothing is left over."""
        return not self.extra and all(source.kind is None for source in self.sources)


def missing(story: Story, shot: Shot, problem: str = "no file") -> Source:
    """A shot without a file."""
    return Source(story=story.id, shot=shot, problem=problem, kind="missing")


def find_layout(folder: Path, stories: Sequence[Story]) -> Layout:
    """Map a folder's videos to the shots of stories, by names alone; nothing is opened.

    Raises:
        UserError: There is no such folder, no video in it, or none that belongs to a story.
    """
    if not folder.is_dir():
        raise UserError("is not a folder" if folder.exists() else "does not exist", where=str(folder), expected=f"a folder with {LAYOUT}")
    videos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not videos:
        raise UserError("holds no videos", where=str(folder), expected=LAYOUT, hint="suffixes: " + ", ".join(SUFFIXES))
    homes, remarks = _homes(folder, stories, videos)
    films = _films(folder, stories, videos)
    sources: list[Source] = []
    used: set[Path] = set(films.values())
    for story in stories:
        mine, taken = _story_sources(story, homes.get(story.id), videos)
        if story.id in films and not taken:
            mine = [replace(source, file=films[story.id], problem="the film is not cut yet") for source in mine]
        sources += mine
        used |= taken
    if not used:
        names = ", ".join(story.id for story in stories[:4]) + (" …" if len(stories) > 4 else "")
        raise UserError(f"none of its {len(videos)} videos belongs to a story", where=str(folder), expected=f"{LAYOUT}; stories: {names}")
    uncut = {story: film for story, film in films.items() if any(s.story == story and s.file == film for s in sources)}
    extra = tuple(path for path in videos if path not in used)
    return Layout(sources=tuple(sources), extra=extra, remarks=tuple(remarks), films=uncut)


def _key(name: str) -> str:
    return safe_id(name).casefold()


def _homes(folder: Path, stories: Sequence[Story], videos: Sequence[Path]) -> tuple[dict[str, Path], list[str]]:
    """Story → folder of its shots."""
    by_name = {_key(path.name): path for path in sorted(folder.iterdir()) if path.is_dir()}
    homes = {story.id: by_name[_key(name)] for story in stories for name in (story.name, story.id) if _key(name) in by_name}
    if len(stories) == 1 and not homes:
        places = sorted({path.parent for path in videos if _SHOT_NAME.fullmatch(path.stem)})
        if len(places) == 1:
            remark = f"{places[0].name}/ is taken for the only story, {stories[0].id}" if places[0] != folder else ""
            return {stories[0].id: places[0]}, [remark] if remark else []
    return homes, []


def _films(folder: Path, stories: Sequence[Story], videos: Sequence[Path]) -> dict[str, Path]:
    """Story → one file with the whole film."""
    by_name = {_key(path.stem): path for path in videos if path.parent == folder and not _SHOT_NAME.fullmatch(path.stem)}
    return {story.id: by_name[_key(name)] for story in stories for name in (story.name, story.id) if _key(name) in by_name}


def _story_sources(story: Story, home: Path | None, videos: Sequence[Path]) -> tuple[list[Source], set[Path]]:
    """A source for each shot of a story, and the files that were used."""
    by_shot: dict[tuple[int, int], list[Path]] = {}
    for path in videos:
        name = _SHOT_NAME.fullmatch(path.stem)
        if name and path.parent == home:
            by_shot.setdefault((int(name[1]), int(name[2])), []).append(path)
    sources, used = [], set[Path]()
    for shot in story.shots:
        files = by_shot.get((shot.scene, shot.number), [])
        if len(files) > 1:
            names = " and ".join(path.name for path in files)
            sources.append(Source(story=story.id, shot=shot, problem=f"given twice: {names}", kind="twice"))
        elif files:
            sources.append(Source(story=story.id, shot=shot, file=files[0]))
        else:
            sources.append(missing(story, shot))
        used |= set(files)
    return sources, used
