"""Score films under a protocol: each shot decoded once, encoded once per encoder, and nothing computed that is known.

A row's key holds everything that its value depends on (see `metrics.base.Metric.key`). Rows with a known key are reused
as they are, so scores do not depend on order, on interruptions, or on which other metrics ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metrics.base import Clip, Metric, Need, StoryClips
from metrics.cache import FeatureCache
from metrics.features import FeatureSource
from metrics.frames import ALL, check_policy
from metrics.protocols import PROTOCOLS
from metrics.spent import note_scoring
from stbench.adoption.adopt import METHOD, lacking
from stbench.scores import Score

if TYPE_CHECKING:
    from stbench.store import RunFolder, StoryRecords

Progress = Callable[[int, int, str], None]
CACHE = "cache"


def film_of(run: RunFolder, part: StoryRecords) -> StoryClips:
    """The film of one story of a run; shots without a record, or whose file is not what the record says, are missing."""
    given = lacking(run.path) if run.manifest.method == METHOD else {}
    records = {record.shot: record for record in part.records}
    clips = []
    for shot in part.story.shots:
        record = records.get(shot.id)
        if record is None:
            clips.append(Clip(shot=shot, reason=given.get((part.story.id, shot.id), "the shot was not made")))
            continue
        path = run.shot_video(record)
        if record.video.intact(path.parent):
            clips.append(Clip(shot=shot, video=path, digest=record.video.sha256))
        else:
            reason = "the video has other bytes than its record says" if path.is_file() else "the video file is gone"
            clips.append(Clip(shot=shot, reason=reason))
    return StoryClips(story=part.story, clips=tuple(clips))


def applicable(metrics: Sequence[Metric], films: Sequence[StoryClips]) -> tuple[list[Metric], list[str]]:
    """The metrics that have a unit in at least one film, and the names of those that have none."""
    used = [metric for metric in metrics if any(metric.units(film) for film in films)]
    return used, [metric.name for metric in metrics if metric not in used]


def score_films(
    films: Sequence[StoryClips],
    *,
    metrics: Sequence[Metric],
    features: FeatureSource,
    progress: Progress | None = None,
    workers: int = 1,
    forget: bool = True,
) -> list[Score]:
    """One row per metric and unit, film by film; memory does not grow with the number of films.

    Args:
        films: What is to be scored.
        metrics: By what.
        features: From what.
        progress: Called after each clip.
        workers: How many clips of a film are decoded and encoded at the same time; they share one set of weights.
        forget: Free the features of each film when it is scored.
    """
    total, done = sum(len(film.clips) for film in films), 0
    rows: list[Score] = []
    for film in films:
        for clip in _prepared(film, metrics, features, workers):
            done += 1
            if progress:
                progress(done, total, f"{film.story.id} {clip.shot.id}")
        for metric in metrics:
            rows += metric.score(film, features)
        if forget:
            features.forget()
    return rows


def _prepared(film: StoryClips, metrics: Sequence[Metric], features: FeatureSource, workers: int) -> Iterator[Clip]:
    """Compute what the film's rows will read; yields each clip when it is done. Clips with the same bytes are one piece of work."""
    needs = _pending_needs(film, metrics, features)
    groups: dict[str, list[int]] = {}
    for i, clip in enumerate(film.clips):
        groups.setdefault(clip.digest or f"none {i}", []).append(i)

    def work(group: list[int]) -> list[Clip]:
        for i in group:
            features.prepare(film.clips[i], sorted(needs.get(i, ()), key=repr))
        return [film.clips[i] for i in group]

    if workers == 1:
        for group in groups.values():
            yield from work(group)
        return
    from concurrent.futures import ThreadPoolExecutor, as_completed

    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(work, group) for group in groups.values()]
        try:
            for job in as_completed(jobs):
                yield from job.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _pending_needs(film: StoryClips, metrics: Sequence[Metric], features: FeatureSource) -> dict[int, set[Need]]:
    """Clip index → features that some row that is not known yet will read."""
    needs: dict[int, set[Need]] = {}
    for metric in metrics:
        for unit in metric.pending(film, features):
            for i in unit.clips:
                needs.setdefault(i, set()).add(metric.need)
    return needs


def known_rows(rows: Sequence[Score]) -> Mapping[str, Score]:
    """Stored rows by key."""
    return {row.key: row for row in rows}


def score_run(
    run: RunFolder, *, protocol: str, device: str, progress: Progress | None = None, frames: str = ALL, workers: int = 1, half: bool = False
) -> list[Score]:
    """All rows of a protocol for a run folder; features are kept under its `cache/`.

    Args:
        run: The run.
        protocol: A name of `metrics.protocols.PROTOCOLS`.
        device: Where encoders run ("cpu", "cuda", …).
        progress: Called as progress(shots done, shots, where it is).
        frames: Which frames stand for a shot: "all", "auto" or a number (`metrics.frames`).
        workers: Clips of a film that are worked on at the same time.
        half: Published encoders see pictures in half precision (`metrics.encoders.half`).

    Returns:
        One row for each expected unit, with a value or a reason. Metrics that apply to no film of the run (ground truth
        for scripts that carry none) have no rows; `progress` is told once.
    """
    plan = PROTOCOLS.get(protocol)
    films = [film_of(run, part) for part in run.story_records()]
    metrics, left_out = applicable(plan.metrics, films)
    if left_out and progress:
        total, why = sum(len(film.clips) for film in films), "ground truth, who appears where, a shot without a cut"
        progress(0, total, f"left out, the scripts say nothing that they need ({why}): {', '.join(left_out)}")
    cache = FeatureCache(Path(run.path) / CACHE)
    known = known_rows(run.scores())
    features = FeatureSource(protocol=protocol, device=device, cache=cache, known=known, policy=check_policy(frames), half=half)
    rows = score_films(films, metrics=metrics, features=features, progress=progress, workers=workers)
    note_scoring(run, features.spent, protocol=protocol, device=device, workers=workers)
    if frames != ALL and progress:
        progress(0, len(rows), sampling_remark(rows))
    if half and progress:
        progress(0, len(rows), precision_remark(rows))
    if plan.remarks and progress:
        for remark in plan.remarks(rows):
            progress(0, len(rows), remark)
    return rows


def sampling_remark(rows: Sequence[Score]) -> str:
    """How many frames stood for how many, and the largest error that this risks.

    Example:
        >>> sampling_remark([])
        'every frame was encoded'
    """
    sampled = [row for row in rows if "frames_encoded" in row.detail]
    if not sampled:
        return "every frame was encoded"
    encoded, frames = (sum(row.detail[name] for row in sampled) for name in ("frames_encoded", "frames"))
    risks = [row.detail["risk"] for row in sampled if "risk" in row.detail]
    risk = f"; the largest error it risks is {max(risks):.4f}" if risks else "; the error of a fixed number is not known"
    return f"{encoded} of {frames} frames were encoded{risk}"


def precision_remark(rows: Sequence[Score]) -> str:
    """In which precision pictures were seen, and how far features moved by it.

    Example:
        >>> precision_remark([])
        'no encoder of this protocol has half precision'
    """
    details = [row.detail for row in rows if "half_deviation" in row.detail]
    if not details:
        return "no encoder of this protocol has half precision"
    worst = max(detail["half_deviation"] for detail in details)
    return f"{details[0]['precision']}: features were at most {worst:.5f} from those in float32, on the first pictures"
