"""Foreign videos into a run folder, so that scoring, reports, comparisons and `stbench check` treat them like any other run.

Whole files are copied byte by byte; a span of a film is written again without loss, in the film's own pixel format, and must decode to
the very same frames. The records say where each shot came from. The same command again takes over only what has changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from stbench import __version__
from stbench.adoption.layout import Layout, Source
from stbench.adoption.lossless import copy_file, write_spans
from stbench.adoption.probe import probe
from stbench.claim import claim
from stbench.errors import InvalidRunError
from stbench.files import loud, remove_temporaries, write_json
from stbench.journal import Journal
from stbench.keys import file_sha256, story_keys
from stbench.manifest import Counts, Manifest, SuiteFact, versions
from stbench.record import ShotRecord, StoredFile, as_input
from stbench.seeds import shot_seed
from stbench.store import RunFolder
from stbench.story import Story
from stbench.suites import Suite
from stbench.video import VideoError

METHOD = "videos"
MAPPING = "mapping.json"
Progress = Callable[[str], None]


def identity_of(folder: Path) -> dict[str, Any]:
    """Identity of films from a folder: its name. Their bytes are in the records, so an exchanged file is taken over anew."""
    return {"method": METHOD, "version": 1, "folder": folder.resolve().name}


def manifest_of(folder: Path, suite: Suite, *, protocol: str, device: str, out: Path) -> Manifest:
    """The manifest of a run that is made of a folder's videos. Their bytes are in the records, not in the identity."""
    name = folder.resolve().name
    return Manifest(
        status="started",
        name=out.resolve().name,
        method=METHOD,
        description=f"videos made elsewhere, from the folder {name}",
        identity=identity_of(folder),
        model="none",
        options={},
        protocol=protocol,
        suite=SuiteFact(name=suite.name, version=suite.version, digest=suite.digest, stories=len(suite.stories)),
        stories=suite.stories,
        seed=0,
        device=device,
        versions=versions() | {"stbench": __version__},
        started=0.0,
        counts=Counts(stories=len(suite.stories), expected=suite.shots),
    )


def adopt(layout: Layout, wanted: Manifest, out: Path, *, progress: Progress | None = None, now: Callable[[], float] = time.time) -> Layout:
    """Copy or cut what the layout maps into the run folder `out`.

    Returns:
        The layout, with shots that turned out short or unreadable marked.

    Raises:
        UserError: `out` holds another run.
    """
    with claim(out, wanted) as there:
        manifest = wanted.model_copy(update={"started": there.started if there else round(now(), 3)})
        manifest.save(out)
        folder = RunFolder(out, manifest)
        sources: list[Source] = []
        with closing(Journal(folder.events_path, now)) as journal:
            for story, found in take_over(folder, layout, journal):
                if progress:
                    progress(story.id)
                sources += found
            found_all = replace(layout, sources=tuple(sources))
            journal.add("videos_adopted", folder=wanted.identity["folder"], **found_all.counts())
        done = sum(source.kind is None for source in sources)
        counts = manifest.counts.model_copy(update={"done": done})
        status = "complete" if done == counts.expected else "partial" if done else "failed"
        folder.manifest = manifest.model_copy(update={"status": status, "counts": counts, "finished": round(now(), 3)})
        folder.manifest.save(out)
        return write_mapping(folder, found_all)


def take_over(folder: RunFolder, layout: Layout, journal: Journal) -> Iterator[tuple[Story, list[Source]]]:
    """Copy or cut what the layout maps, story by story; yields what became of its sources. The journal says why a shot is not there."""
    for story in folder.stories:
        sources = _adopt_story(folder, story, [source for source in layout.sources if source.story == story.id], journal)
        for source in sources:
            if source.kind is not None:
                reason = f"{source.kind}: {source.problem}"
                journal.add("shot_failed", story=story.id, shot=source.shot.id, attempt=1, of=1, reason=reason)
        yield story, sources


def write_mapping(folder: RunFolder, layout: Layout) -> Layout:
    """Say in the run folder which file became which shot."""
    shots, extra = [_as_json(source) for source in layout.sources], [path.name for path in layout.extra]
    write_json(folder.path / MAPPING, {"counts": layout.counts(), "shots": shots, "extra": extra})
    return layout


def lacking(run: Path) -> dict[tuple[str, str], str]:
    """(story, shot) → why it has no video and what to do, for the shots that a run folder of adopted videos lacks."""
    try:
        shots = json.loads((run / MAPPING).read_text(encoding="utf-8"))["shots"]
        return {(shot["story"], shot["shot"]): _advice(shot) for shot in shots if shot["kind"]}
    except (OSError, ValueError, KeyError, TypeError):  # not adopted to its end
        return {}


def _advice(shot: dict[str, Any]) -> str:
    again = "and repeat the command"
    match shot["kind"]:
        case "missing":
            why = "" if shot["problem"] == "no file" else f" ({shot['problem']})"
            return f"there is no video of it{why}: add one {again}"
        case "twice":
            return f"{shot['problem']}: leave one {again}"
        case "short":
            return f"{shot['file']} is cut short ({shot['problem']}): give a whole file {again}"
        case _:
            return f"{shot['file']} {shot['problem']}: give a file that plays {again}"


def _adopt_story(folder: RunFolder, story: Story, sources: list[Source], journal: Journal) -> list[Source]:
    """The shots of one story: files first, then records whose chain of inputs holds whatever is missing."""
    place = folder.shots_path(story.id)
    remove_temporaries(place)
    known = _known(folder, story)
    checked = _write_videos(place, sources, known)
    keys = story_keys(identity=folder.manifest.identity, story=story, run_seed=folder.manifest.seed)
    records: list[ShotRecord] = []
    lacks: list[str] = []
    for (source, facts), key in zip(checked, keys, strict=True):
        path = folder.record_path(story.id, source.shot.id)
        if facts is None:
            path.unlink(missing_ok=True)
            lacks.append(source.shot.id)
            continue
        record = ShotRecord(
            story=story.id,
            shot=source.shot.id,
            index=source.shot.index,
            shot_key=key,
            seed=shot_seed(run_seed=folder.manifest.seed, story=story.id, index=source.shot.index),
            inputs=tuple(as_input(done) for done in records),
            lacks=tuple(lacks),
            seconds=0.0,
            device=folder.manifest.device,
            **facts,
        )
        if known.get(source.shot.id) != record:
            journal.add("shot_started", story=story.id, shot=source.shot.id, key=key)
            write_json(path, record.to_json())
            journal.add("shot_done", story=story.id, shot=source.shot.id, key=key, video=record.video.sha256)
        records.append(record)
    return [source for source, _ in checked]


def _known(folder: RunFolder, story: Story) -> dict[str, ShotRecord]:
    """Records of an earlier adoption; damaged ones count as absent."""
    found: dict[str, ShotRecord] = {}
    for shot in story.shots:
        try:
            record = folder.record(story.id, shot.id)
        except InvalidRunError:
            continue
        if record is not None:
            found[shot.id] = record
    return found


def _write_videos(place: Path, sources: list[Source], known: dict[str, ShotRecord]) -> list[tuple[Source, dict[str, Any] | None]]:
    """Bring every source's video into the folder; facts for its record, or None with the source saying why."""
    with loud(place):
        place.mkdir(parents=True, exist_ok=True)
    sums = {file: file_sha256(file) for file in {source.file for source in sources if source.file and source.kind is None}}
    spans = [source for source in sources if source.span and source.kind is None and not _unchanged(place, source, sums, known)]
    for film in {source.file for source in spans if source.file}:
        write_spans(film, {place / f"{s.shot.id}.mp4": s.span for s in spans if s.file == film and s.span})
    result: list[tuple[Source, dict[str, Any] | None]] = []
    for source in sources:
        if source.kind is not None or source.file is None:
            result.append((source, None))
        elif _unchanged(place, source, sums, known):
            result.append((source, _facts(known[source.shot.id])))
        else:
            result.append(_bring(place, source, sums[source.file]))
    return result


def _bring(place: Path, source: Source, sha256: str) -> tuple[Source, dict[str, Any] | None]:
    """Look at one video and, unless its span is written already, copy it."""
    file = source.file
    if file is None:
        return source, None
    path = place / f"{source.shot.id}{'.mp4' if source.span else file.suffix.lower()}"
    try:
        found = probe(path if source.span else file)
    except VideoError as error:
        return replace(source, problem=error.what, kind="unreadable"), None
    if found.short:
        return replace(source, problem=found.short, kind="short"), None
    if not source.span:
        copy_file(file, path)
    facts = {
        "fps": found.fps,
        "n_frames": found.frames,
        "width": found.width,
        "height": found.height,
        "video": StoredFile(name=path.name, sha256=file_sha256(path)),
        "notes": {"source": file.name, "source_sha256": sha256, "span": list(source.span) if source.span else None},
    }
    return source, facts


def _facts(record: ShotRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in ("fps", "n_frames", "width", "height", "video", "notes")}


def _unchanged(place: Path, source: Source, sums: dict[Path, str], known: dict[str, ShotRecord]) -> bool:
    """The shot was adopted from the same bytes before, and its file is whole."""
    record = known.get(source.shot.id)
    if record is None or source.file is None:
        return False
    span = list(source.span) if source.span else None
    same = record.notes.get("source_sha256") == sums.get(source.file) and record.notes.get("span") == span
    return same and record.video.intact(place)


def _as_json(source: Source) -> dict[str, Any]:
    return {
        "story": source.story,
        "shot": source.shot.id,
        "file": source.file.name if source.file else None,
        "span": list(source.span) if source.span else None,
        "kind": source.kind,
        "problem": source.problem,
    }
