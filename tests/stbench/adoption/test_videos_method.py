"""`--method videos`: films made elsewhere stand in tables like those of any method."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stbench.journal import read_journal
from stbench.store import RunFolder
from stbench.video import write_mp4


def moving(seed: int, n: int = 6) -> np.ndarray:
    frames = np.full((n, 16, 24, 3), 40 + seed, np.uint8)
    for k in range(n):
        frames[k, :, (k + seed) % 24] = 220
    return frames


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Films of the two scripts: shots of one, the whole of the other."""
    folder = tmp_path / "sora"
    (folder / "ant").mkdir(parents=True)
    for seed, name in enumerate(("1_1", "1_2", "2_1", "2_2")):
        write_mp4(folder / "ant" / f"{name}.mp4", moving(seed), 8.0)
    write_mp4(folder / "bee.mp4", moving(5, 18), 8.0)
    return folder


def words(films: Path, scripts: Path) -> list[str]:
    facts = ["base_model=Sora", "licence=of the service", "shot_frames=6"]
    sets = [word for fact in (f"folder={films}", *facts) for word in ("--set", fact)]
    return ["run", "--method", "videos", "--suite", str(scripts), "--out", "run", *sets]


def test_files_are_taken_over_byte_by_byte_scored_and_not_again(film, fake, films: Path, scripts: Path, tmp_path: Path):
    done = film(*words(films, scripts))
    assert done.code == 0
    run = RunFolder.open(tmp_path / "run")
    assert run.shot_video(run.record("ant", "01_02")).read_bytes() == (films / "ant" / "1_2.mp4").read_bytes()
    assert [run.record("bee", shot.id).notes["span"] for shot in run.stories[1].shots] == [[0, 6], [6, 12], [12, 18]]
    assert run.manifest.card == {"base_model": "Sora", "licence": "of the service"}
    assert len(run.scores()) == 7
    assert film("check", "run").code == 0
    assert "7 reused" in film(*words(films, scripts)).err


def test_an_exchanged_file_is_taken_over_anew_and_a_lost_one_is_missed(film, films: Path, scripts: Path, tmp_path: Path):
    film(*words(films, scripts))
    write_mp4(films / "ant" / "2_2.mp4", moving(9), 8.0)
    again = film(*words(films, scripts))
    assert (again.code, "1 made, 6 reused" in again.err) == (0, True)
    (films / "ant" / "1_2.mp4").unlink()
    short = film(*words(films, scripts))
    assert short.code == 3
    events = read_journal(tmp_path / "run" / "events.jsonl").events
    assert [(e["shot"], e["reason"]) for e in events if e["event"] == "shot_failed"] == [("01_02", "missing: no file")]
    assert json.loads((tmp_path / "run" / "mapping.json").read_text())["counts"]["missing"] == 1


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        ([], "expected --set folder=DIR"),
        (["folder=nowhere"], "folder=nowhere: does not exist"),
        (["folder=sora", "licens=x"], "did you mean 'licence'?"),
        (["folder=sora", "steps=many"], "expected a whole number"),
    ],
)
def test_bad_options_are_refused(film, films: Path, scripts: Path, sets: list[str], says: str):
    done = film("run", "--method", "videos", "--suite", scripts, *(word for one in sets for word in ("--set", one)))
    assert done.code == 2
    assert says in done.err


def test_one_film_per_story_needs_to_know_its_cuts(film, films: Path, scripts: Path):
    done = film("run", "--method", "videos", "--suite", scripts, "--set", f"folder={films}", "--out", "run")
    assert done.code == 2
    assert "is one film for a whole story" in done.err
