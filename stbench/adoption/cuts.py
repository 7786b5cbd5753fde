"""Where a whole film is cut into the shots of its script: at given lengths, or at cuts that PySceneDetect finds.

A script says which shots start with a cut. A continuation has none that could be found, so detected cuts are accepted only where their
number fits: one stretch per shot, or one stretch per cut, whose shots then share it evenly. Anything else is a problem, not a guess.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from stbench.adoption.layout import Layout, Source
from stbench.adoption.probe import probe
from stbench.errors import UserError
from stbench.story import Story, read_json
from stbench.video import VideoError


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """How whole films are cut: exactly one of the two.

    Attributes:
        lengths: Frames of each shot; story id → lengths, or "" for every story. One number stands for all shots of a story.
        detect: Find the cuts.
    """

    lengths: Mapping[str, tuple[int, ...]] | None = None
    detect: bool = False


def parse_lengths(text: str) -> Mapping[str, tuple[int, ...]]:
    """Lengths in frames from the command line: "81", "81,80,80", or a JSON file of {story: [frames, …]}.

    Example:
        >>> parse_lengths("81,80")
        {'': (81, 80)}

    Raises:
        UserError: It is none of these.
    """
    expected = "frames of each shot as 81 or 81,80,80, or a JSON file with {story: [frames, ...]}"
    if text.endswith(".json"):
        data = read_json(Path(text))
        if not isinstance(data, dict):
            raise UserError("is not an object", where=text, expected=expected)
        return {str(story): _lengths(value, f"{text}: {story}", expected) for story, value in data.items()}
    parts: list[Any] = [int(part) if part.strip().isdigit() else part for part in text.split(",")]
    return {"": _lengths(parts, "--shot-frames", expected)}


def _lengths(value: Any, where: str, expected: str) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in values):
        raise UserError(f"found {str(value)[:40]!r}", where=where, expected=expected)
    return tuple(values)


def cut_films(layout: Layout, stories: Sequence[Story], cutting: Cutting) -> Layout:
    """The layout with every whole film cut into spans.

    Raises:
        UserError: There are films and no way to cut them was given.
    """
    if not layout.films:
        return layout
    if cutting.lengths is None and not cutting.detect:
        film = next(iter(layout.films.values()))
        hint = "say how it is cut: --shot-frames 81 (or a list, or a JSON file), or --detect-cuts"
        raise UserError("is one film for a whole story", where=str(film), hint=hint)
    sources = {(source.story, source.shot.id): source for source in layout.sources}
    remarks = list(layout.remarks)
    for story in stories:
        if story.id in layout.films:
            cut, said = _cut(story, layout.films[story.id], cutting)
            sources |= {(source.story, source.shot.id): source for source in cut}
            remarks += said
    return replace(layout, sources=tuple(sources.values()), remarks=tuple(remarks), guessed=cutting.detect)


def _cut(story: Story, film: Path, cutting: Cutting) -> tuple[list[Source], list[str]]:
    """One film: its sources and what to say about it."""
    try:
        total = probe(film).frames
        if cutting.detect:
            spans, said = _fit(story, detected_cuts(film, total))
        else:
            spans, said = _spans(story, cutting.lengths or {}, total)
    except VideoError as error:
        return [Source(story=story.id, shot=shot, file=film, problem=error.what, kind="unreadable") for shot in story.shots], []
    if spans is None:
        return [Source(story=story.id, shot=shot, file=film, problem=said, kind="missing") for shot in story.shots], [
            f"{film.name}: {said}"
        ]
    sources = []
    for shot, (start, stop) in zip(story.shots, spans, strict=True):
        source = Source(story=story.id, shot=shot, file=film, span=(start, min(stop, total)))
        if start == stop:
            source = replace(source, span=None, problem="its stretch is too short to be shared", kind="missing")
        elif start >= total:
            source = replace(source, span=None, problem=f"the film ends at frame {total}", kind="missing")
        elif stop > total:
            source = replace(source, problem=f"the film ends after {total - start} of {stop - start} frames", kind="short")
        sources.append(source)
    return sources, [f"{film.name}: {said}"]


def _spans(story: Story, lengths: Mapping[str, tuple[int, ...]], total: int) -> tuple[list[tuple[int, int]] | None, str]:
    """Spans from given lengths, and what was done."""
    given = lengths.get(story.id, lengths.get("", ()))
    shots = len(story.shots)
    if len(given) == 1:
        given = given * shots
    if len(given) != shots:
        return None, f"{len(given)} lengths are given for {shots} shots"
    stops = [sum(given[: k + 1]) for k in range(shots)]
    over = f"; {total - stops[-1]} frames are left over at its end" if total > stops[-1] else ""
    return [(stop - length, stop) for stop, length in zip(stops, given, strict=True)], f"cut by the given lengths, {total} frames{over}"


def _fit(story: Story, cuts: Sequence[int]) -> tuple[list[tuple[int, int]] | None, str]:
    """Spans from the edges of detected stretches: [0, …, number of frames]."""
    stretches = list(pairwise(cuts))
    if len(stretches) == len(story.shots):
        return stretches, f"{len(stretches)} stretches detected, one per shot"
    if len(stretches) != story.cuts:
        return None, f"{len(stretches)} stretches detected, but the script has {len(story.shots)} shots and {story.cuts} cuts"
    spans: list[tuple[int, int]] = []
    firsts = [shot.index for shot in story.shots if shot.cut] + [len(story.shots)]
    for (start, stop), first, after in zip(stretches, firsts[:-1], firsts[1:], strict=True):
        edges = [start + (stop - start) * k // (after - first) for k in range(after - first + 1)]
        spans += pairwise(edges)
    return spans, f"{len(stretches)} stretches detected, one per cut; shots that continue share their stretch evenly"


def detected_cuts(film: Path, total: int) -> list[int]:
    """Edges of the stretches between the cuts that PySceneDetect finds: [0, …, total]."""
    if importlib.util.find_spec("scenedetect") is None:
        raise UserError("PySceneDetect is not installed", where="--detect-cuts", hint="run: pip install 'stbench[cuts]'")
    import av.logging
    from scenedetect import AdaptiveDetector, SceneManager, open_video

    level = av.logging.get_level()
    manager = SceneManager()
    manager.add_detector(AdaptiveDetector())
    manager.detect_scenes(open_video(str(film), backend="pyav"))
    av.logging.set_level(level)  # opening a video turned FFmpeg's chatter on
    starts = [scene[0].frame_num for scene in manager.get_scene_list()]
    return sorted({0, *starts, total})
