"""The generator alone: `storymem generate` and `StoryMemPipeline`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_method import STORY, storymem
from tiny_wan import write_script

from stbench.errors import UserError
from stbench.seeds import shot_seed
from stbench.story import load_story
from stbench.video import read_mp4
from storymem import StoryMemPipeline
from storymem.cli import main

PROMPTS = ["a cat sits in the park", "a dog runs on snow", "a dog sits"]


def test_importing_the_package_is_light() -> None:
    code = "import sys, storymem, storymem.cli; print([name for name in ('torch', 'numpy', 'diffusers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_prompts_in_film_out(tiny_model: Path, tmp_path: Path) -> None:
    seen = []
    with StoryMemPipeline.from_pretrained(str(tiny_model), device="cpu", options={"memory.size": 2}) as pipe:
        film = pipe(PROMPTS, cuts=[True, True, False], seed=5, on_shot=lambda shot, result: seen.append(shot.id))
        again = pipe(PROMPTS, cuts=[True, True, False], seed=5)
        other = pipe(PROMPTS, seed=6)
    assert seen == ["01_01", "01_02", "01_03"]
    assert [shot.notes["mode"] for shot in film.shots] == ["t2v", "m2v", "mi2v"]
    assert film.frames.shape == (9 + 9 + 8, 16, 32, 3)
    assert np.array_equal(film.frames, again.frames)
    assert [shot.notes["mode"] for shot in other.shots] == ["t2v", "m2v", "m2v"]
    frames, fps = read_mp4(film.save(tmp_path / "film.mp4"))
    assert (len(frames), fps) == (26, 8)


def test_the_pipeline_films_what_the_command_films(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = write_script(tmp_path)
    words = ["generate", str(script), "--model", str(tiny_model), "--seed", "3", "--out", str(tmp_path / "film"), "--device", "cpu"]
    for _ in range(2):  # the second time nothing is left to do
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
        film = Path(capsys.readouterr().out.strip())
    with StoryMemPipeline.from_pretrained(str(tiny_model), device="cpu") as pipe:
        made = pipe(script, seed=3)
    decoded, _ = read_mp4(film)
    assert decoded.shape == made.frames.shape
    assert np.abs(decoded.astype(int) - made.frames).mean() < 30  # noise of a random model, through a codec
    record = json.loads((tmp_path / "film" / "shots" / "walk" / "01_02.json").read_text())
    assert record["seed"] == shot_seed(run_seed=3, story=load_story(script).id, index=1)
    assert record["notes"]["memory"] == made.shots[1].notes["memory"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([],), "0 cuts for 0 prompts"),
        ((PROMPTS, [True]), "1 cuts for 3 prompts"),
        ((PROMPTS, [False, True, True]), "none before it"),
    ],
)
def test_bad_calls_are_refused(tiny_model: Path, arguments: tuple, says: str) -> None:
    with StoryMemPipeline(storymem(tiny_model), "cpu") as pipe, pytest.raises(UserError, match=says):
        pipe(arguments[0], cuts=arguments[1] if len(arguments) > 1 else None)


def test_a_bad_word_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["generate", "nowhere.json"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: nowhere.json")


def test_a_story_of_the_benchmark_films_too(tiny_model: Path) -> None:
    with StoryMemPipeline(storymem(tiny_model), "cpu") as pipe:
        assert len(pipe(STORY).shots) == 3
