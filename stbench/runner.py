"""The runner: stories in, films and scores out, in a run folder that can always be continued.

`run` claims the folder, films each story, joins the films, scores and reports. It holds these promises: the same command
continues; a finished shot is never made twice; a kill costs at most the shot in progress; nothing short is called complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stbench.claim import claim, locked
from stbench.config import RunConfig, default_out, resolve_device
from stbench.errors import InvalidRunError, UserError
from stbench.executors.beside import scored_beside
from stbench.executors.local import film_in_turns, film_stories
from stbench.executors.together import film_together
from stbench.files import remove_temporaries
from stbench.filming import LazyMaker, StoryOutcome, Studio, anybody, film_story, reusable
from stbench.films import write_film
from stbench.finished import FILE as STAMP
from stbench.finished import finished, leave_stamp
from stbench.journal import Journal
from stbench.keys import canonical_json, digest
from stbench.manifest import Counts, Manifest, SuiteFact, versions
from stbench.methods import METHODS, Method, card_of
from stbench.repeat import in_words, measure
from stbench.scores import Aggregate, aggregate
from stbench.scoring import check_protocol, report_runs, score_folder
from stbench.storage.mirror import fetch_all, publisher, push_rest, push_results
from stbench.storage.turns import turns_of
from stbench.store import RunFolder
from stbench.suites import Suite, load_suite, with_references
from stbench.verified import Verified

if TYPE_CHECKING:
    from stbench.display import Display

Verdict = Literal["complete", "partial"]


class InterruptedRunError(Exception):
    """Ctrl-C, with what is safe and how to go on."""

    def __init__(self, *, folder: Path, done: int, expected: int, command: str):
        self.folder, self.done, self.expected, self.command = folder, done, expected, command
        super().__init__(f"interrupted: {done} of {expected} shots are safe in {folder}")


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What a run came to.

    Attributes:
        verdict: `complete` only if every shot is there and every expected score has a value.
        folder: The run folder.
        made: Shots made now.
        reused: Shots that were there.
        failed: Shots given up.
        skipped: Shots left out because an earlier one failed.
        aggregates: One line per metric; empty without scoring.
        paths: Name → path or paths, for people and programs.
        command: The command that continues this run.
        scored: Whether scoring was asked for.
    """

    verdict: Verdict
    folder: RunFolder
    made: int
    reused: int
    failed: int
    skipped: int
    aggregates: tuple[Aggregate, ...]
    paths: Mapping[str, Any]
    command: str
    scored: bool

    @property
    def done(self) -> int:
        """Finished shots."""
        return self.made + self.reused

    @property
    def expected(self) -> int:
        """Shots of all stories."""
        return self.done + self.failed + self.skipped


def prepare(config: RunConfig) -> tuple[Method, Suite, Manifest, Path]:
    """Check everything that can be checked before a folder is touched or a model is loaded."""
    if config.score:
        check_protocol(config.protocol)
    suite = with_references(load_suite(config.suite), config.references)
    whole = len(suite.stories)
    if config.limit is not None:
        suite = replace(suite, stories=suite.stories[: config.limit])
    method = METHODS.get(config.method).from_options(model=config.model, options=config.options)
    if config.references and not getattr(method, "takes_references", False):
        raise UserError(f"{config.method} takes no reference pictures", where="--reference", hint="leave it out, or use storymem")
    identity = dict(method.identity())
    canonical_json(identity)
    device = resolve_device(config.device)
    for gpu in config.gpus:
        resolve_device(f"cuda:{gpu}")
    manifest = Manifest(
        status="started",
        name="",
        method=config.method,
        description=method.describe(),
        identity=identity,
        model=config.model,
        options=dict(config.options),
        protocol=config.protocol,
        suite=SuiteFact(name=suite.name, version=suite.version, digest=suite.digest, stories=whole),
        stories=suite.stories,
        seed=config.seed,
        device=device,
        versions=versions(),
        started=0.0,
        counts=Counts(stories=len(suite.stories), expected=suite.shots),
        card=card_of(method),
    )
    pictures = [picture.sha256 for story in suite.stories[:1] for picture in story.references] if config.references else []
    hashed = digest([manifest.identity_digest, *pictures]) if pictures else manifest.identity_digest if config.options else None
    out = config.out or default_out(method=config.method, suite=suite.name, model=config.model, seed=config.seed, identity_digest=hashed)
    return method, suite, manifest.model_copy(update={"name": out.resolve().name}), out


def run(config: RunConfig, display: Display, *, now: Callable[[], float] = time.time) -> RunOutcome:
    """Film, score and report, continuing what is there.

    Raises:
        UserError: Bad input; nothing was lost or overwritten.
        InterruptedRunError: Ctrl-C; finished shots are safe.
    """
    there_already = _nothing_to_do(config, display)
    if there_already is not None:
        return there_already
    method, _, wanted, out = prepare(config)
    with claim(out, wanted) as there:
        started = there.started if there else round(now(), 3)
        manifest = wanted.model_copy(update={"started": started, "repeat": there.repeat if there else None})
        manifest.save(out)
        folder = RunFolder(out, manifest)
        try:
            _mend(folder, display, manifest_damaged=there is not None and not there.intact, now=now)
            if fetched := fetch_all(config.mirror, folder, now):
                display.notes([f"{fetched} shots fetched from {config.mirror}"])
            outcomes = _film(config, method, folder, display, resumed=there is not None, now=now)
            remove_temporaries(*_shot_folders(folder))  # of workers that were killed meanwhile
            _finish_manifest(folder, outcomes, now)
            push_rest(config.mirror, folder, now)
            _measure_spread(config, method, folder, display, now)
            films = [path for part in folder.story_records() if (path := write_film(folder, part))]
            outcome = _score_and_sum_up(config, folder, outcomes, films, display)
            leave_stamp(config, outcome)
            push_results(config.mirror, folder)
            return outcome
        except KeyboardInterrupt as error:
            done = sum(len(part.records) for part in folder.story_records())
            raise InterruptedRunError(folder=out, done=done, expected=manifest.counts.expected, command=config.command()) from error


def _mend(folder: RunFolder, display: Display, *, manifest_damaged: bool, now: Callable[[], float]) -> None:
    """Repair what can be known from the rest of the folder; what was repaired is in the journal and on the screen."""
    repairs = []
    if manifest_damaged:
        repairs.append(("manifest_mended", "the manifest was damaged; every record is of this run, so it was written anew"))
    if rows := folder.mend_scores():
        repairs.append(("scores_dropped", f"{rows} rows of scores were damaged; they are computed again"))
    if repairs:
        with closing(Journal(folder.events_path, now)) as journal:
            for event, text in repairs:
                journal.add(event, text=text)
        display.notes([text for _, text in repairs])


def _nothing_to_do(config: RunConfig, display: Display) -> RunOutcome | None:
    """The outcome of a finished run, without loading anything; None where there is something to do, or where it is not certain."""
    if config.mirror or ((config.options or config.references) and config.out is None):  # the folder's name needs the method's identity
        return None
    out = config.out or default_out(
        method=config.method, suite=load_suite(config.suite).name, model=config.model, seed=config.seed, identity_digest=None
    )
    if not (out / STAMP).is_file():
        return None
    with locked(out):
        outcome = finished(config, out)
    if outcome is not None:
        display.header(outcome.folder.manifest, reused=outcome.reused)
        display.notes(["nothing to do: every shot and every score is there"])
    return outcome


def _shot_folders(folder: RunFolder) -> list[Path]:
    return [folder.shots_path(story.id) for story in folder.stories]


def _film(
    config: RunConfig, method: Method, folder: RunFolder, display: Display, *, resumed: bool, now: Callable[[], float]
) -> list[StoryOutcome]:
    manifest = folder.manifest
    reports = [folder.report_path, *(path for path in folder.report_path.rglob("*") if path.is_dir())]
    remove_temporaries(*_shot_folders(folder), folder.path, folder.path / "films", *reports)
    verified = Verified(folder.path)
    left = {story.id: sum(record is None for _, record in reusable(folder, story, verified=verified)) for story in folder.stories}
    verified.save()
    display.header(manifest, reused=manifest.counts.expected - sum(left.values()))
    notes = _story_notes(method, folder)
    display.notes(notes)
    alone = config.alone or not any(left.values())
    with (
        closing(Journal(folder.events_path, now)) as journal,
        closing(Journal(folder.timing_path, now)) as timing,
        LazyMaker(method, manifest.device, display, folder.stories) as maker,
        turns_of(config.mirror if alone else None, folder, journal, display.line) as turns,
        scored_beside(config.score_workers, folder, config.protocol, display) as score,
    ):
        event = "run_continued" if resumed else "run_started"
        journal.add(event, command=config.command(), device=manifest.device, versions=manifest.versions)
        for note in notes:
            journal.add("story_note", note=note)
        studio = Studio(
            folder=folder,
            maker=maker,
            journal=journal,
            timing=timing,
            display=display,
            device=manifest.device,
            attempts=config.retries + 1,
            on_error=config.on_error,
            published=publisher(config.mirror, folder, journal),
            ensure=turns.ensure if turns else anybody,
        )
        outcomes: list[StoryOutcome] = []
        if take_over := getattr(method, "take_over", None):  # films that are there already
            filming = take_over(folder, journal)
        elif turns:
            filming = film_in_turns(folder.stories, lambda story: film_story(studio, story), turns, left)
        elif alone:
            filming = film_stories(folder.stories, lambda story: film_story(studio, story))
        else:
            filming = film_together(studio, config, left)
        try:
            for outcome in filming:
                display.story_done(outcome)
                outcomes.append(outcome)
                score(outcome)
        except KeyboardInterrupt:
            journal.add("run_interrupted")
            raise
        totals = {name: sum(getattr(o, name) for o in outcomes) for name in ("made", "reused", "failed", "skipped")}
        journal.add("run_filmed", **totals)
    return outcomes


def _story_notes(method: Method, folder: RunFolder) -> list[str]:
    """What the method itself says about each story, where it says anything (an optional `story_notes(story)`)."""
    ask = getattr(method, "story_notes", None)
    return [note for story in folder.stories if (note := ask(story))] if ask else []


def _finish_manifest(folder: RunFolder, outcomes: list[StoryOutcome], now: Callable[[], float]) -> None:
    done, failed = sum(o.done for o in outcomes), sum(o.failed for o in outcomes)
    counts = folder.manifest.counts.model_copy(update={"done": done, "failed": failed})
    status = "complete" if done == counts.expected else "partial" if done else "failed"
    folder.manifest = folder.manifest.model_copy(update={"status": status, "counts": counts, "finished": round(now(), 3)})
    folder.manifest.save(folder.path)


def _measure_spread(config: RunConfig, method: Method, folder: RunFolder, display: Display, now: Callable[[], float]) -> None:
    """Film again as often as was asked for, and put what was found into the manifest."""
    if config.repeat < 2 or folder.manifest.status != "complete":
        return
    found = folder.manifest.repeat
    if found is None or found.times < config.repeat - 1:

        def film(copy: RunFolder) -> None:
            _film(replace(config, mirror=None, score_workers=0), method, copy, display, resumed=copy.events_path.exists(), now=now)

        found = measure(folder, config.repeat - 1, film)
        folder.manifest = folder.manifest.model_copy(update={"repeat": found})
        folder.manifest.save(folder.path)
    display.notes([in_words(found)])
    if config.verify and found.equal < found.shots:
        raise InvalidRunError(in_words(found), where=str(folder.path), expected="the same frames every time")


def _score_and_sum_up(
    config: RunConfig, folder: RunFolder, outcomes: list[StoryOutcome], films: list[Path], display: Display
) -> RunOutcome:
    paths: dict[str, Any] = {"run": folder.path, "films": films}
    aggregates: tuple[Aggregate, ...] = ()
    if config.score:
        aggregates, written = score_and_report(folder, protocol=config.protocol, device=folder.manifest.device, display=display)
        paths |= written
    filmed = folder.manifest.status == "complete"
    return RunOutcome(
        verdict="complete" if filmed and all(line.complete for line in aggregates) else "partial",
        folder=folder,
        made=sum(o.made for o in outcomes),
        reused=sum(o.reused for o in outcomes),
        failed=sum(o.failed for o in outcomes),
        skipped=sum(o.skipped for o in outcomes),
        aggregates=aggregates,
        paths=paths,
        command=config.command(),
        scored=config.score,
    )


def score_and_report(
    folder: RunFolder, *, protocol: str, device: str, display: Display, how: Mapping[str, Any] | None = None
) -> tuple[tuple[Aggregate, ...], dict[str, Any]]:
    """Score a run under a protocol, write its report, and sum the rows up."""
    rows = score_folder(folder, protocol=protocol, device=device, progress=display.scoring, how=how)
    written = report_runs([folder], folder.report_path)
    return tuple(aggregate(rows)), {"scores": folder.scores_path, **written}


def rescore(folder: RunFolder, *, protocol: str | None, device: str, display: Display, how: Mapping[str, Any] | None = None) -> RunOutcome:
    """`stbench score`: score an existing run; nothing is generated. `how`: see `stbench.scoring.score_folder`."""
    with locked(folder.path):
        device = resolve_device(device)
        protocol = protocol or folder.manifest.protocol
        check_protocol(protocol)
        parts = folder.story_records()
        done = sum(len(part.records) for part in parts)
        _mend(folder, display, manifest_damaged=False, now=time.time)
        aggregates, written = score_and_report(folder, protocol=protocol, device=device, display=display, how=how)
    films = [path for path in (folder.film_path(part.story.id) for part in parts) if path.exists()]
    full = done == folder.manifest.counts.expected
    return RunOutcome(
        verdict="complete" if full and all(line.complete for line in aggregates) else "partial",
        folder=folder,
        made=0,
        reused=done,
        failed=0,
        skipped=folder.manifest.counts.expected - done,
        aggregates=aggregates,
        paths={"run": folder.path, "films": films, **written},
        command=f"stbench score {folder.path}",
        scored=True,
    )
