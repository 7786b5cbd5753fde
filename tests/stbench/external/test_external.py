"""`external` with a real program in an environment of its own: what goes wrong is named, and costs no other story anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stbench.errors import UserError
from stbench.external.collect import ProgramError
from stbench.external.method import External
from stbench.external.places import commit_of, sources_digest
from stbench.external.program import run_program
from stbench.external.recipe import read_recipe, shipped
from stbench.journal import read_journal
from stbench.methods import METHODS, ShotRequest
from stbench.store import RunFolder
from stbench.story import load_story
from stbench.video import read_mp4, write_mp4

from ..conftest import make_script, write_script

PROGRAM = Path(__file__).parent / "program.py"
FRAMES = 6
RECIPE = """
name: small
about: a small program
base_model: none
licence: Apache-2.0
steps: 3
command: ["{python}", "{code}", "--story={story}", "--out={out}", "--clips={clips}", "--seed={seed}"]
variables: {OWN: "of {name}"}
places:
  code: {what: the program}
  environment: {what: its environment}
  clips: {what: clips to copy}
films: {kind: shots, frames: [6]}
identity: {sources: [code], weights: [clips]}
seed_bits: 16
log_bytes: 2000
timeout_s: 300
"""
FILM = RECIPE.replace("films: {kind: shots, frames: [6]}", "story: {dialect: holocine}\nfilms: {kind: film, cuts: script}")


def moving(n: int, seed: int = 0) -> np.ndarray:
    frames = np.zeros((n, 16, 24, 3), np.uint8)
    for k in range(n):
        frames[k, :, (k + seed) % 24] = 220
        frames[k, k % 16] = 90
    return frames


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_mp4(folder / "clip.mp4", moving(FRAMES), 8.0)
    write_mp4(folder / "short.mp4", moving(FRAMES - 2), 8.0)
    write_mp4(folder / "film.mp4", moving(241), 16.0)
    return folder


@pytest.fixture
def sets(tmp_path: Path, environment: Path, clips: Path):
    """`--set` words for a recipe."""

    def build(text: str = RECIPE) -> list[str]:
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(text)
        values = {"recipe": recipe, "code": PROGRAM, "environment": environment, "clips": clips}
        return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]

    return build


def options(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words[1::2])


def stories(folder: Path, *names: str, shots: tuple[int, ...] = (2, 1)) -> Path:
    for name in names:
        write_script(folder / f"{name}.json", make_script(name.title(), shots))
    return folder


def reasons(run: Path) -> dict[tuple[str, str], str]:
    events = read_journal(RunFolder.open(run).events_path).events
    return {(e["story"], e["shot"]): e["reason"] for e in events if e.get("event") == "shot_failed"}


def test_everything_that_can_go_wrong_is_named_and_other_stories_are_filmed(film, sets, tmp_path: Path, environment: Path):
    suite = stories(tmp_path / "films", "fine", "crash", "killed", "partial", "frames", "nothing", "broken", "loud")
    words = ["run", "--method", "external", *sets(), "--suite", suite, "--out", "run", "--no-score", "--retries", 0]
    done = film(*words, "--set", f"work={tmp_path / 'work'}", "--on-error", "continue-story")
    assert done.code == 3
    assert done.err.count("Traceback") == 0
    run = RunFolder.open(tmp_path / "run")
    made = {part.story.id: [record.shot for record in part.records] for part in run.story_records()}
    everything = ["01_01", "01_02", "02_01"]
    assert [made[name] for name in ("crash", "killed", "nothing")] == [[]] * 3
    assert [made[name] for name in ("fine", "loud")] == [everything] * 2
    assert [made[name] for name in ("partial", "frames", "broken")] == [["01_01", "02_01"]] * 3
    said = reasons(tmp_path / "run")
    assert said["crash", "01_01"].startswith("ProgramError: crash: exit code 7 after ")
    assert "it said last: out of luck; log: " in said["crash", "02_01"]  # the same for every shot, from one run of the program
    assert "crash: killed by SIGKILL" in said["killed", "01_01"]
    logs = {name: f"; log: {tmp_path / 'work' / name / 'log.txt'}" for name in ("partial", "frames", "nothing")}
    assert said["partial", "01_02"] == "ProgramError: partial: shot 01_02: no file; 2 of 3 shots are there, without 01_02" + logs["partial"]
    assert said["frames", "01_02"] == "ProgramError: wrong-frames: shot 01_02: 1_2.mp4 has 4 frames, expected 6" + logs["frames"]
    assert (
        f"no-output: it ended well and left no video in {tmp_path / 'work' / 'nothing' / 'out'}{logs['nothing']}"
        in said["nothing", "01_01"]
    )
    assert "unreadable: shot 01_02: 1_2.mp4" in said["broken", "01_02"]
    note = run.record("loud", "01_01").notes["program"]
    assert note["log_bytes"] > 2_000_000
    assert note["log_kept_bytes"] < 2000 + 64 * 1024 + 100
    assert note["extra_videos"] == 1
    log = (tmp_path / "work" / "loud" / "log.txt").read_text()
    assert log.startswith(f"prefix {environment} seed ")
    assert "own of loud" in log
    assert "numpy is here" not in log
    assert "bytes were dropped here" in log
    assert log.endswith("the last word\n")


def test_a_program_that_hangs_is_killed_with_what_it_started(tmp_path: Path):
    child = "import os, signal; os.fork(); print(os.getpid(), flush=True); signal.pause()"
    ended = run_program(
        [sys.executable, "-S", "-c", child],
        folder=tmp_path,
        variables=dict(os.environ),
        log=tmp_path / "log",
        timeout_s=2.0,
        log_bytes=5000,
    )
    assert ended.hung
    assert ended.how.startswith("hang: it did not end within ")
    for pid in map(int, (tmp_path / "log").read_text().split()):
        status = Path(f"/proc/{pid}/stat")
        assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_a_hang_is_an_error_of_its_story_alone(film, sets, tmp_path: Path):
    suite = stories(tmp_path / "films", "hang")
    done = film(
        "run", "--method", "external", *sets(), "--set", "timeout_s=0.5", "--suite", suite, "--out", "run", "--no-score", "--retries", 0
    )
    assert done.code == 3
    assert "hang: it did not end within" in reasons(tmp_path / "run")["hang", "01_01"]


def test_the_shots_are_the_clips_and_the_record_says_where_they_came_from(film, sets, tmp_path: Path, clips: Path):
    suite = stories(tmp_path / "films", "fine")
    film("run", "--method", "external", *sets(), "--suite", suite, "--out", "run", "--no-score")
    run = RunFolder.open(tmp_path / "run")
    record = run.record("fine", "01_01")
    original = read_mp4(clips / "clip.mp4")[0].astype(int)
    assert np.abs(run.read_frames(record).astype(int) - original).mean() < 3  # encoded once more, as the frames of every method are
    assert record.notes["source"] == "1_1.mp4"
    assert run.manifest.card == {"base_model": "none", "licence": "Apache-2.0", "steps": 3}
    assert film("check", "run").code == 0
    again = film("run", "--method", "external", *sets(), "--suite", suite, "--out", "run", "--no-score")
    assert "3 reused" in again.err


def test_one_film_is_cut_where_its_script_says(film, sets, tmp_path: Path, clips: Path):
    suite = stories(tmp_path / "films", "fine", "frames", shots=(2, 2))
    done = film("run", "--method", "external", *sets(FILM), "--suite", suite, "--out", "run", "--no-score", "--retries", 0)
    assert done.code == 3
    run = RunFolder.open(tmp_path / "run")
    records = [run.record("fine", shot.id) for shot in run.stories[0].shots]
    assert [record.n_frames for record in records] == [61, 60, 60, 60]
    assert [record.notes["span"] for record in records] == [[0, 61], [61, 121], [121, 181], [181, 241]]
    assert "wrong-frames: film.mp4 has 4 frames, its cuts need 241" in reasons(tmp_path / "run")["frames", "01_01"]


def test_the_program_runs_once_per_story_and_again_only_where_it_failed(sets, tmp_path: Path):
    story = load_story(stories(tmp_path / "films", "fine") / "fine.json")
    method = External.from_options(model="world", options={**options(sets()), "work": str(tmp_path / "work")})

    def request(shot: int) -> ShotRequest:
        return ShotRequest(story=story, shot=story.shots[shot], seed=5, seeds=(70_000, 2, 3))

    with method.open("cpu") as maker:
        first, second = maker.shot(request(0)), maker.shot(request(1))
    assert ([span.stage for span in first.spans], second.spans) == (["program"], ())
    assert f"seed {70_000 % 2**16} " in (tmp_path / "work" / "fine" / "log.txt").read_text()
    with method.open("cuda:3") as maker:  # what is left in a named folder is used again
        assert maker.shot(request(0)).spans == ()
    crash = load_story(stories(tmp_path / "films", "crash") / "crash.json")
    with method.open("cuda:3") as maker:
        failures = []
        for shot in (0, 0, 1):
            with pytest.raises(ProgramError) as failure:
                maker.shot(ShotRequest(story=crash, shot=crash.shots[shot], seed=5, seeds=(1, 2, 3)))
            failures.append(failure.value)
    assert failures[0] is not failures[1]  # tried again: run again
    assert failures[1] is failures[2]  # another shot of the story: the same run
    assert "gpus 3" in (tmp_path / "work" / "crash" / "log.txt").read_text()


def test_identity_follows_sources_weights_and_recipe_but_not_limits_or_places(sets, tmp_path: Path):
    def identity(text: str = RECIPE, **more: str):
        return External.from_options(model="world", options={**options(sets(text)), **more}).identity()

    base = identity()
    assert base["sees"] == "story"
    assert str(tmp_path) not in json.dumps(base)
    assert identity(RECIPE.replace("timeout_s: 300", "timeout_s: 5"), gpus="0,1", timeout_s="9") == base
    assert identity(RECIPE.replace("steps: 3", "steps: 4")) != base
    assert identity(RECIPE.replace("--seed=", "--SEED=")) != base
    other = tmp_path / "other.py"
    other.write_text(PROGRAM.read_text() + "\n")
    assert identity(code=str(other)) != base
    assert identity(clips=str(PROGRAM.parent)) != base


def test_a_commit_is_read_without_running_git(tmp_path: Path):
    git, commit = tmp_path / ".git", "a" * 40
    assert commit_of(tmp_path) is None
    git.mkdir()
    (git / "HEAD").write_text(f"{commit}\n")
    assert commit_of(tmp_path) == commit
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs\n{'b' * 40} refs/heads/main\n")
    assert commit_of(tmp_path) == "b" * 40
    (git / "refs/heads").mkdir(parents=True)
    (git / "refs/heads/main").write_text(f"{commit}\n")
    assert commit_of(tmp_path) == commit
    (git / "HEAD").write_text("ref: ../../secret\n")
    assert commit_of(tmp_path) is None
    root = Path(__file__).resolve().parents[3]
    if (root / ".git").exists():
        real = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False).stdout.strip()
        assert commit_of(root) == (real or None)


def test_sources_count_by_name_and_bytes(tmp_path: Path):
    (tmp_path / "a.py").write_text("1")
    before = sources_digest(tmp_path)
    (tmp_path / "data.bin").write_text("2")
    assert sources_digest(tmp_path) == before
    (tmp_path / "a.py").write_text("2")
    assert sources_digest(tmp_path) != before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("command: [", "command: {"), "is not YAML"),
        (('"--seed={seed}"', '"--seed={sed}"'), "{sed} stands for nothing"),
        (("steps: 3", "stepps: 3"), "stepps: Extra inputs are not permitted"),
        (("sources: [code]", "sources: [cod]"), "identity names the place 'cod'"),
        (("films: {kind: shots", "films: {kind: shot"), "films.kind"),
        (("films:", "story: {dialect: holcine}\nfilms:"), "unknown dialect 'holcine'"),
    ],
)
def test_a_bad_recipe_is_refused_by_file_and_field(film, sets, tmp_path: Path, scripts: Path, change, says):
    done = film("run", "--method", "external", *sets(RECIPE.replace(*change)), "--suite", scripts)
    assert done.code == 2
    assert done.err.startswith(f"error: {tmp_path / 'recipe.yaml'}: ")
    assert says in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "expected --set recipe=FILE.yaml"),
        (["--set", "recipe=none.yaml"], "none.yaml"),
        (["--set", "codde=x"], "did you mean 'code'?"),
        (["--set", "code=nowhere"], "'nowhere' is not on this machine"),
        (["--set", "timeout_s=never"], "expected seconds"),
        (["--set", "environment=."], "holds no interpreter"),
    ],
)
def test_bad_options_are_refused_before_a_folder_is_made(film, sets, tmp_path: Path, scripts: Path, words, says):
    given = {**options(sets()), **options(words)} if words and "recipe" not in words[1] else options(words)
    done = film("run", "--method", "external", "--suite", scripts, *(w for k, v in given.items() for w in ("--set", f"{k}={v}")))
    assert done.code == 2
    assert says in done.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["holocine", "memento", "storymem-upstream"])
def test_recipes_of_the_project_are_whole_and_say_what_is_missing(film, name: str, scripts: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("STBENCH_EXTERNAL", raising=False)
    recipe = read_recipe(shipped()[name])
    assert recipe.name == name
    assert recipe.never_run
    line = next(line for line in film("list", "methods").out.splitlines() if line.split()[0] == name)
    assert f"(missing here: {', '.join(recipe.places)}; never run with the real program)" in line
    done = film("run", "--method", name, "--suite", scripts)
    assert done.code == 2
    assert "not on this machine: code (a checkout of" in done.err
    assert "nothing is installed or downloaded for you" in done.err


def test_places_are_found_in_a_folder_too(tmp_path: Path, environment: Path, monkeypatch: pytest.MonkeyPatch):
    for place in ("code", "weights", "driver"):
        (tmp_path / "holocine" / place).mkdir(parents=True)
    (tmp_path / "holocine" / "environment").symlink_to(environment)
    monkeypatch.setenv("STBENCH_EXTERNAL", str(tmp_path))
    assert METHODS.get("holocine").title.endswith("(here; never run with the real program)")
    made = METHODS.get("holocine").from_options(model="world", options={})
    with pytest.raises(UserError, match="weights: holds no file"):  # nothing would tell two sets of weights apart
        made.identity()
    (tmp_path / "holocine" / "weights" / "a.ckpt").write_bytes(b"1")
    before = made.identity()
    assert before["program"]["commit"] == {"code": None}
    (tmp_path / "holocine" / "weights" / "a.ckpt").write_bytes(b"12")
    assert made.identity() != before
    assert made.describe().startswith("holocine: HoloCine")
