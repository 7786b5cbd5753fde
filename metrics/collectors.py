"""What turns a stream of frames into one feature: each takes what it needs of every batch and keeps no more.

A clip is decoded once; every collector that still lacks its feature sees every batch. Only two things can ask for a second pass: a file
with fewer frames than its container promises, and `auto`, where it needs more frames than it took.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from metrics.base import NoValueError
from metrics.decoding import BATCH
from metrics.frames import ALL, AUTO, AUTO_TOLERANCE, FIRST_PAIRS, RISK_FACTOR, FrameSet, movement, picks, subset

Encode = Callable[[np.ndarray], np.ndarray]


class Collector(Protocol):
    """Sees a clip batch by batch."""

    def start(self, promised: int) -> None:
        """A pass begins over a clip that promises so many frames."""
        ...

    def add(self, frames: np.ndarray, at: int) -> None:
        """(B, H, W, 3) uint8, the first of them frame `at` of the clip."""
        ...

    def done(self, total: int) -> bool:
        """The pass is over, the clip had `total` frames: is the feature there, or is another pass needed?"""
        ...

    def result(self) -> np.ndarray:
        """The feature; raises `NoValueError` where there is none."""
        ...


class Chosen:
    """Some frames, chosen by their number, as one array for one function: what video encoders need.

    Args:
        encode: (K, H, W, 3) uint8 → feature.
        choose: Number of frames of the clip → K indices, ascending; repeats are allowed.
    """

    def __init__(self, encode: Encode, choose: Callable[[int], list[int]]):
        self._encode, self._choose = encode, choose
        self._total = 0
        self._held: dict[int, np.ndarray] = {}
        self._wanted: frozenset[int] = frozenset()

    def start(self, promised: int) -> None:
        """Choose by what the container promises."""
        self._total, self._held = promised, {}
        self._wanted = frozenset(self._choose(promised))

    def add(self, frames: np.ndarray, at: int) -> None:
        """Keep the chosen ones."""
        self._held |= {at + i: frames[i].copy() for i in range(len(frames)) if at + i in self._wanted}

    def done(self, total: int) -> bool:
        """False where the promise was wrong: the next pass knows better."""
        return total == self._total

    def result(self) -> np.ndarray:
        """Encode what was chosen."""
        return self._encode(np.stack([self._held[i] for i in self._choose(self._total)]))


class Located(Chosen):
    """As `Chosen`, for a function that is also told where in the clip its frames are: (frames, places, total) → feature.

    Example:
        >>> middle = Located(lambda frames, places, total: np.array([places[0], total]), lambda total: [total // 2])
        >>> middle.start(3)
        >>> middle.add(np.zeros((3, 1, 1, 3), np.uint8), 0)
        >>> middle.done(3), middle.result().tolist()
        (True, [1, 3])
    """

    def __init__(self, encode: Callable[[np.ndarray, list[int], int], np.ndarray], choose: Callable[[int], list[int]]):
        super().__init__(lambda frames: encode(frames, choose(self._total), self._total), choose)


class Frames:
    """Frame features under a policy: all frames, a number of them, or as many as `auto` needs. (K, D) float32, see `frame_set`."""

    def __init__(self, encode: Encode, policy: str):
        self._encode, self._policy = encode, policy
        self._pairs = FIRST_PAIRS if policy == AUTO else int(policy) // 2 if policy != ALL else 0
        self._total = 0
        self._wanted: frozenset[int] | None = None
        self._parts: dict[int, np.ndarray] = {}
        self._buffer: list[np.ndarray] = []
        self._places: list[int] = []
        self.risk: float | None = None

    def start(self, promised: int) -> None:
        """Choose the frames of this pass; those encoded before are not encoded again."""
        self._total = promised
        if self._policy != ALL:
            self._wanted = frozenset(int(i) for i in picks(promised, self._pairs)) - frozenset(self._parts)

    def add(self, frames: np.ndarray, at: int) -> None:
        """Encode whole batches only, so that few chosen frames do not make small ones."""
        if self._wanted is None:
            self._store(range(at, at + len(frames)), frames)
            return
        for i in range(len(frames)):
            if at + i in self._wanted:
                self._buffer.append(frames[i].copy())
                self._places.append(at + i)
                if len(self._buffer) == BATCH:
                    self._flush()

    def _store(self, places: range | list[int], frames: np.ndarray) -> None:
        self._parts |= dict(zip(places, np.asarray(self._encode(frames), np.float32), strict=True))

    def _flush(self) -> None:
        if self._buffer:
            self._store(self._places, np.stack(self._buffer))
        self._buffer, self._places = [], []

    def done(self, total: int) -> bool:
        """Whether the chosen frames are there, and enough of them."""
        self._flush()
        if self._policy == ALL:
            self._total = total
            return True
        if total != self._total:
            self._parts = {}
            return False
        if self._policy != AUTO:
            return True
        fine = self.frame_set()
        coarse = picks(total, (self._pairs + 1) // 2)
        self.risk = 0.0 if fine.whole else RISK_FACTOR * movement(subset(fine, coarse), fine)
        if fine.whole or self.risk <= AUTO_TOLERANCE:
            return True
        self._pairs = 2 * self._pairs - 1  # the places of before are among the new ones, up to rounding
        return False

    def frame_set(self) -> FrameSet:
        """The features and their places."""
        index = np.array(sorted(self._parts), dtype=np.int64)
        return FrameSet(features=np.stack([self._parts[int(i)] for i in index]), index=index, total=self._total, risk=self.risk)

    def result(self) -> np.ndarray:
        """(K, D) features."""
        return self.frame_set().features


class Neighbours:
    """Something measured between each frame and the next: (F - 1, …).

    Args:
        between: (B + 1, H, W, 3) uint8 → (B, …) values.
        empty: The result for a clip of one frame.
    """

    def __init__(self, between: Encode, empty: np.ndarray):
        self._between, self._empty = between, empty
        self._last: np.ndarray | None = None
        self._parts: list[np.ndarray] = []

    def start(self, promised: int) -> None:
        """Forget an earlier pass."""
        self._last, self._parts = None, []

    def add(self, frames: np.ndarray, at: int) -> None:
        """Measure within the batch and across its border to the one before."""
        run = frames if self._last is None else np.concatenate([self._last, frames])
        if len(run) > 1:
            self._parts.append(self._between(run))
        self._last = frames[-1:].copy()

    def done(self, total: int) -> bool:
        """Always."""
        return True

    def result(self) -> np.ndarray:
        """All values."""
        return np.concatenate(self._parts) if self._parts else self._empty


class Whole:
    """All frames at once, for readers of short clips; a longer clip is refused before it fills the memory."""

    def __init__(self, read: Encode, limit: int):
        self._read, self._limit = read, limit
        self._held: list[np.ndarray] = []
        self._total = 0

    def start(self, promised: int) -> None:
        """Forget an earlier pass."""
        self._held = []

    def add(self, frames: np.ndarray, at: int) -> None:
        """Keep up to the limit."""
        if at < self._limit:
            self._held.append(frames[: self._limit - at].copy())

    def done(self, total: int) -> bool:
        """Always."""
        self._total = total
        return True

    def result(self) -> np.ndarray:
        """Read."""
        if self._total > self._limit:
            raise NoValueError(f"the shot has {self._total} frames: at most {self._limit} are read at once")
        return self._read(np.concatenate(self._held))
