"""Filming one story: each shot is reused, made, or given up, in order; what happened is in the journal before the next step.

A method sees exactly what its key covers: the story up to the shot, the seed, and the finished shots before it.
"""

from __future__ import annotations

import gc
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from stbench.errors import InvalidRunError, UserError
from stbench.journal import read_journal
from stbench.keys import sees_whole_story, story_keys
from stbench.machine import Watch
from stbench.methods import FinishedShot, ShotRequest
from stbench.publish import as_facts, publish_shot
from stbench.record import InputShot, ShotRecord, SpanFact, as_input
from stbench.seeds import shot_seed
from stbench.timing import LOAD, VIDEO_ENCODE, WHOLE_SHOT, Stopwatch
from stbench.validity import check_result
from stbench.verified import Verified

if TYPE_CHECKING:
    from stbench.display import Display
    from stbench.journal import Journal
    from stbench.methods import Method, ShotMaker, ShotResult
    from stbench.store import RunFolder
    from stbench.story import Shot, Story


@dataclass(frozen=True, kw_only=True)
class StoryOutcome:
    """How many shots of a story were made now, reused, given up, and left out because an earlier one is missing.

    `fetched` of those reused were made meanwhile by another machine.
    """

    story: str
    made: int
    reused: int
    failed: int
    skipped: int
    fetched: int = 0

    @property
    def done(self) -> int:
        """Finished shots."""
        return self.made + self.reused


class LazyMaker:
    """The method with its models loaded at the first shot that needs them; a run that reuses every shot loads nothing."""

    def __init__(self, method: Method, device: str, display: Display, stories: Sequence[Story] = ()):
        self._method, self._device, self._display, self._stories = method, device, display, stories
        self._stack = ExitStack()
        self._maker: ShotMaker | None = None
        self._prepared = False
        self.load_s: float | None = None
        self.made: set[str] = set()  # modes of the shots made with these loaded models

    def __enter__(self) -> LazyMaker:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def get(self) -> ShotMaker:
        """The maker; loads the models at the first call."""
        if self._maker is None:
            self._display.loading(self._method.name, self._device)
            began = time.perf_counter()
            context: AbstractContextManager[ShotMaker] = self._method.open(self._device)
            self._maker = self._stack.enter_context(context)
            self._prepare()
            self.load_s = time.perf_counter() - began
        self._prepare()
        return self._maker

    def expect(self, stories: Sequence[Story]) -> None:
        """These are next: what depends on their prompts alone is done before their first shot."""
        self._stories, self._prepared = stories, False

    def _prepare(self) -> None:
        if not self._prepared and (prepare := getattr(self._maker, "prepare", None)):  # for all of them at once
            prepare(self._stories)
        self._prepared = True


class Halt:
    """Set once, with the reason, by the policy "stop" or an interruption: from then on nothing new is made."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def set(self, reason: str) -> None:
        """Stop; the first reason stays."""
        self.reason = self.reason or reason


def anybody(story: str) -> None:
    """One process films, so every story is its own."""


def _kept_here(record: ShotRecord) -> None:
    """The run folder is where shots are."""


@dataclass(frozen=True, kw_only=True)
class Studio:
    """What filming needs, the same for all stories that one process films."""

    folder: RunFolder
    maker: LazyMaker
    journal: Journal
    timing: Journal
    display: Display
    device: str
    attempts: int = 2  # per shot, the first one included
    on_error: str = "skip-story"  # one of `stbench.config.POLICIES`
    halt: Halt = field(default_factory=Halt)
    shared: bool = False  # other processes film other stories of this run, so scores and manifest are not this one's to change
    published: Callable[[ShotRecord], None] = _kept_here  # what else happens to a finished shot
    ensure: Callable[[str], None] = anybody  # raises if the story is no longer this process's to publish

    @cached_property
    def journalled(self) -> set[str]:
        """Keys of the shots that the journal knew; one whose line was damaged is noted anew when it is used again."""
        events = read_journal(self.folder.events_path).events
        return {str(event.get("key")) for event in events if event.get("event") in ("shot_started", "shot_found")}

    @cached_property
    def verified(self) -> Verified:
        """Which files need not be hashed again."""
        return Verified(self.folder.path)


def film_story(studio: Studio, story: Story) -> StoryOutcome:
    """Film one story, reusing what is finished; what a shot that keeps failing does to the others is the studio's policy."""
    made = reused = failed = 0
    skipped: list[str] = []
    records: list[ShotRecord] = []
    shots = reusable(studio.folder, story, studio.journal, verified=studio.verified)
    for shot, (key, record) in zip(story.shots, shots, strict=True):
        if record is None:
            if studio.halt.reason or (failed and studio.on_error != "continue-story"):
                skipped.append(shot.id)
                continue
            studio.display.shot_started(story, shot)
            if made == 0 and not studio.shared:
                studio.folder.forget(story.id)
            record = _make(studio, story, shot, key, records)
            if record is None:
                failed += 1
                if studio.on_error == "stop":
                    studio.halt.set("a shot of another story failed, and the policy is to stop")
                continue
            made += 1
            studio.display.shot_done(story, shot, seconds=record.seconds, reused=False)
        else:
            reused += 1
            if key not in studio.journalled:
                studio.journal.add("shot_found", story=story.id, shot=shot.id, key=key)
            studio.display.shot_done(story, shot, seconds=record.seconds, reused=True)
        records.append(record)
    if skipped:
        reason = "an earlier shot of the story failed" if failed else studio.halt.reason
        studio.journal.add("shots_skipped", story=story.id, shots=skipped, reason=reason)
    return StoryOutcome(story=story.id, made=made, reused=reused, failed=failed, skipped=len(skipped))


def reusable(
    folder: RunFolder, story: Story, journal: Journal | None = None, *, verified: Verified | None = None
) -> Iterator[tuple[str, ShotRecord | None]]:
    """For each shot, its key and its finished record, or None where it must be made. Decided when the iterator gets there.

    A finished shot has the right key, intact files, and was made from the very shots that are there now.
    """
    keys = story_keys(identity=folder.manifest.identity, story=story, run_seed=folder.manifest.seed)
    before: list[InputShot] = []
    known = verified or Verified(folder.path)
    for shot, key in zip(story.shots, keys, strict=True):
        try:
            record = folder.record(story.id, shot.id)
            problem = _problem(folder, record, key, before, known)
        except InvalidRunError as error:
            record, problem = None, str(error)
        if record is not None and problem and journal:
            journal.add("shot_not_reused", story=story.id, shot=shot.id, reason=problem)
        yield key, None if problem else record
        now = None
        try:
            now = folder.record(story.id, shot.id)  # it may have been made since
        except InvalidRunError:
            continue
        if now is not None:
            before.append(as_input(now))


def _problem(folder: RunFolder, record: ShotRecord | None, key: str, before: list[InputShot], verified: Verified) -> str | None:
    """Why a record cannot be reused, or None."""
    if record is None:
        return "there is none"
    if not record.intact:
        return "its record was altered"
    if record.shot_key != key:
        return "what it depends on has changed"
    if list(record.inputs) != before:
        return "an earlier shot that it was made from was made again"
    for file in record.files:
        if not verified.matches(folder.file(record, file), file.sha256):
            return f"{file.name} is missing or has other bytes"
    return None


def _make(studio: Studio, story: Story, shot: Shot, key: str, records: list[ShotRecord]) -> ShotRecord | None:
    """Make and publish one shot; None after the last failed attempt. Every attempt is in the journal."""
    manifest = studio.folder.manifest
    seen = story if sees_whole_story(manifest.identity) else replace(story, shots=story.shots[: shot.index + 1])
    seeds = tuple(shot_seed(run_seed=manifest.seed, story=story.id, index=one.index) for one in seen.shots)
    request = ShotRequest(
        story=seen,
        shot=shot,
        seed=seeds[shot.index],
        finished=tuple(_finished(studio.folder, story, record) for record in records),
        seeds=seeds,
    )
    for attempt in range(1, studio.attempts + 1):
        try:
            return _attempt(studio, request, key, records, attempt)
        except UserError:
            raise
        except Exception as error:  # a method is foreign code: whatever it raises is one failed attempt, recorded
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            trace = "".join(traceback.format_exception(error))[-4000:]
            studio.journal.add(
                "shot_failed", story=story.id, shot=shot.id, attempt=attempt, of=studio.attempts, reason=reason, traceback=trace
            )
            studio.display.failure(story, shot, attempt=attempt, attempts=studio.attempts, reason=reason)
        _free_memory()
    studio.journal.add("shot_given_up", story=story.id, shot=shot.id, attempts=studio.attempts)
    return None


def _attempt(studio: Studio, request: ShotRequest, key: str, records: list[ShotRecord], attempt: int) -> ShotRecord:
    story, shot = request.story, request.shot
    studio.journal.add("shot_started", story=story.id, shot=shot.id, attempt=attempt, seed=request.seed, key=key)
    maker = studio.maker.get()
    with Watch(studio.device) as watch:
        result = maker.shot(request)
    check_result(result)
    studio.ensure(story.id)
    publishing = Stopwatch()
    with publishing.time(VIDEO_ENCODE):
        record = publish_shot(
            studio.folder.shots_path(story.id),
            request,
            result,
            key=key,
            inputs=[as_input(done) for done in records],
            seconds=watch.seconds,
            device=studio.device,
            attempt=attempt,
        )
    studio.journal.add("shot_done", story=story.id, shot=shot.id, key=key, video=record.video.sha256, seconds=record.seconds)
    _write_timing(studio, request, result, watch, publishing)
    studio.published(record)
    return record


def _write_timing(studio: Studio, request: ShotRequest, result: ShotResult, watch: Watch, publishing: Stopwatch) -> None:
    """Raw spans: the whole shot, then the method's own stages, then its publishing. The first shot of a mode after loading is not warm."""
    mode, maker = str(result.notes.get("mode", "")), studio.maker
    facts = {"story": request.story.id, "shot": request.shot.id, "device": studio.device, "warm": mode in maker.made}
    whole = SpanFact(stage=WHOLE_SHOT, seconds=round(watch.seconds, 4), start_s=0.0, detail={**watch.facts(), "mode": mode})
    spans = [whole, *as_facts((*result.spans, *publishing.spans), watch.began)]
    if not maker.made and maker.load_s is not None:
        spans.insert(0, SpanFact(stage=LOAD, seconds=round(maker.load_s, 4)))
    studio.timing.add_all("span", [{**facts, **span.model_dump(exclude_none=True)} for span in spans])
    maker.made.add(mode)


def _finished(folder: RunFolder, story: Story, record: ShotRecord) -> FinishedShot:
    return FinishedShot(
        shot=story.shots[record.index],
        video=folder.shot_video(record),
        keyframes=folder.keyframe_paths(record),
        tail=folder.tail_paths(record),
    )


def _free_memory() -> None:
    """After a failure, so that a retry after "out of memory" has a chance."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
