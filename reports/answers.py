"""From the answers of raters to numbers: win/tie/loss, strengths, agreement, and which metrics agree with people.

A rater who fails a check is left out, and the report says so. Intervals resample stories, as everywhere.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from reports.preferences import bradley_terry, krippendorff_alpha
from reports.study import PAIR, Choice, Question, Study
from reports.tables import RunScores, metric_keys
from stbench.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MAX_BYTES = 5_000_000
RESAMPLES = 400
CODES = {"left": 1.0, "tie": 0.0, "right": -1.0}


class Answers(BaseModel):
    """What the page saves: question → criterion → choice."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    study: str
    rater: str
    answers: dict[str, dict[str, Choice]]


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One answer: +1 where the first method of the pair (by name) was preferred, 0 for a tie, -1."""

    rater: str
    criterion: str
    story: str
    pair: tuple[str, str]
    code: float


@dataclass(frozen=True, kw_only=True)
class People:
    """What raters said.

    Attributes:
        study: What they were asked.
        votes: Of raters who passed the checks; turned copies are not counted twice.
        raters: Names of those counted.
        failed: Names of those left out.
        steady: Share of turned copies that got the same answer, or None without any.
    """

    study: Study
    votes: tuple[Vote, ...]
    raters: tuple[str, ...]
    failed: tuple[str, ...]
    steady: float | None


def read_answers(paths: Sequence[Path], study: Study) -> People:
    """Read the files of raters.

    Raises:
        UserError: A file is no answers file, belongs to another study, or a rater is there twice.
    """
    questions = {question.id: question for question in study.questions}
    votes: list[Vote] = []
    raters: list[str] = []
    failed: list[str] = []
    turned: list[bool] = []
    for path in paths:
        found = _read(path, study)
        if found.rater in (*raters, *failed):
            raise UserError(f"rater {found.rater!r} is there twice", where=str(path), expected="one file per rater")
        if not _attentive(found, questions):
            failed.append(found.rater)
            continue
        raters.append(found.rater)
        for id, chosen in found.answers.items():
            question = questions.get(id)
            if question is None or question.kind != PAIR:
                continue
            if question.turned_from:
                before = found.answers.get(question.turned_from, {})
                turned += [CODES[choice] == -CODES[before[name]] for name, choice in chosen.items() if name in before]
                continue
            votes += [_vote(found.rater, question, name, choice) for name, choice in chosen.items() if name in study.criteria]
    steady = sum(turned) / len(turned) if turned else None
    return People(study=study, votes=tuple(votes), raters=tuple(raters), failed=tuple(failed), steady=steady)


def _read(path: Path, study: Study) -> Answers:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError("is too large", where=str(path), expected=f"at most {MAX_BYTES} bytes")
        found = Answers.model_validate(json.loads(path.read_bytes()))
    except (ValueError, TypeError, RecursionError, OSError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"holds no answers ({line})", where=str(path), expected="a file that the study's page saved") from error
    if found.study != study.study:
        raise UserError(f"belongs to study {found.study}", where=str(path), expected=f"answers of study {study.study}")
    return found


def _attentive(found: Answers, questions: Mapping[str, Question]) -> bool:
    """Every check that was answered was answered as it asked; one that was left out is a failure too."""
    checks = [question for question in questions.values() if question.expected]
    return all(found.answers.get(q.id) and set(found.answers[q.id].values()) == {q.expected} for q in checks)


def _vote(rater: str, question: Question, criterion: str, choice: str) -> Vote:
    first, second = sorted((question.left, question.right))
    sign = 1.0 if question.left == first else -1.0
    return Vote(rater=rater, criterion=criterion, story=question.story, pair=(first, second), code=sign * CODES[choice])


def pairs_frame(people: People) -> pd.DataFrame:
    """Win/tie/loss of every ordered pair of methods, as the paper's Figure 4 has them; shares and counts."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for criterion in people.study.criteria:
        for method, rival in itertools.permutations(people.study.methods, 2):
            pair, sign = ((method, rival), 1.0) if method < rival else ((rival, method), -1.0)
            codes = [sign * vote.code for vote in people.votes if vote.criterion == criterion and vote.pair == pair]
            if codes:
                counts = {name: sum(code == value for code in codes) for name, value in (("win", 1.0), ("tie", 0.0), ("loss", -1.0))}
                shares = {f"{name}_share": n / len(codes) for name, n in counts.items()}
                rows.append({"criterion": criterion, "method": method, "against": rival, **counts, **shares, "n": len(codes)})
    return pd.DataFrame(rows)


def strengths_frame(people: People, *, seed: int = 0) -> pd.DataFrame:
    """Bradley-Terry log strength of every method, with a 95% interval from resampled stories (percentiles)."""
    import numpy as np
    import pandas as pd

    rows: list[dict[str, Any]] = []
    methods = list(people.study.methods)
    for criterion in people.study.criteria:
        by_story = _wins_by_story([vote for vote in people.votes if vote.criterion == criterion], methods)
        if not by_story:
            continue
        tables = np.array([by_story[story] for story in sorted(by_story)])
        estimate = bradley_terry(tables.sum(axis=0))
        low = high = np.full(len(methods), np.nan)
        if len(tables) > 1:
            picks = np.random.default_rng(seed).integers(0, len(tables), size=(RESAMPLES, len(tables)))
            low, high = np.quantile([bradley_terry(tables[pick].sum(axis=0)) for pick in picks], [0.025, 0.975], axis=0)
        for k, method in enumerate(methods):
            ends = {name: None if math.isnan(end[k]) else float(end[k]) for name, end in (("low", low), ("high", high))}
            rows.append({"criterion": criterion, "method": method, "strength": float(estimate[k]), **ends, "n_stories": len(tables)})
    return pd.DataFrame(rows)


def _wins_by_story(votes: Sequence[Vote], methods: Sequence[str]) -> dict[str, np.ndarray]:
    """Story → (K, K) wins of row over column; a tie is half a win for both."""
    import numpy as np

    found: dict[str, np.ndarray] = {}
    for vote in votes:
        table = found.setdefault(vote.story, np.zeros((len(methods), len(methods))))
        i, j = methods.index(vote.pair[0]), methods.index(vote.pair[1])
        table[i, j] += (1 + vote.code) / 2
        table[j, i] += (1 - vote.code) / 2
    return found


def agreement(people: People) -> dict[str, float | None]:
    """Krippendorff's alpha of every criterion, on the scale worse, tie, better."""
    found = {}
    for criterion in people.study.criteria:
        units: dict[tuple[str, tuple[str, str]], dict[str, float]] = {}
        for vote in people.votes:
            if vote.criterion == criterion:
                units.setdefault((vote.story, vote.pair), {})[vote.rater] = vote.code
        found[criterion] = krippendorff_alpha(list(units.values()))
    return found


def metrics_frame(people: People, runs: Sequence[RunScores]) -> pd.DataFrame:
    """How far each metric agrees with people: over pairs of films of one story, its difference against their mean preference.

    Columns: Spearman's rho with its p-value (pairs of one story are not independent, so p is a guide), the share of pairs that people
    decided where the metric names the same film, and n.
    """
    import pandas as pd
    from scipy.stats import spearmanr

    by_title = {run.title: run for run in runs}
    rows: list[dict[str, Any]] = []
    for criterion, key in itertools.product(people.study.criteria, metric_keys(runs)):
        codes: dict[tuple[str, tuple[str, str]], list[float]] = {}
        for vote in people.votes:
            if vote.criterion == criterion:
                codes.setdefault((vote.story, vote.pair), []).append(vote.code)
        points = [(gap, math.fsum(part) / len(part)) for unit, part in codes.items() if (gap := _gap(unit, key, by_title)) is not None]
        decided = [(gap, liked) for gap, liked in points if liked != 0 and gap != 0]
        varied = len({gap for gap, _ in points}) > 1 and len({liked for _, liked in points}) > 1
        rho = spearmanr(*zip(*points, strict=True)) if len(points) > 2 and varied else None
        rows.append(
            {
                "criterion": criterion,
                "metric": key[1],
                "spearman": None if rho is None else float(rho.statistic),
                "p": None if rho is None else float(rho.pvalue),
                "same_choice": sum((gap > 0) == (liked > 0) for gap, liked in decided) / len(decided) if decided else None,
                "n_pairs": len(points),
                "n_decided": len(decided),
            }
        )
    return pd.DataFrame(rows)


def _gap(unit: tuple[str, tuple[str, str]], key: tuple[str, ...], runs: Mapping[str, RunScores]) -> float | None:
    """Difference of a metric between two films of a story, positive where the first is better; None without both."""
    story, pair = unit
    lines = [runs[title].line(key) if title in runs else None for title in pair]
    values = [line.by_story.get(story) if line else None for line in lines]
    if lines[0] is None or values[0] is None or values[1] is None or lines[0].higher_is_better is None:
        return None
    gap = values[0] - values[1]
    return gap if lines[0].higher_is_better else -gap
