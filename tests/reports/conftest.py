"""Small run folders, published by the harness itself, with pictures of one colour and made-up scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stbench.keys import story_keys
from stbench.manifest import Counts, Manifest, SuiteFact
from stbench.methods import ShotRequest, ShotResult
from stbench.publish import publish_shot
from stbench.record import ShotRecord, as_input
from stbench.scores import Score
from stbench.store import RunFolder
from stbench.story import Shot, Story
from stbench.video import write_mp4

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
        method: str,
        *,
        level: float = 0.5,
        stories: tuple[Story, ...] = (),
        finished: int = 99,
        seed: int = 0,
        name: str | None = None,
        matrix: bool = False,
        identity: dict[str, object] | None = None,
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
            identity={"method": method} | (identity or {}),
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
            _film(run, story, finished)
            for shot in story.shots[:finished]:
                value = min(1.0, level + 0.01 * shot.index)
                rows.append(make_score("prompt_following_single_shot", story.id, shot.id, value))
                rows.append(make_score("truth_colour_kept", story.id, shot.id, float(shot.index != 1)))
            for shot in story.shots[finished:]:
                rows.append(make_score("prompt_following_single_shot", story.id, shot.id, None))
            if matrix and finished >= len(story.shots):
                n = range(len(story.shots))
                similar = [[1.0 if i == j else round(level / (1 + abs(i - j)), 3) for j in n] for i in n]
                rows.append(make_score("cross_shot_appearance", story.id, None, level, detail={"matrix": similar}))
        run.append_scores(rows)
        return run

    return build


def _film(run: RunFolder, story: Story, finished: int) -> None:
    """Publish the first shots of a story, each a moving square that saw the shots before it, and the film of all."""
    keys = story_keys(identity=run.manifest.identity, story=story, run_seed=run.manifest.seed)
    done: list[ShotRecord] = []
    reel = []
    for shot, key in list(zip(story.shots, keys, strict=True))[:finished]:
        frames = np.zeros((9, 48, 80, 3), np.uint8)
        frames[:, :, :40] = 40 * (1 + shot.index % 5)
        for k in range(9):
            frames[k, 16:32, 8 + 4 * k : 24 + 4 * k] = (200, 30, 30)
        notes = {"mode": "M2V", "memory": [{"shot": record.shot, "keyframe": 0} for record in done]}
        result = ShotResult(frames=frames, fps=8.0, keyframes=(0, 3), notes=notes)
        publish_shot(
            run.shots_path(story.id),
            ShotRequest(story=story, shot=shot, seed=0),
            result,
            key=key,
            inputs=tuple(as_input(record) for record in done),
            seconds=0.25,
            device="cpu",
            attempt=1,
        )
        record = run.record(story.id, shot.id)
        assert record is not None
        done.append(record)
        reel.append(frames)
    if finished >= len(story.shots):
        run.film_path(story.id).parent.mkdir(exist_ok=True)
        write_mp4(run.film_path(story.id), np.concatenate(reel), 8.0)
