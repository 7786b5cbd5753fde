"""The human study: what is asked, what is read back, and statistics against published examples and brute force."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.answers import agreement, metrics_frame, pairs_frame, read_answers, strengths_frame
from reports.preferences import bradley_terry, krippendorff_alpha, nominal, squared
from reports.report import write_report
from reports.study import KEY_FILE, Study, plan_study, read_key, write_study
from reports.tables import read_scores
from stbench.errors import UserError

from .conftest import RunMaker, make_story

STORIES = tuple(make_story(f"s{k}", 2) for k in range(6))
GAP = None
# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: four raters, twelve units.
EXAMPLE = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, GAP, GAP, GAP],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, GAP, 3],
    [GAP, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, GAP],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, GAP],
]


@pytest.mark.parametrize(("distance", "alpha"), [(nominal, 0.743), (squared, 0.849)])
def test_alpha_is_that_of_krippendorffs_example(distance: object, alpha: float) -> None:
    units = [{str(r): float(row[k]) for r, row in enumerate(EXAMPLE) if row[k] is not None} for k in range(12)]
    assert krippendorff_alpha(units, distance=distance) == pytest.approx(alpha, abs=0.0005)  # type: ignore[arg-type]


def test_alpha_says_nothing_where_nothing_can_be_said() -> None:
    assert krippendorff_alpha([{"a": 1.0}, {"b": 0.0}]) is None
    assert krippendorff_alpha([{"a": 1.0, "b": 1.0}]) is None


def test_strengths_maximise_the_likelihood() -> None:
    from scipy.optimize import minimize

    wins = np.array([[0, 7, 9], [3, 0, 6.5], [1, 3.5, 0]])

    def loss(x: np.ndarray) -> float:
        return sum(wins[i, j] * np.log1p(np.exp(x[j] - x[i])) for i, j in itertools.permutations(range(3), 2))

    best = minimize(loss, np.zeros(3)).x
    assert bradley_terry(wins, prior=0) == pytest.approx(best - best.mean(), abs=1e-4)


def test_a_method_that_always_wins_has_a_finite_strength() -> None:
    strengths = bradley_terry(np.array([[0, 10], [0, 0]]))
    assert np.isfinite(strengths).all()
    assert strengths[0] > strengths[1]


def study_of(make_run: RunMaker, out: Path) -> Study:
    runs = [make_run("wan-t2v", level=0.3, stories=STORIES), make_run("storymem", level=0.7, stories=STORIES)]
    write_study(runs, out)
    return read_key(out)


def answer(study: Study, path: Path, rater: str, *, likes: str = "storymem", noise: int = 0, fails: bool = False) -> Path:
    """A rater who prefers one method, with every `noise`-th answer a tie."""
    found = {}
    for k, question in enumerate(study.questions):
        side = question.expected or ("left" if question.left == likes else "right")
        if question.expected and fails:
            side = "tie"
        if not question.expected and noise and k % noise == 0:
            side = "tie"
        found[question.id] = dict.fromkeys(study.criteria, side)
    path.write_text(json.dumps({"study": study.study, "rater": rater, "answers": found}))
    return path


def test_the_page_names_no_method_and_sides_are_mixed(make_run: RunMaker, tmp_path: Path) -> None:
    study = study_of(make_run, tmp_path / "out")
    page = (tmp_path / "out" / "study" / "index.html").read_text(encoding="utf-8")
    assert "storymem" not in page
    assert "wan-t2v" not in page
    pairs = [question for question in study.questions if question.kind == "pair"]
    assert {question.left for question in pairs} == {"storymem", "wan-t2v"}
    assert sum(question.expected is not None for question in study.questions) >= 1
    turned = [question for question in pairs if question.turned_from]
    for question in turned:
        first = next(other for other in pairs if other.id == question.turned_from)
        assert (first.left, first.right) == (question.right, question.left)
    assert len(list((tmp_path / "out" / "study" / "media").iterdir())) == 12


def test_sides_depend_on_the_seed_and_on_nothing_else() -> None:
    films = {name: {f"s{k}": ("d", Path(name)) for k in range(40)} for name in ("a", "b", "c")}
    one, two = (plan_study(films, questions=60, seed=0) for _ in range(2))
    assert one == two
    assert plan_study(films, questions=60, seed=1).study != one.study
    pairs = [question for question in one.questions if question.kind == "pair" and not question.turned_from]
    counts = {frozenset((q.left, q.right)): 0 for q in pairs}
    for question in pairs:
        counts[frozenset((question.left, question.right))] += 1
    assert sorted(counts.values()) == [20, 20, 20]


def test_answers_become_wins_strengths_agreement_and_metrics(make_run: RunMaker, tmp_path: Path) -> None:
    out = tmp_path / "out"
    study = study_of(make_run, out)
    files = [answer(study, tmp_path / "ann.json", "ann"), answer(study, tmp_path / "bo.json", "bo", noise=3)]
    files.append(answer(study, tmp_path / "cy.json", "cy", likes="wan-t2v", fails=True))
    people = read_answers(files, study)
    assert (people.raters, people.failed) == (("ann", "bo"), ("cy",))
    frame = pairs_frame(people)
    row = frame[(frame["criterion"] == "prompt") & (frame["method"] == "storymem")].iloc[0]
    assert (row["win"] + row["tie"], row["loss"], row["n"]) == (12, 0, 12)
    assert row["win"] >= 8
    strengths = strengths_frame(people)
    part = strengths[strengths["criterion"] == "prompt"].set_index("method")
    assert part.loc["storymem", "low"] > part.loc["wan-t2v", "high"]
    assert agreement(people)["prompt"] is not None
    runs = read_scores(
        [make_run("wan-t2v", level=0.3, stories=STORIES, name="x"), make_run("storymem", level=0.7, stories=STORIES, name="y")],
        ["wan-t2v", "storymem"],
    )
    metrics = metrics_frame(people, runs)
    same = metrics[(metrics["metric"] == "prompt_following_single_shot") & (metrics["criterion"] == "prompt")]["same_choice"].item()
    assert same == 1.0


def test_the_report_shows_the_study(make_run: RunMaker, tmp_path: Path) -> None:
    out = tmp_path / "out"
    runs = [make_run("wan-t2v", level=0.3, stories=STORIES), make_run("storymem", level=0.7, stories=STORIES)]
    write_study(runs, out)
    files = [answer(read_key(out), tmp_path / f"{name}.json", name, noise=noise) for name, noise in (("ann", 0), ("bo", 2))]
    paths = write_report(runs, out, answers=files)
    html = paths["html"].read_text(encoding="utf-8")
    assert "What people preferred" in html
    assert "2 raters" in html
    assert pd.read_csv(paths["people_pairs"])["n"].tolist() == [12] * 6


def test_bad_answers_are_one_clear_line(make_run: RunMaker, tmp_path: Path) -> None:
    study = study_of(make_run, tmp_path / "out")
    good = answer(study, tmp_path / "a.json", "ann")
    with pytest.raises(UserError, match="rater 'ann' is there twice"):
        read_answers([good, answer(study, tmp_path / "b.json", "ann")], study)
    other = tmp_path / "c.json"
    other.write_text(json.dumps({"study": "f" * 16, "rater": "cy", "answers": {}}))
    with pytest.raises(UserError, match="belongs to study ffff"):
        read_answers([other], study)
    other.write_text("[1]")
    with pytest.raises(UserError, match="holds no answers"):
        read_answers([other], study)
    with pytest.raises(UserError, match=r"--study. wrote"):
        read_key(tmp_path)
    assert (tmp_path / "out" / KEY_FILE).exists()
    with pytest.raises(UserError, match="no two runs have a whole film"):
        plan_study({"a": {}, "b": {}}, questions=3, seed=0)
