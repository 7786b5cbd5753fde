"""What a metric is: which units of a film it scores, from which features, and the arithmetic in between.

A metric never opens a file and never picks a device. It lists its `units` (a shot, or the whole story) with everything
that their value depends on; the base class turns that into a key, reuses a known row with the same key, and asks
`measure` for the others. Where there is no number, `measure` gives a reason.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from stbench.keys import digest
from stbench.registry import Registry
from stbench.scores import Score
from stbench.story import Shot, Story

if TYPE_CHECKING:
    from metrics.frames import FrameSet


class NoValueError(Exception):
    """There is no number for this unit; the message is the reason shown to people."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One shot as it was filmed: a video file, or the reason why there is none."""

    shot: Shot
    video: Path | None = None
    digest: str | None = None  # sha256 of the video file
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class StoryClips:
    """A film to be scored: the script and its shots in order, missing ones included."""

    story: Story
    clips: tuple[Clip, ...]


@dataclass(frozen=True, kw_only=True)
class Need:
    """A kind of feature of one clip: "video" or "frames" of an encoder, or something read from the pixels."""

    kind: str
    encoder: str | None = None
    detector: str | None = None  # kind "entities": what finds the boxes that the encoder sees

    @property
    def is_text(self) -> bool:
        """The feature is made of strings."""
        return self.kind == "reading"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One thing to be scored, with every input besides the metric itself."""

    shot: str | None  # Shot.id, or None for the whole story
    clips: tuple[int, ...]  # indices into StoryClips.clips whose pixels count
    texts: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)  # JSON-able: the truth, …


@dataclass(frozen=True, kw_only=True)
class Found:
    """What `measure` found: a finite number, and facts for people who look closer."""

    value: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Expects:
    """What a metric claims to see, and not to see; names are those of `metrics.validation.perturbations`.

    Example:
        >>> Expects(falls=("blur",), keeps=("prompt_swap",)).of("blur")
        'falls'
    """

    falls: tuple[str, ...] = ()  # level by level
    rises: tuple[str, ...] = ()
    detects: tuple[str, ...] = ()  # falls, at full harm
    keeps: tuple[str, ...] = ()

    def of(self, perturbation: str) -> str | None:
        """What is expected under one perturbation, or None."""
        return next((name for name in ("falls", "rises", "detects", "keeps") if perturbation in getattr(self, name)), None)


class Features(Protocol):
    """Where features come from (a cache, or an encoder), and what is known already."""

    protocol: str
    known: Mapping[str, Score]  # rows of an earlier scoring, by key

    def digest(self, need: Need) -> str:
        """sha256 of what makes this kind of feature."""
        ...

    def clip(self, need: Need, clip: Clip) -> np.ndarray:
        """The feature of one clip; raises `NoValueError`."""
        ...

    def frames(self, need: Need, clip: Clip) -> FrameSet:
        """Frame features of one clip, under the frame policy; raises `NoValueError`."""
        ...

    def texts(self, encoder: str, texts: Sequence[str]) -> np.ndarray:
        """(N, D) unit vectors of N texts."""
        ...

    def precision(self, needs: Sequence[Need]) -> Mapping[str, Any]:
        """For the detail of a score: how far features in half precision are from full ones; nothing in full precision."""
        ...


@dataclass(frozen=True)
class Metric(ABC):
    """A metric; its dataclass fields are its settings and part of every key."""

    name: ClassVar[str]
    version: ClassVar[int]  # bumped when any number could change
    unit: ClassVar[str]
    higher_is_better: ClassVar[bool | None]
    range: ClassVar[tuple[float, float]]
    source: ClassVar[str]
    expects: ClassVar[Expects] = Expects()  # checked by `stbench validate-metrics`

    @property
    @abstractmethod
    def need(self) -> Need:
        """The kind of feature that it reads of every clip, and by whose encoder its rows are told apart."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """All kinds of features that it reads; `need` first."""
        return (self.need,)

    @abstractmethod
    def units(self, film: StoryClips) -> list[Unit]:
        """What is to be scored in this film, in order; nothing for films that it does not apply to."""

    @abstractmethod
    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """The value of one unit; raises `NoValueError` with the reason where there is none."""

    def args(self) -> dict[str, Any]:
        """The settings, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def key(self, film: StoryClips, unit: Unit, features: Features) -> str:
        """Hash of everything that the value depends on."""
        videos = [film.clips[i].digest or f"none: {film.clips[i].reason}" for i in unit.clips]
        made = [[need.kind, need.encoder, features.digest(need)] for need in self.needs]
        return digest(
            {
                "metric": self.name,
                "version": self.version,
                "args": self.args(),
                "feature": made[0] if len(made) == 1 else made,
                "videos": videos,
                "texts": list(unit.texts),
                "facts": dict(unit.facts),
            }
        )

    def encoder_names(self) -> str | None:
        """What makes its features: one name, or several joined by " + "."""
        names = [name for need in self.needs for name in (need.encoder, need.detector) if name]
        return " + ".join(dict.fromkeys(names)) or None

    def encoders_digest(self, features: Features) -> str | None:
        """sha256 of all that makes its features: rows with different ones are not compared."""
        made = [features.digest(need) for need in self.needs if need.encoder]
        return (made[0] if len(made) == 1 else digest(made)) if made else None

    def pending(self, film: StoryClips, features: Features) -> list[Unit]:
        """The units that no known row answers."""
        return [unit for unit in self.units(film) if self.key(film, unit, features) not in features.known]

    def score(self, film: StoryClips, features: Features) -> list[Score]:
        """One row per unit: reused where the key is known, measured otherwise."""
        return [self._row(film, unit, features) for unit in self.units(film)]

    def _row(self, film: StoryClips, unit: Unit, features: Features) -> Score:
        key = self.key(film, unit, features)
        known = features.known.get(key)
        if known is not None:
            return replace(known, protocol=features.protocol, story=film.story.id, shot=unit.shot)
        value, reason, detail = None, None, {}
        try:
            check_complete(film, unit)
            found = self.measure(film, unit, features)
            if not math.isfinite(found.value):
                raise NoValueError(f"the result is not a finite number ({found.value})")
            value, detail = found.value, {**found.detail, **features.precision(self.needs)}
        except NoValueError as why:
            reason = str(why)
        return Score(
            metric=self.name,
            version=self.version,
            unit=self.unit,
            higher_is_better=self.higher_is_better,
            protocol=features.protocol,
            story=film.story.id,
            shot=unit.shot,
            value=value,
            reason=reason,
            encoder=self.encoder_names(),
            encoder_digest=self.encoders_digest(features),
            key=key,
            detail=detail,
        )


@dataclass(frozen=True)
class OfFrames(Metric):
    """A metric on one encoder's features of frames."""

    encoder: str

    @property
    def need(self) -> Need:
        """Features of the frames that the policy takes."""
        return Need(kind="frames", encoder=self.encoder)


@dataclass(frozen=True)
class OfVideos(Metric):
    """A metric on one encoder's features of whole shots, and of texts in the same space."""

    encoder: str

    @property
    def need(self) -> Need:
        """One feature per shot."""
        return Need(kind="video", encoder=self.encoder)


def check_complete(film: StoryClips, unit: Unit) -> None:
    """Raise `NoValueError` where a shot that the unit needs is missing."""
    missing = [film.clips[i] for i in unit.clips if film.clips[i].video is None]
    if not missing:
        return
    if len(unit.clips) == 1:
        raise NoValueError(missing[0].reason or "the shot is missing")
    raise NoValueError(f"{len(missing)} of {len(unit.clips)} shots missing: " + ", ".join(clip.shot.id for clip in missing))


def each_shot(film: StoryClips) -> list[Unit]:
    """One unit per shot."""
    return [Unit(shot=clip.shot.id, clips=(i,)) for i, clip in enumerate(film.clips)]


def whole_story(film: StoryClips, texts: Sequence[str] = ()) -> list[Unit]:
    """One unit for the film."""
    return [Unit(shot=None, clips=tuple(range(len(film.clips))), texts=tuple(texts))]


def clip_features(film: StoryClips, unit: Unit, need: Need, features: Features) -> np.ndarray:
    """Features of the unit's clips, stacked."""
    return np.stack([features.clip(need, film.clips[i]) for i in unit.clips])


METRICS: Registry[type[Metric]] = Registry("metric", group="stbench.metrics")
METRICS.add("aesthetic_quality", "metrics.aesthetic_quality:AestheticQuality")
METRICS.add("background_consistency", "metrics.background_consistency:BackgroundConsistency")
METRICS.add("cross_shot_consistency", "metrics.cross_shot_consistency:CrossShotConsistency")
METRICS.add("cross_shot_consistency_top10", "metrics.cross_shot_consistency_top10:CrossShotConsistencyTop10")
METRICS.add("cross_shot_appearance", "metrics.cross_shot_appearance:CrossShotAppearance")
METRICS.add("entity_consistency", "metrics.entity_consistency:EntityConsistency")
METRICS.add("entity_appearance", "metrics.entity_crops:EntityAppearance")
METRICS.add("gap_decay", "metrics.gap_decay:GapDecay")
METRICS.add("guarded_consistency", "metrics.guarded_consistency:GuardedConsistency")
METRICS.add("join_appearance", "metrics.join_continuity:JoinAppearance")
METRICS.add("join_motion", "metrics.join_continuity:JoinMotion")
METRICS.add("motion_magnitude", "metrics.motion:MotionMagnitude")
METRICS.add("motion_smoothness", "metrics.motion:MotionSmoothness")
METRICS.add("overall_consistency", "metrics.overall_consistency:OverallConsistency")
METRICS.add("prompt_following_global", "metrics.prompt_following_global:PromptFollowingGlobal")
METRICS.add("prompt_following_single_shot", "metrics.prompt_following_single_shot:PromptFollowingSingleShot")
METRICS.add("subject_consistency", "metrics.subject_consistency:SubjectConsistency")
METRICS.add("temporal_flickering", "metrics.temporal_flickering:TemporalFlickering")
METRICS.add("truth_place", "metrics.truth_prompt:TruthPlace")
METRICS.add("truth_species", "metrics.truth_prompt:TruthSpecies")
METRICS.add("truth_action", "metrics.truth_prompt:TruthAction")
METRICS.add("truth_size", "metrics.truth_prompt:TruthSize")
METRICS.add("truth_colour_kept", "metrics.truth_kept:TruthColourKept")
METRICS.add("truth_accessory_kept", "metrics.truth_kept:TruthAccessoryKept")
