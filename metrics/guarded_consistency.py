"""Guarded consistency: consistency that a frozen or copied film cannot win.

A film that shows one picture for ever is perfectly consistent. So a pair of shots counts only if both shots move, both show what their
prompts say rather than what the story's other prompts say, and neither is a copy of the other. A pair that does not count adds nothing,
yet stays in the mean: only a consistent *film* comes out high. After the fidelity gate of EntityBench.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Expects, Features, Found, Need, NoValueError, OfFrames, StoryClips, Unit, clip_features, whole_story
from metrics.cross_shot_appearance import appearances
from metrics.cross_shot_consistency import similarity_matrix, upper_pairs
from metrics.frames import taken
from metrics.join_continuity import STILL

COPY_COSINE, COPY_PROFILE = 0.99, 0.05  # of features, and of how much the pixels change from frame to frame


def matches_prompt(similarity_SS: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
    """(S,) bool: is a shot more similar to its own prompt than to the story's other prompts on average?

    Args:
        similarity_SS: Cosine of shot i and prompt j.
        prompts: Equal prompts are no rivals; a story of equal prompts matches.

    Example:
        >>> matches_prompt(np.array([[0.9, 0.1], [0.8, 0.2]]), ["a", "b"]).tolist()
        [True, False]
    """
    result = []
    for i, own in enumerate(prompts):
        others = [float(similarity_SS[i, j]) for j, other in enumerate(prompts) if other != own]
        result.append(not others or float(similarity_SS[i, i]) > float(np.mean(others)))
    return np.array(result)


def is_copy(cosine: float, first: np.ndarray, second: np.ndarray) -> bool:
    """Same features, and pixels that change by the same amounts at the same frames (a dropped first frame aside).

    Example:
        >>> is_copy(1.0, np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0])), is_copy(1.0, np.array([3.0, 1.0]), np.array([1.0, 3.0]))
        (True, False)
    """
    if cosine < COPY_COSINE:
        return False
    count = min(len(first), len(second))
    for a, b in ((first[:count], second[:count]), (first[len(first) - count :], second[len(second) - count :])):
        if np.abs(a - b).sum() <= COPY_PROFILE * max(float(np.maximum(a, b).sum()), 1e-9):
            return True
    return False


def guarded_mean(similarity_SS: np.ndarray, counts_SS: np.ndarray) -> float:
    """Mean over all pairs of the similarity of those that count (never below 0) and 0 for the others; one shot has none (`NoValueError`).

    Example:
        >>> guarded_mean(np.array([[1.0, 0.8], [0.8, 1.0]]), np.array([[True, False], [False, True]]))
        0.0
    """
    if len(similarity_SS) < 2:
        raise NoValueError("the film has one shot: no pairs to compare")
    return float(np.where(upper_pairs(counts_SS), np.maximum(upper_pairs(similarity_SS), 0), 0).mean())


@dataclass(frozen=True)
class GuardedConsistency(OfFrames):
    """Mean appearance similarity over all pairs of shots; pairs that stand still, miss their prompts or are copies add nothing."""

    name: ClassVar[str] = "guarded_consistency"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    source: ClassVar[str] = "of this project; fidelity gate as in EntityBench (arXiv 2605.15199)"
    expects: ClassVar[Expects] = Expects(
        falls=("identity_swap", "colour_drift", "style_drift"),
        detects=("freeze", "prompt_swap", "shot_shuffle"),  # these shut the gate: no scale
        keeps=("background_swap",),
    )
    encoder: str = "world-dino"
    prompts: str | None = "world-clip"  # the encoder of shots and prompts; None: prompts are not checked

    @property
    def needs(self) -> tuple[Need, ...]:
        """Appearance, motion and, for prompts, video features."""
        always = (self.need, Need(kind="differences"))
        return (*always, Need(kind="video", encoder=self.prompts)) if self.prompts else always

    def units(self, film: StoryClips) -> list[Unit]:
        """The film, with its prompts."""
        return whole_story(film, [clip.shot.prompt for clip in film.clips])

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Gate, then average."""
        shots, frames = appearances(film, unit, self.need, features)
        similarity = similarity_matrix(shots)
        changes = [features.clip(Need(kind="differences"), film.clips[index]) for index in unit.clips]
        moves = np.array([len(change) > 0 and float(change.mean()) >= STILL for change in changes])
        alike, matches = similarity, np.ones(len(shots), bool)
        if self.prompts:
            video = clip_features(film, unit, Need(kind="video", encoder=self.prompts), features)
            alike = similarity_matrix(video)
            matches = matches_prompt(video @ features.texts(self.prompts, unit.texts).T, unit.texts)
        copies = np.array([[is_copy(float(alike[i, j]), changes[i], changes[j]) for j in range(len(shots))] for i in range(len(shots))])
        good = moves & matches
        counts = good[:, None] & good[None, :] & ~copies
        ids = [film.clips[index].shot.id for index in unit.clips]
        detail = {
            "pairs_that_count": int(upper_pairs(counts).sum()),
            "pairs": len(upper_pairs(counts)),
            "still": [ids[i] for i in np.flatnonzero(~moves)],
            "missed_prompt": [ids[i] for i in np.flatnonzero(~matches)],
            "copies": [[ids[i], ids[j]] for i, j in zip(*np.nonzero(np.triu(copies, k=1)), strict=True)],
        }
        return Found(value=guarded_mean(similarity, counts), detail={**detail, **taken(frames)})
