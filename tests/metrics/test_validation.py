"""Metrics checked against known truth: the harm is what it says, the judgement is what it claims, and it can fail."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from metrics.base import METRICS, Expects
from metrics.cache import FeatureCache
from metrics.join_continuity import JoinMotion
from metrics.motion import MotionMagnitude
from metrics.temporal_flickering import TemporalFlickering
from metrics.validation import measure as judging
from metrics.validation.films import FilmFeatures, world_films
from metrics.validation.matrix import heat_map, table_lines, verdict_lines
from metrics.validation.measure import Cell, Matrix, detection, measure, spearman
from metrics.validation.perturbations import LEVELS, PERTURBATIONS
from stbench.commands import validate_metrics as command
from stbench.errors import UserError
from stbench.world.reader import read_shot

BY_NAME = {perturbation.name: perturbation for perturbation in PERTURBATIONS}
PIXELS = (TemporalFlickering(), MotionMagnitude(), JoinMotion())


@pytest.fixture(scope="module")
def films():
    return world_films(2, 4)


def frames(film):
    return np.stack([take.frames for take in film.takes])


@pytest.mark.parametrize("perturbation", PERTURBATIONS, ids=lambda p: p.name)
def test_level_0_changes_nothing_more_is_worse_and_the_same_harm_is_the_same(films, perturbation):
    film = films[0]
    assert perturbation(film, 0.0) is film
    told = lambda one: [take.shot.prompt for take in one.takes]  # noqa: E731
    differences = [np.abs(frames(perturbation(film, level)).astype(int) - frames(film)).mean() for level in LEVELS]
    swapped = [sum(a != b for a, b in zip(told(perturbation(film, level)), told(film), strict=True)) for level in LEVELS]
    spoilt = swapped if perturbation.name == "prompt_swap" else differences
    assert spoilt[-1] > 0
    assert (max(differences) == 0) == (perturbation.name == "prompt_swap")
    if perturbation.name not in ("shot_shuffle", "frame_shuffle"):  # a longer cycle can bring a picture nearer to its old place
        assert spoilt == sorted(spoilt)
    np.testing.assert_array_equal(frames(perturbation(film, 0.5)), frames(perturbation(film, 0.5)))


def test_harm_to_the_look_is_what_it_says(films):
    film = films[0]
    swapped, elsewhere = BY_NAME["identity_swap"](film, 1.0), BY_NAME["background_swap"](film, 1.0)
    for before, look, place in zip(film.takes[1:], swapped.takes[1:], elsewhere.takes[1:], strict=True):
        real, other, moved = (read_shot(take.frames) for take in (before, look, place))
        assert (other.species, other.place, other.action) == (real.species, real.place, real.action)
        assert other.colour != real.colour
        assert other.accessory != real.accessory
        assert (moved.species, moved.colour, moved.accessory) == (real.species, real.colour, real.accessory)
        assert moved.place != real.place
    np.testing.assert_array_equal(swapped.takes[0].frames, film.takes[0].frames)


def test_half_a_freeze_stands_still_for_half_of_the_shot(films):
    half = BY_NAME["freeze"](films[0], 0.5).takes[0].frames
    moves = np.abs(np.diff(half.astype(int), axis=0)).mean((1, 2, 3)) > 0
    assert moves[:8].any()
    assert not moves[8:].any()


@pytest.fixture(scope="module")
def matrix(films):
    source = FilmFeatures(protocol="p", device="cpu", cache=FeatureCache(None), known={})
    kept = [BY_NAME[name] for name in ("flicker", "noise", "freeze", "join_stall", "prompt_swap", "colour_drift")]
    return measure(films, PIXELS, kept, source)


def test_metrics_of_pixels_hold_what_they_declare(matrix):
    assert matrix.violated == []
    assert matrix.declared >= 8
    cell = matrix.cells["temporal_flickering", "flicker"]
    assert (cell.spearman, cell.auc, cell.holds) == (-1.0, 1.0, True)
    assert matrix.cells["motion_magnitude", "freeze"].means[-1] == 0
    assert matrix.cells["temporal_flickering", "prompt_swap"].change == 0


def test_a_metric_that_claims_too_much_is_found_out(films, monkeypatch):
    monkeypatch.setattr(TemporalFlickering, "expects", Expects(falls=("prompt_swap", "flicker"), keeps=("noise",)))
    source = FilmFeatures(protocol="p", device="cpu", cache=FeatureCache(None), known={})
    kept = [BY_NAME[name] for name in ("flicker", "noise", "prompt_swap")]
    found = measure(films, [TemporalFlickering()], kept, source)
    assert {cell.perturbation: cell.holds for cell in found.cells.values()} == {"flicker": True, "noise": False, "prompt_swap": False}
    assert "VIOLATED  1 of 3" in verdict_lines(found)[-1]


def test_statistics_equal_their_definitions():
    a, b = np.array([0.3, 0.5, 0.9]), np.array([0.2, 0.5, 1.0])
    assert detection(a, b) == pytest.approx((1 + 0.5 + 0) / 3)
    assert spearman(LEVELS, np.array([5.0, 4.0, 4.5, 2.0, 1.0])) == pytest.approx(-0.9)
    assert spearman(LEVELS, np.array([1.0, 1.0, 1.0, 1.0, 1.0 + 1e-13])) == 0


@pytest.mark.parametrize(
    ("expected", "spearman_", "auc", "leak", "holds"),
    [
        ("falls", -1.0, 1.0, 1.0, True),
        ("falls", -0.9, 1.0, 1.0, False),
        ("falls", -1.0, 0.9, 1.0, False),
        ("rises", 1.0, 0.0, 1.0, True),
        ("rises", -1.0, 1.0, 1.0, False),
        ("detects", -0.3, 1.0, 0.4, True),
        ("keeps", -1.0, 1.0, 0.1, True),
        ("keeps", 0.0, 0.5, 0.3, False),
        ("keeps", 0.0, 0.5, None, False),
        (None, 0.0, 0.5, 0.3, None),
    ],
)
def test_the_verdict_on_a_declaration(expected, spearman_, auc, leak, holds):
    cell = Cell(metric="m", perturbation="p", means=(1.0,), spearman=spearman_, auc=auc, change=0.1)
    assert judging._holds(cell, expected, leak) is holds


def test_what_could_not_be_scored_does_not_hold():
    assert judging._holds(Cell(metric="m", perturbation="p", means=(None,)), "falls", None) is False


def test_every_declaration_names_perturbations_that_exist_and_none_twice():
    for name in METRICS:
        expects = METRICS.get(name).expects
        declared = [*expects.falls, *expects.rises, *expects.detects, *expects.keeps]
        assert set(declared) <= set(BY_NAME), name
        assert len(declared) == len(set(declared)), name


def test_the_table_fits_80_columns_and_the_picture_opens(matrix):
    kept = [BY_NAME[name] for name in matrix.perturbations]
    lines = table_lines(matrix, kept) + verdict_lines(matrix)
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if line.startswith("temporal_flickering"))
    assert " v+ v+ ^+" in row
    wide = Matrix(metrics=matrix.metrics, perturbations=matrix.perturbations, cells=matrix.cells, films=1, shots=1)
    picture = Image.open(io.BytesIO(heat_map(wide)))
    assert min(picture.size) > 300


def test_the_command_writes_its_files_and_fails_on_a_violation(tmp_path, monkeypatch):
    app = typer.Typer()
    command.register(app)
    words = [
        "--stories",
        "1",
        "--shots",
        "3",
        "--metric",
        "temporal_flickering",
        "--out",
        str(tmp_path / "out"),
        "--json",
        "--device",
        "cpu",
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    assert data["verdict"] == "complete"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"matrix.json", "matrix.csv", "matrix.png"}
    monkeypatch.setattr(TemporalFlickering, "expects", Expects(rises=("flicker",)))
    assert CliRunner().invoke(app, words).exit_code == 1
    assert isinstance(CliRunner().invoke(app, ["--metric", "nonsense"]).exception, UserError)


def test_films_made_elsewhere_are_harmed_in_their_pixels_only(tmp_path):
    from metrics.validation.run import Request, validate
    from stbench.video import write_mp4

    scene = {"scene_num": 1, "video_prompts": ["a", "b", "c"], "cut": [True, True, False]}
    (tmp_path / "tale.json").write_text(json.dumps({"story_name": "tale", "scenes": [scene]}))
    (tmp_path / "videos" / "tale").mkdir(parents=True)
    for number, take in enumerate(world_films(1, 3)[0].takes, start=1):
        write_mp4(tmp_path / "videos" / "tale" / f"1_{number}.mp4", take.frames, 8)
    request = Request(
        protocol="lite", stories=1, shots=3, videos=tmp_path / "videos", suite=str(tmp_path / "tale.json"), metrics=("motion_magnitude",)
    )
    found = validate(request)
    assert {p.name for p in found.perturbations} == {p.name for p in PERTURBATIONS if not p.needs_truth}
    assert found.matrix.cells["motion_magnitude", "freeze"].means[-1] == 0
    empty = replace(request, videos=tmp_path)
    with pytest.raises(UserError):
        validate(replace(empty, suite="world-mini"))
