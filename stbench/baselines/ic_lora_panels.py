"""Storyboards of a few panels: which shots share one, its prompt, and cutting it into pictures. Pure functions.

A storyboard is one tall image, panels one under the other, as the storyboard adapter was trained on (three panels, 1024 pixels wide and
1536 high in all; captions that begin with [MOVIE-SHOTS] and mark each panel with [SCENE-k]). Source: arXiv 2410.23775 and its public
README.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PANELS_MAX = 3


@dataclass(frozen=True, kw_only=True)
class Board:
    """One storyboard.

    Attributes:
        shots: Indices of its shots, top to bottom.
        known: How many of them, from the top, an earlier board has drawn already: they are given, so that the others fit them.
    """

    shots: tuple[int, ...]
    known: int

    @property
    def new(self) -> tuple[int, ...]:
        """Indices of the shots that it draws."""
        return self.shots[self.known :]


def plan_boards(shots: int, *, panels: int = PANELS_MAX, overlap: int = 1) -> list[Board]:
    """Boards for a story: each begins with the last shots of the one before, and all are full where the story is long enough.

    Args:
        shots: Of the story, at least one.
        panels: Of a board, at most three.
        overlap: Shots that a board shares with the one before; the last board may share more, so that it is full.

    Raises:
        ValueError: Boards that could never get ahead, or are larger than the adapter knows.

    Example:
        >>> [board.shots for board in plan_boards(7)]
        [(0, 1, 2), (2, 3, 4), (4, 5, 6)]
        >>> [(board.shots, board.known) for board in plan_boards(4)]
        [((0, 1, 2), 0), ((1, 2, 3), 2)]
    """
    if shots < 1 or not 1 <= panels <= PANELS_MAX or not 0 <= overlap < panels:
        raise ValueError(f"{shots} shots, {panels} panels, overlap {overlap}; expected 1 to {PANELS_MAX} panels and an overlap below that")
    boards = [Board(shots=tuple(range(min(panels, shots))), known=0)]
    while (done := boards[-1].shots[-1] + 1) < shots:
        start = min(done - overlap, shots - panels)
        boards.append(Board(shots=tuple(range(start, start + panels)), known=done - start))
    return boards


def board_prompt(overview: str, prompts: Sequence[str]) -> str:
    """The caption of a board.

    Example:
        >>> board_prompt("A fox travels north.", ["a fox at a gate.", "a fox on ice"])
        '[MOVIE-SHOTS] A fox travels north, [SCENE-1] a fox at a gate, [SCENE-2] a fox on ice.'
    """
    scenes = [f"[SCENE-{number}] {_phrase(prompt)}" for number, prompt in enumerate(prompts, start=1)]
    return ", ".join([f"[MOVIE-SHOTS] {_phrase(overview)}", *scenes]) + "."


def _phrase(text: str) -> str:
    return " ".join(text.split()).rstrip(" .,;")


def cut_panels(board: np.ndarray, panels: int) -> list[np.ndarray]:
    """A board (H, W, 3) as its panels (H / panels, W, 3), top to bottom.

    Raises:
        ValueError: The height is no multiple of the number of panels.
    """
    height = board.shape[0] // panels
    if height * panels != board.shape[0]:
        raise ValueError(f"a board {board.shape[0]} pixels high cannot be cut into {panels} panels of equal height")
    return [board[panel * height : (panel + 1) * height] for panel in range(panels)]
