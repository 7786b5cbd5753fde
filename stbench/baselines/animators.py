"""Image-to-video models that film from a first frame: what `stbench.baselines.keyframed` asks of them, and their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from stbench.methods import MethodCard, ShotRequest, ShotResult
from stbench.registry import Registry
from stbench.story import Story

if TYPE_CHECKING:
    import numpy as np


class AnimatorShots(Protocol):
    """An image-to-video model, loaded."""

    def prepare(self, stories: Sequence[Story]) -> None:
        """See `stbench.methods.ShotMaker`."""
        ...

    def away(self) -> AbstractContextManager[None]:
        """Leave the device to something else for a while."""
        ...

    def animate(self, request: ShotRequest, first_frame: np.ndarray) -> ShotResult:
        """A shot that begins with a picture (H', W', 3) uint8 of any size."""
        ...


class Animator(Protocol):
    """An image-to-video model that makes a shot from its first frame."""

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> Animator:
        """See `stbench.methods.Method`."""
        ...

    @staticmethod
    def missing(model: str, options: Mapping[str, str]) -> dict[str, Any]:
        """Published weights that are not on this machine, by part."""
        ...

    def identity(self) -> Mapping[str, Any]:
        """Everything that changes pixels, but for the first frames."""
        ...

    def describe(self) -> str:
        """Model, steps and licence, as the second half of a sentence."""
        ...

    def card(self) -> MethodCard:
        """What tables say of it."""
        ...

    def story_notes(self, story: Story) -> str | None:
        """What it knows of a story."""
        ...

    def open(self, device: str) -> AbstractContextManager[AnimatorShots]:
        """Load it."""
        ...

    def serve(self, device: str) -> bool:
        """Help rank 0 of the same torchrun command with one loaded model; False when it needs nobody any more."""
        ...

    def release(self, device: str) -> None:
        """Of rank 0: the others may go."""
        ...


ANIMATORS: Registry[type[Animator]] = Registry("image-to-video model")
ANIMATORS.add("wan-i2v", "storymem.first_frame:WanI2V")
