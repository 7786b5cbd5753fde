"""A method that sees its whole story, through the runner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stbench.methods import ShotRequest
from stbench.seeds import shot_seed


@pytest.fixture
def asked(fake: Any, monkeypatch: pytest.MonkeyPatch) -> list[ShotRequest]:
    """The fake method sees whole stories for one test; the requests that it got."""
    requests: list[ShotRequest] = []
    identity = fake.Fake.identity

    def shot(self: Any, request: ShotRequest) -> Any:
        requests.append(request)
        return fake.ShotResult(frames=fake.stripes(request), fps=8.0, tail=1)

    monkeypatch.setattr(fake.Fake, "identity", lambda self: {**identity(self), "sees": "story"})
    monkeypatch.setattr(fake.FakeShots, "shot", shot)
    return requests


def test_every_request_holds_all_shots_and_their_seeds(film: Any, asked: list[ShotRequest], run_words: list[str]) -> None:
    assert film(*run_words, "--seed", "5").code == 0
    ants = [request for request in asked if request.story.id == "ant"]
    assert [request.shot.index for request in ants] == [0, 1, 2, 3]
    for request in ants:
        assert len(request.story.shots) == 4
        assert request.seeds == tuple(shot_seed(run_seed=5, story="ant", index=index) for index in range(4))
        assert request.seed == request.seeds[request.shot.index]
        assert [done.shot.index for done in request.finished] == list(range(request.shot.index))


def test_other_methods_get_the_head_of_the_story_and_its_seeds(
    fake: Any, film: Any, run_words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[tuple[int, int]] = []
    make = fake.FakeShots.shot
    monkeypatch.setattr(
        fake.FakeShots,
        "shot",
        lambda self, request: (lengths.append((len(request.story.shots), len(request.seeds))), make(self, request))[1],
    )
    assert film(*run_words).code == 0
    assert lengths == [(1, 1), (2, 2), (3, 3), (4, 4), (1, 1), (2, 2), (3, 3)]


def test_a_finished_run_is_whole_for_check_and_an_edited_story_is_not_mixed_into_it(
    film: Any, asked: list[ShotRequest], run_words: list[str], scripts: Path, tmp_path: Path
) -> None:
    assert film(*run_words).code == 0
    assert film("check", tmp_path / "run").code == 0
    made = len(asked)
    assert film(*run_words).code == 0
    assert len(asked) == made
    script = json.loads((scripts / "ant.json").read_text())
    script["scenes"][-1]["video_prompts"][-1] = "Something else."
    (scripts / "ant.json").write_text(json.dumps(script))
    done = film(*run_words)
    assert done.code == 2
    assert "the first shot of story ant is another one, so all its finished shots would be replaced" in done.err
