"""StoryMem for programs: prompts in, frames out. No run folder, no resume, no scores: for those there is `stbench run`.

Example:
    from storymem import StoryMemPipeline

    with StoryMemPipeline.from_pretrained("world", device="cpu") as pipe:
        film = pipe(["Wide shot of a cat walking right on the beach.", "Close-up of the cat jumping in the snow."], seed=3)
    film.save("cat.mp4")
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stbench.config import check_device, resolve_device
from stbench.errors import UserError
from stbench.methods import FinishedShot, ShotRequest, ShotResult
from stbench.references import references_of_option
from stbench.seeds import shot_seed
from stbench.story import Shot, Story, load_story, safe_id
from stbench.video import write_mp4, write_png
from storymem.method import StoryMem


@dataclass(frozen=True, kw_only=True)
class Film:
    """A filmed story."""

    story: Story
    shots: tuple[ShotResult, ...]

    @property
    def frames(self) -> np.ndarray:
        """All shots, one after the other: (F, H, W, 3) uint8."""
        return np.concatenate([shot.frames for shot in self.shots])

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.shots[0].fps

    def save(self, path: str | Path) -> Path:
        """Write an mp4; returns its path."""
        write_mp4(Path(path), self.frames, self.fps)
        return Path(path)


class StoryMemPipeline:
    """The StoryMem method with its models loaded.

    Args:
        method: The method, options resolved.
        device: "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, method: StoryMem, device: str):
        self.method = method
        self._stack = ExitStack()
        self._maker: Any = self._stack.enter_context(method.open(device))

    @classmethod
    def from_pretrained(cls, model: str = "world", *, device: str = "auto", options: Mapping[str, Any] | None = None) -> StoryMemPipeline:
        """Load a model.

        Args:
            model: "world", "wan2.2-a14b", a hub id on this machine, or a folder.
            device: "auto", "cpu", "cuda" or "cuda:N".
            options: What `--set` takes: {"memory.size": 6, "variant": "release-2025-12", …}.
        """
        words = {key: str(value) for key, value in (options or {}).items()}
        return cls(StoryMem.from_options(model=model, options=words), resolve_device(check_device(device)))

    def __enter__(self) -> StoryMemPipeline:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """Free the models."""
        self._maker = None
        self._stack.close()

    def __call__(
        self,
        story: Story | str | Path | Sequence[str],
        *,
        cuts: Sequence[bool] | None = None,
        references: Sequence[str | Path] = (),
        seed: int = 0,
        on_shot: Callable[[Shot, ShotResult], None] | None = None,
    ) -> Film:
        """Film a story, shot after shot.

        Args:
            story: Prompts, one per shot; or a `Story`; or the path of a script.
            cuts: With prompts: whether a scene cut starts each shot (default: always); False continues the shot before.
            references: Pictures that memory starts with.
            seed: Of the film; each shot derives its own, as `stbench run` does.
            on_shot: Called after each shot.
        """
        wanted = story if isinstance(story, Story) else load_story(story) if isinstance(story, str | Path) else _of_prompts(story, cuts)
        wanted = replace(wanted, references=(*references_of_option([str(path) for path in references]), *wanted.references))
        self._maker.prepare([wanted])
        with tempfile.TemporaryDirectory() as folder:
            shots = []
            for shot, result in self._shots(wanted, seed, Path(folder)):
                shots.append(result)
                if on_shot:
                    on_shot(shot, result)
        return Film(story=wanted, shots=tuple(shots))

    def _shots(self, story: Story, seed: int, folder: Path) -> Iterator[tuple[Shot, ShotResult]]:
        """Each shot, with the files that later ones are made from in a folder."""
        finished: list[FinishedShot] = []
        for shot in story.shots:
            head = replace(story, shots=story.shots[: shot.index + 1])
            own = shot_seed(run_seed=seed, story=story.id, index=shot.index)
            result: ShotResult = self._maker.shot(ShotRequest(story=head, shot=shot, seed=own, finished=tuple(finished)))
            tail = range(len(result.frames) - result.tail, len(result.frames))
            keys = _stills(result.frames, result.keyframes, folder / f"{shot.id}-key")
            last = _stills(result.frames, tail, folder / f"{shot.id}-tail")
            finished.append(FinishedShot(shot=shot, video=folder / f"{shot.id}.mp4", keyframes=keys, tail=last))
            yield shot, result


def _stills(frames: np.ndarray, chosen: Sequence[int], stem: Path) -> tuple[Path, ...]:
    paths = tuple(stem.with_name(f"{stem.name}{number}.png") for number in range(len(chosen)))
    for path, index in zip(paths, chosen, strict=True):
        write_png(path, frames[index])
    return paths


def _of_prompts(prompts: Sequence[str], cuts: Sequence[bool] | None) -> Story:
    """A story of one scene."""
    cuts = [True] * len(prompts) if cuts is None else list(cuts)
    if not prompts or len(cuts) != len(prompts):
        raise UserError(f"{len(cuts)} cuts for {len(prompts)} prompts", where="StoryMemPipeline", expected="one per shot, at least one")
    if not cuts[0]:
        raise UserError("the first shot has none before it to continue", where="StoryMemPipeline", expected="cuts[0] True")
    shots = tuple(Shot(index=k, scene=1, number=k + 1, prompt=text, cut=cuts[k]) for k, text in enumerate(prompts))
    return Story(id=safe_id(prompts[0][:32]), name=prompts[0], overview=" ".join(prompts), shots=shots)
