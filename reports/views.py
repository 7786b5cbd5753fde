"""What a picture of a run shows: small frozen records between the reader of run folders and the drawing code.

A view holds the few frames that are drawn, not whole films: a story of 14B-sized shots would not fit in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stbench.story import Shot, Story


@dataclass(frozen=True, kw_only=True)
class RunLabel:
    """How a run is called in headings."""

    name: str
    method: str
    model: str
    suite: str
    seed: int

    @property
    def line(self) -> str:
        """One line for a heading, method first."""
        model = f"model {self.model}" if self.model else ""
        return "   ·   ".join(part for part in (self.method, model, f"suite {self.suite}", f"seed {self.seed}") if part)


def titles_of(runs: Sequence[RunLabel]) -> list[str]:
    """A short name for each run, no two alike: its method, and where methods repeat, what tells the runs apart.

    Example:
        >>> titles_of([RunLabel(name=f"r{seed}", method="storymem", model="world", suite="world", seed=seed) for seed in (1, 2)])
        ['storymem seed 1', 'storymem seed 2']
    """
    titles: list[str] = []
    for run in runs:
        twins = [other for other in runs if other.method == run.method]
        parts = [run.method]
        parts += [run.model] if len({twin.model for twin in twins}) > 1 else []
        parts += [f"seed {run.seed}"] if len({twin.seed for twin in twins}) > 1 else []
        distinct = len({(twin.model, twin.seed) for twin in twins}) == len(twins)
        title = " ".join(parts) if distinct else run.name
        copies = titles.count(title)
        titles.append(f"{title} ({copies + 1})" if copies else title)
    return titles


@dataclass(frozen=True, kw_only=True)
class ShotView:
    """One shot as it is drawn.

    Attributes:
        shot: The shot of the script.
        n_frames: Frames of the video, 0 if there is none.
        frames: Frame index → (H, W, 3) uint8, only those that are drawn (see `needed_indices`), in order.
        keyframes: Frame indices that the shot gave to memory.
        note: How it was made ("M2V, 3 memory frames"), or "".
        missing: Why there is no video, or "".
        wrong: What the pixels got wrong, by the truth metrics ("species", "colour not kept"); None where truth is not known.
    """

    shot: Shot
    n_frames: int = 0
    frames: Mapping[int, np.ndarray] = field(default_factory=dict)
    keyframes: tuple[int, ...] = ()
    note: str = ""
    missing: str = ""
    wrong: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class FilmView:
    """One story as one run filmed it; `shots` are those of the script, all of them, in order."""

    story: Story
    run: RunLabel
    shots: tuple[ShotView, ...]


def picked_indices(n_frames: int, keyframes: tuple[int, ...] = ()) -> tuple[int, ...]:
    """First, middle and last frame; a keyframe from between takes the place of the middle one.

    Example:
        >>> picked_indices(17)
        (0, 8, 16)
        >>> picked_indices(17, (0, 5))
        (0, 5, 16)
        >>> picked_indices(1)
        (0,)
    """
    if n_frames < 1:
        return ()
    middle = n_frames // 2
    between = [index for index in keyframes if 0 < index < n_frames - 1]
    if between:
        middle = min(between, key=lambda index: abs(index - middle))
    return tuple(sorted({0, middle, n_frames - 1}))


def needed_indices(n_frames: int, keyframes: tuple[int, ...] = ()) -> tuple[int, ...]:
    """All frames that any sheet draws: those picked with regard to keyframes, and those picked without."""
    return tuple(sorted({*picked_indices(n_frames, keyframes), *picked_indices(n_frames)}))
