"""Methods that draw the keyframes of a whole story first, and then let an image-to-video model start each shot from its own.

A painter draws: it gets the whole story, since its pictures are made together, and the seed of every shot. An animator films: a shot from
its first frame and its prompt. So such a method sees the whole story (`stbench.keys.sees_whole_story`): editing any shot makes every shot
of the story another one.

Keyframes are kept in memory for one story, under a digest of the story and its seeds; nothing of them lies on the disk but the films. A
run that goes on in the middle of a story draws them again from the same seeds, and each shot's record holds the sha256 of its own, so
that it can be seen whether a machine drew otherwise. Painter and animator take turns on the device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stbench.baselines import weights
from stbench.baselines.animators import ANIMATORS, Animator, AnimatorShots
from stbench.errors import UserError, did_you_mean
from stbench.keys import digest
from stbench.methods import MethodCard, ShotRequest, ShotResult
from stbench.story import Shot, Story
from stbench.timing import Stopwatch

if TYPE_CHECKING:
    import numpy as np

PREFIX = "keyframes."  # of the painter's `--set` options; all others are the animator's


class KeyframeOptions(BaseModel):
    """Options of every painter."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    steps: int = Field(alias="keyframes.steps", ge=1, le=1000)
    guidance: float = Field(alias="keyframes.guidance", ge=1)
    width: int = Field(alias="keyframes.width", ge=16, multiple_of=16)
    height: int = Field(alias="keyframes.height", ge=16, multiple_of=16)
    dtype: Literal["float32", "bfloat16", "float16"] = Field(alias="keyframes.dtype")

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> Self:
        """From `--set` strings.

        Raises:
            UserError: An unknown key (with the nearest one) or a value out of range.
        """
        names = [field.alias or name for name, field in cls.model_fields.items()]
        for key in options:
            if key not in names:
                expected = "one of: " + ", ".join(names)
                raise UserError(f"unknown option {key!r}", where="--set", expected=expected, hint=did_you_mean(key, names))
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0]) if first["loc"] else ""
            message = first["msg"].removeprefix("Value error, ")
            raise UserError(f"{key} = {options.get(key)!r}: {message}" if key else message, where="--set") from error


@dataclass(frozen=True, kw_only=True)
class Keyframe:
    """A picture that a shot starts from."""

    pixels: np.ndarray  # (H, W, 3) uint8
    text_cut: bool  # whether the end of its text was not read, because it has too many tokens


class Painter(Protocol):
    """Draws pictures, its models loaded."""

    def paint(self, story: Story, seeds: Sequence[int], watch: Stopwatch) -> list[Keyframe]:
        """One picture per shot; stages are measured with `watch`."""
        ...


class Keyframed:
    """A painter and an animator as a method; a subclass says which painter.

    Args:
        animator: Films.
        options: Of the painter.
        places: Folder (or file) of each part of the painter's weights.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    base_model: ClassVar[str]  # what draws
    licence: ClassVar[str]  # of its weights
    about: ClassVar[str]  # how it draws
    options_type: ClassVar[type[KeyframeOptions]]
    animated_by: ClassVar[str] = "wan-i2v"

    def __init__(self, animator: Animator, options: Any, places: Mapping[str, Path]):
        self.animator, self.options, self.places = animator, options, dict(places)

    @classmethod
    def repositories(cls) -> dict[str, Any]:
        """Part → published repository of the painter's weights."""
        raise NotImplementedError

    @classmethod
    def check_part(cls, part: str, place: Path) -> None:
        """Whether a part of the painter's weights is whole, as far as file names tell; a `UserError` if not."""
        raise NotImplementedError

    def digests(self) -> dict[str, str]:
        """Part → digest of the painter's weights."""
        raise NotImplementedError

    def drawing_files(self) -> list[Path]:
        """Files of weights of what draws, adapters included; text encoder and VAE are not."""
        raise NotImplementedError

    def painter(self, device: str) -> Painter:
        """Load the painter."""
        raise NotImplementedError

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> Self:
        """Build from `--model`, the image-to-video model, and `--set`; loads nothing."""
        wanted = cls.repositories()
        own = {key: value for key, value in options.items() if key.startswith(PREFIX)}
        parts = {f"weights.{part}" for part in wanted}
        rest = {key: value for key, value in options.items() if key not in own and key not in parts}
        chosen = cls.options_type.parse(own)
        found = {part: weights.locate(part, options, repository) for part, repository in wanted.items()}
        animator = ANIMATORS.get(cls.animated_by)
        missing = {part: wanted[part] for part, path in found.items() if path is None} | animator.missing(model, rest)
        if missing:
            raise weights.missing_error(cls.name, missing)
        places = {part: path for part, path in found.items() if path is not None}
        for part, path in places.items():
            cls.check_part(part, path)
        return cls(animator.from_options(model=model, options=rest), chosen, places)

    def identity(self) -> Mapping[str, Any]:
        """Everything that changes pixels."""
        return {
            "method": self.name,
            "version": self.version,
            "sees": "story",
            "keyframes": {"options": self.options.model_dump(mode="json", by_alias=True), "weights": self.digests()},
            "animator": dict(self.animator.identity()),
        }

    def describe(self) -> str:
        """One line: both models, their steps and licences."""
        drawing = f"{self.base_model} with {self.about}, {self.options.steps} steps; weights: {self.licence}"
        return f"{self.name}: keyframes of a story by {drawing}; then {self.animator.describe()}"

    def card(self) -> MethodCard:
        """What tables say of it: both models; steps are of the films."""
        film, drawing = self.animator.card(), weights.count_parameters(self.drawing_files())
        return MethodCard(
            base_model=f"{self.base_model} + {film.base_model}",
            licence=f"{self.licence}; {film.licence}",
            parameters=None if film.parameters is None else film.parameters + drawing,
            steps=film.steps,
        )

    def story_notes(self, story: Story) -> str | None:
        """What the animator says of a story, and how many keyframes have no prompt of their own."""
        lacking = sum(shot.first_frame_prompt is None for shot in story.shots)
        notes = [self.animator.story_notes(story)]
        if lacking:
            share = f"{lacking} of {len(story.shots)} shots have no first-frame prompt"
            notes.append(f"{story.id}: {share}; their keyframes are drawn from the shots' prompts")
        return "; ".join(note for note in notes if note) or None

    @contextmanager
    def open(self, device: str) -> Iterator[KeyframedShots]:
        """Load the animator; the painter is loaded with the first story that it has to draw."""
        with self.animator.open(device) as animator:
            yield KeyframedShots(self, animator, device)

    def serve(self, device: str) -> bool:
        """Of a process that helps rank 0: only the animator is shared."""
        return self.animator.serve(device)

    def release(self, device: str) -> None:
        """Of rank 0: the others may go."""
        self.animator.release(device)


class KeyframedShots:
    """The method at work."""

    def __init__(self, method: Keyframed, animator: AnimatorShots, device: str):
        self._method, self._animator, self._device = method, animator, device
        self._painter: Painter | None = None
        self._drawn: tuple[str, list[Keyframe]] = ("", [])

    def prepare(self, stories: Sequence[Story]) -> None:
        """What the animator does for all stories at once."""
        self._animator.prepare(stories)

    def shot(self, request: ShotRequest) -> ShotResult:
        """One shot; the first of a story takes the time of all keyframes."""
        watch = Stopwatch(self._device)
        keyframe = self._keyframes(request, watch)[request.shot.index]
        result = self._animator.animate(request, keyframe.pixels)
        notes = {
            "keyframe": hashlib.sha256(keyframe.pixels.tobytes()).hexdigest(),
            "keyframe_text_cut": keyframe.text_cut,
            "keyframe_prompt": "shot" if request.shot.first_frame_prompt is None else "first_frame",
        }
        return replace(result, spans=(*watch.spans, *result.spans), notes={**result.notes, **notes})

    def _keyframes(self, request: ShotRequest, watch: Stopwatch) -> list[Keyframe]:
        """The pictures of the request's story, drawn unless they are at hand."""
        story, seeds = request.story, request.seeds
        if len(seeds) != len(story.shots):
            where = f"{self._method.name}, story {story.id}"
            raise UserError(f"{len(seeds)} seeds for {len(story.shots)} shots", where=where, expected="the seed of every shot")
        key = digest([story.content(), list(seeds)])
        if self._drawn[0] != key:
            with self._animator.away(), weights.quiet():
                if self._painter is None:
                    with watch.time("keyframe_load"):
                        self._painter = self._method.painter(self._device)
                self._drawn = (key, self._painter.paint(story, seeds, watch))
        return self._drawn[1]


def frame_prompt(shot: Shot) -> str:
    """What a shot's keyframe is drawn from: its first-frame prompt, or its own where the script has none."""
    return shot.prompt if shot.first_frame_prompt is None else shot.first_frame_prompt


def place(pipeline: Any, device: str) -> Any:
    """A diffusers pipeline ready to draw: on a GPU, each model is there only while it works."""
    pipeline.set_progress_bar_config(disable=True)
    if device.startswith("cuda"):
        pipeline.enable_model_cpu_offload(device=device)
        return pipeline
    return pipeline.to(device)


def to_pixels(images: Any) -> np.ndarray:
    """A decoded batch (B, 3, H, W) in -1 .. 1 as (B, H, W, 3) uint8."""
    scaled = (images.float() / 2 + 0.5).clamp(0, 1) * 255
    pixels: np.ndarray = scaled.round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels
