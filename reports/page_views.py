"""What the page shows of films: strips of shots with the memory that links them, and the shots that scored worst."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.costs import memory_of
from reports.curves import matrices
from reports.media import Media, is_tiny
from reports.tables import RunScores, metric_keys, value_text
from reports.views import FilmView, ShotView
from stbench.scores import Score
from stbench.story import Shot, Story, safe_id

WORST = 5


@dataclass(frozen=True, kw_only=True)
class Card:
    """A shot of a strip. `memory` are the numbers (from 1) of the shots whose keyframes it saw."""

    shot: Shot
    video: str = ""
    poster: str = ""
    tiny: bool = False
    keyframes: tuple[tuple[int, str], ...] = ()
    memory: tuple[int, ...] = ()
    note: str = ""
    missing: str = ""
    wrong: tuple[str, ...] | None = None

    @property
    def number(self) -> int:
        """As people count."""
        return self.shot.index + 1


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A film: one run, one story."""

    run: str
    cards: tuple[Card, ...]
    matrices: Mapping[str, str]  # metric → JSON of S × S numbers

    @property
    def links(self) -> list[tuple[int, int]]:
        """(from, to) of every memory, numbers of shots, each pair once."""
        return sorted({(source, card.number) for card in self.cards for source in card.memory})


@dataclass(frozen=True, kw_only=True)
class StorySection:
    """A story and its films. `values` is JSON: metric → run → mean of the story."""

    key: str
    story: Story
    strips: tuple[Strip, ...]
    values: str


class SectionMaker:
    """Makes sections story by story while films are read; keeps the cards that the worst shots are drawn with."""

    def __init__(self, runs: Sequence[RunScores], media: Media):
        self._runs, self._media = {run.title: run for run in runs}, media
        self._matrices = {run.title: _matrix_json(run) for run in runs}
        self.cards: dict[tuple[str, str, str], Card] = {}  # (run, story, shot)

    def section(self, key: str, story: Story, films: Sequence[tuple[str, FilmView]]) -> StorySection:
        """The section of one story; writes its media."""
        strips = tuple(
            Strip(run=title, cards=self._cards(title, film), matrices=self._matrices[title].get(story.id, {})) for title, film in films
        )
        return StorySection(key=key, story=story, strips=strips, values=self._values(story, [title for title, _ in films]))

    def _cards(self, title: str, film: FilmView) -> tuple[Card, ...]:
        run = self._runs[title].run
        records = {record.shot: record for record in run.records_of(film.story).records}
        numbers = {shot.id: shot.index + 1 for shot in film.story.shots}
        cards = []
        for view in film.shots:
            record = records.get(view.shot.id)
            name = f"{safe_id(title)}/{film.story.id}/{view.shot.id}"
            seen = memory_of(record.notes) if record else []
            card = Card(
                shot=view.shot,
                video=self._media.video(name, run.shot_video(record)) if record and not view.missing else "",
                poster=self._media.picture(name, view.frames[view.n_frames // 2]) if view.n_frames else "",
                tiny=_tiny(view),
                keyframes=tuple((k, self._media.picture(f"{name}.key{k}", view.frames[k])) for k in view.keyframes if k in view.frames),
                memory=tuple(sorted({numbers[shot] for shot in seen if shot in numbers})),
                note=view.note,
                missing=view.missing,
                wrong=view.wrong,
            )
            self.cards[title, film.story.id, view.shot.id] = card
            cards.append(card)
        return tuple(cards)

    def _values(self, story: Story, titles: Sequence[str]) -> str:
        found: dict[str, dict[str, float]] = {}
        for key in metric_keys(list(self._runs.values())):
            for title in titles:
                line = self._runs[title].line(key)
                if line and story.id in line.by_story:
                    found.setdefault(key[1], {})[title] = round(line.by_story[story.id], 4)
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def _tiny(view: ShotView) -> bool:
    return any(is_tiny(frame.shape[1]) for frame in view.frames.values())


def _matrix_json(run: RunScores) -> dict[str, dict[str, str]]:
    """Story → metric → JSON of its matrix, with two decimals: what a cell shows."""
    found: dict[str, dict[str, str]] = {}
    for matrix in matrices(run):
        rounded = [[round(value, 2) for value in line] for line in matrix.values]
        found.setdefault(matrix.story.id, {})[matrix.metric] = json.dumps(rounded, separators=(",", ":"))
    return found


@dataclass(frozen=True, kw_only=True)
class WorstShot:
    """A shot, or a whole story, with its value; the card is that of the shot, or of the story's first."""

    story: str
    value: str
    card: Card | None
    prompt: str
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Worst:
    """The worst shots of one run by one metric; `note` says where there is nothing to rank, or that more are as bad."""

    run: str
    shots: tuple[WorstShot, ...]
    note: str


def worst_shots(runs: Sequence[RunScores], metric: str, cards: Mapping[tuple[str, str, str], Card]) -> list[Worst]:
    """The five worst shots (or stories, for metrics of whole stories) of each run."""
    found = []
    for run in runs:
        rows = [row for row in run.scores if row.metric == metric and row.value is not None]
        if not rows or rows[0].higher_is_better is None:
            continue
        ordered = sorted(rows, key=lambda row: ((row.value or 0.0) * (1 if row.higher_is_better else -1), row.story, row.shot or ""))
        if ordered[0].value == ordered[-1].value:
            found.append(Worst(run=run.title, shots=(), note=f"all {len(rows)} values are {value_text(rows[0].value, rows[0].unit)}"))
            continue
        limit = ordered[min(WORST, len(ordered)) - 1].value
        alike = sum(row.value == limit for row in ordered)
        shown = sum(row.value == limit for row in ordered[:WORST])
        note = f"{alike - shown} more have the value {value_text(limit, rows[0].unit)}" if alike > shown else ""
        found.append(Worst(run=run.title, shots=tuple(_worst(run, row, cards) for row in ordered[:WORST]), note=note))
    return found


def _worst(run: RunScores, row: Score, cards: Mapping[tuple[str, str, str], Card]) -> WorstShot:
    story = next((story for story in run.run.stories if story.id == row.story), None)
    shot = next((shot for shot in story.shots if shot.id == row.shot), None) if story else None
    card = cards.get((run.title, row.story, row.shot or (story.shots[0].id if story else "")))
    prompt = shot.prompt if shot else story.overview if story else ""
    return WorstShot(story=row.story, value=value_text(row.value, row.unit), card=card, prompt=prompt, whole=row.shot is None)
