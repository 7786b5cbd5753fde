"""Small run folders, published by the harness itself, with pictures of one colour and made-up scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stbench.manifest import Counts, Manifest, SuiteFact
from stbench.methods import ShotRequest, ShotResult
from stbench.publish import publish_shot
from stbench.scores import Score
from stbench.store import RunFolder
from stbench.story import Shot, Story

RunMaker = Callable[..., RunFolder]


def make_story(id: str, n_shots: int = 3, prompt: str = "A cat on the beach.") -> Story:
    shots = tuple(
        Shot(index=k, scene=1 + k // 2, number=1 + k % 2, prompt=f"{prompt} Shot {k + 1}.", cut=k % 2 == 0) for k in range(n_shots)
    )
    return Story(id=id, name=f"The story {id}", overview="A cat meets a robot.", shots=shots)


def make_score(metric: str, story: str, shot: str | None, value: float | None, **changes: object) -> Score:
    facts: dict[str, object] = {
        "version": 1,
        "unit": "share" if metric.startswith("truth") else "cosine",
        "higher_is_better": True,
        "protocol": "world",
        "reason": None if value is not None else "the video is missing",
        "encoder": None,
        "encoder_digest": None,
        "key": f"{metric}/{story}/{shot}",
    }
    return Score(metric=metric, story=story, shot=shot, value=value, **(facts | changes))  # type: ignore[arg-type]


@pytest.fixture
def make_run(tmp_path: Path) -> RunMaker:
    """Build a run folder: `make_run("storymem", level=0.5, finished=2)`."""

    def build(
        method: str, *, level: float = 0.5, stories: tuple[Story, ...] = (), finished: int = 99, seed: int = 0, name: str | None = None
    ) -> RunFolder:
        stories = stories or (make_story("alpha"), make_story("beta"))
        name = name or f"{method}-s{seed}"
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        expected = sum(len(story.shots) for story in stories)
        done = sum(min(finished, len(story.shots)) for story in stories)
        manifest = Manifest(
            status="complete" if done == expected else "partial",
            name=name,
            method=method,
            description="a test",
            identity={"method": method},
            model="world",
            options={},
            protocol="world",
            suite=SuiteFact(name="tiny", version="1", digest="d" * 64, stories=len(stories)),
            stories=stories,
            seed=seed,
            device="cpu",
            versions={},
            started=0.0,
            counts=Counts(stories=len(stories), expected=expected, done=done),
        )
        manifest.save(folder)
        run = RunFolder(folder, manifest)
        rows: list[Score] = []
        for story in stories:
            for shot in story.shots[:finished]:
                _publish(run, story, shot)
                value = min(1.0, level + 0.01 * shot.index)
                rows.append(make_score("prompt_following_single_shot", story.id, shot.id, value))
                rows.append(make_score("truth_colour_kept", story.id, shot.id, float(shot.index != 1)))
            for shot in story.shots[finished:]:
                rows.append(make_score("prompt_following_single_shot", story.id, shot.id, None))
        run.append_scores(rows)
        return run

    return build


def _publish(run: RunFolder, story: Story, shot: Shot) -> None:
    frames = np.zeros((5, 12, 20, 3), np.uint8)
    frames[:, :, :10] = 40 * (1 + shot.index)
    frames[:, 4:8, 4:8] = (200, 30, 30)
    result = ShotResult(frames=frames, fps=8.0, keyframes=(0, 3), notes={"mode": "M2V", "memory": ["01_01"]})
    publish_shot(
        run.shots_path(story.id),
        ShotRequest(story=story, shot=shot, seed=0),
        result,
        key=f"{story.id}{shot.id}",
        inputs=(),
        seconds=0.25,
        device="cpu",
        attempt=1,
    )
