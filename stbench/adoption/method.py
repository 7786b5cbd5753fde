"""`videos`: films made elsewhere (Sora, Kling, Veo, …) as a method, so that they stand in the same tables as everything else.

Nothing is filmed and nothing is encoded again: files are taken over as `stbench score --videos` does it, into the same kind of run
folder. What made them is not in the files, so base model, licence and steps are what the user says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from stbench.adoption.adopt import METHOD, identity_of, take_over, write_mapping
from stbench.adoption.cuts import Cutting, cut_films, parse_lengths
from stbench.adoption.layout import Source, find_layout
from stbench.errors import UserError, did_you_mean
from stbench.filming import StoryOutcome
from stbench.journal import Journal
from stbench.methods import MethodCard, ShotMaker
from stbench.store import RunFolder

FACTS = ("base_model", "licence", "parameters", "steps")  # what the user may say of what made them
OPTIONS = ("folder", "shot_frames", *FACTS)


class Videos:
    """Films made elsewhere: `--set folder=DIR`, one file per shot or one per story; say what made them with base_model, licence, steps."""

    name = METHOD

    def __init__(self, folder: Path, lengths: Mapping[str, tuple[int, ...]] | None, card: MethodCard):
        self.folder, self._lengths, self._card = folder, lengths, card

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> Videos:
        """Build from `--set`; `--model` means nothing to it.

        Raises:
            UserError: No folder, an unknown option, or a number that is none.
        """
        for key in options:
            if key not in OPTIONS:
                expected = "one of: " + ", ".join(OPTIONS)
                raise UserError(f"unknown option {key!r}", where=f"--set of {cls.name}", expected=expected, hint=did_you_mean(key, OPTIONS))
        if "folder" not in options:
            raise UserError("which films?", where=f"--method {cls.name}", expected="--set folder=DIR, with <story>/<scene>_<shot>.mp4")
        numbers = {name: _number(options[name], name) for name in ("parameters", "steps") if name in options}
        card = MethodCard(base_model=options.get("base_model", "not told"), licence=options.get("licence", "not told"), **numbers)
        lengths = parse_lengths(options["shot_frames"]) if "shot_frames" in options else None
        folder = Path(options["folder"]).expanduser()
        if not folder.is_dir():
            raise UserError("is not a folder" if folder.exists() else "does not exist", where=f"--set folder={folder}", expected="films")
        return cls(folder, lengths, card)

    def identity(self) -> Mapping[str, Any]:
        """The folder's name; the bytes of the films are in the records of the shots."""
        return identity_of(self.folder)

    def describe(self) -> str:
        """One line."""
        return f"videos made elsewhere, from the folder {self.folder.resolve().name}; base model {self._card.base_model}"

    def card(self) -> MethodCard:
        """What the user said of what made them."""
        return self._card

    @contextmanager
    def open(self, device: str) -> Iterator[ShotMaker]:
        """There is nothing to open: films are taken over."""
        raise UserError("videos are taken over, not made", where=self.name)
        yield  # pragma: no cover - makes it a generator

    def take_over(self, folder: RunFolder, journal: Journal) -> Iterator[StoryOutcome]:
        """Bring the films into a run folder.

        Raises:
            UserError: No file belongs to a story, or one film per story and nobody said where it is cut.
        """
        layout = cut_films(find_layout(self.folder, folder.stories), folder.stories, Cutting(lengths=self._lengths))
        known = {part.story.id: {record.shot: record.video.sha256 for record in part.records} for part in folder.story_records()}
        sources: list[Source] = []
        for story, found in take_over(folder, layout, journal):
            sources += found
            yield self._outcome(folder, story.id, found, known.get(story.id, {}))
        adopted = write_mapping(folder, replace(layout, sources=tuple(sources)))
        journal.add("videos_adopted", folder=self.folder.resolve().name, **adopted.counts())
        if layout.extra:
            journal.add("videos_left_over", files=[path.name for path in layout.extra])

    def _outcome(self, folder: RunFolder, story: str, found: list[Source], known: Mapping[str, str]) -> StoryOutcome:
        """What became of a story."""
        there = [source.shot.id for source in found if source.kind is None]
        records = {shot: folder.record(story, shot) for shot in there}
        reused = sum(record is not None and known.get(shot) == record.video.sha256 for shot, record in records.items())
        return StoryOutcome(story=story, made=len(there) - reused, reused=reused, failed=len(found) - len(there), skipped=0)


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise UserError(f"found {text!r:.40}", where=f"--set {name}", expected="a whole number")
    return int(text)
