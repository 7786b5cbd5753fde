"""A human study in a folder: a page of blinded questions, and the key that says what was shown.

out/study/index.html  media/<letters>.mp4       to send to raters; names no method
out/study.key.json                              stays with whoever asks

Two films of one story stand side by side, on sides drawn by a seed. Checks (a question that says what to answer) and turned copies (the
same pair with the sides changed) stand among them. A rater's answers are a JSON file that the page saves.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from reports.page import TEMPLATES, render, script_hash
from reports.runs import label
from reports.views import titles_of
from stbench.errors import UserError
from stbench.files import write_bytes, write_json
from stbench.keys import digest
from stbench.store import RunFolder

FOLDER, KEY_FILE = "study", "study.key.json"
CRITERIA = {
    "consistency": "Which film keeps its characters and places more alike from shot to shot?",
    "prompt": "Which film follows the story and its shots more closely?",
    "aesthetics": "Which film looks better?",
}
CHECK_EVERY = 8  # one check among so many questions
TURNED_SHARE = 0.1  # of the questions are asked again with sides changed
PAIR: Final = "pair"
CHECK: Final = "check"
LEFT: Final = "left"
RIGHT: Final = "right"
Choice = Literal["left", "tie", "right"]


class Question(BaseModel):
    """One screen. For a check, `expected` is the side that it asks for."""

    model_config = ConfigDict(frozen=True)
    id: str
    kind: Literal["pair", "check"]
    story: str
    left: str  # titles of methods
    right: str
    expected: Choice | None = None
    turned_from: str | None = None  # the question that this one repeats with its sides changed


class Study(BaseModel):
    """`study.key.json`: what every question showed."""

    model_config = ConfigDict(frozen=True)
    study: str
    methods: tuple[str, ...]
    criteria: tuple[str, ...]
    questions: Annotated[tuple[Question, ...], Field(min_length=1)]


def write_study(runs: Sequence[RunFolder], out: Path, *, questions: int = 40, seed: int = 0) -> dict[str, Path]:
    """Write the page, its films and the key.

    Args:
        runs: Two runs or more.
        out: Folder of the report.
        questions: At most so many pairs; drawn evenly over pairs of methods.
        seed: Of sides and order.

    Raises:
        UserError: Fewer than two runs, or no story that two of them have filmed whole.
    """
    titles = titles_of([label(run) for run in runs])
    films = {title: _films(run) for run, title in zip(runs, titles, strict=True)}
    plan = plan_study(films, questions=questions, seed=seed)
    texts = {story.id: (story.name, story.overview, [shot.prompt for shot in story.shots]) for run in runs for story in run.stories}
    folder = out / FOLDER
    shown = []
    for question in plan.questions:
        urls = [_blinded(films[title][question.story][1], plan.study, folder) for title in (question.left, question.right)]
        name, overview, prompts = texts[question.story]
        shown.append({"id": question.id, "left": urls[0], "right": urls[1], "name": name, "overview": overview, "prompts": prompts})
        shown[-1]["check"] = question.expected or ""
    script = (TEMPLATES / "study.js").read_text(encoding="utf-8")
    page = render(
        "study.html",
        study={"study": plan.study, "criteria": CRITERIA, "questions": shown},
        script=script,
        script_hash=script_hash(script),
        styles=(TEMPLATES / "study.css").read_text(encoding="utf-8"),
    )
    write_bytes(folder / "index.html", page.encode("utf-8", "replace"))
    write_json(out / KEY_FILE, plan.model_dump(mode="json"))
    return {"study": folder / "index.html", "study_key": out / KEY_FILE}


def plan_study(films: dict[str, dict[str, tuple[str, Path]]], *, questions: int, seed: int) -> Study:
    """Which pairs are asked, on which sides, in which order; `films` is method → story → (its digest, its file).

    Only stories that are the same word for word have the same digest, and only those are paired.
    """
    rng = random.Random(seed)  # noqa: S311 sides and order, no secrets
    by_pair = []
    for a, b in itertools.combinations(films, 2):
        stories = [story for story in films[a] if story in films[b] and films[a][story][0] == films[b][story][0]]
        by_pair.append([(a, b, story) for story in rng.sample(stories, len(stories))])
    drawn = [pair for turn in itertools.zip_longest(*by_pair) for pair in turn if pair][:questions]
    if not drawn:
        raise UserError("no two runs have a whole film of the same story", where="--study", expected="two runs or more of one suite")
    name = digest({"pairs": drawn, "seed": seed, "films": {m: {s: d for s, (d, _) in f.items()} for m, f in films.items()}})[:16]
    asked = []
    for k, (a, b, story) in enumerate(drawn):
        left, right = rng.sample([a, b], 2)
        asked.append(Question(id=f"q{k + 1}", kind=PAIR, story=story, left=left, right=right))
    asked += [
        Question(id=f"{q.id}t", kind=PAIR, story=q.story, left=q.right, right=q.left, turned_from=q.id)
        for q in rng.sample(asked, round(TURNED_SHARE * len(asked)))
    ]
    rng.shuffle(asked)
    for k in range(max(1, len(asked) // CHECK_EVERY)):
        like = rng.choice(asked)
        side: Choice = LEFT if rng.random() < 0.5 else RIGHT
        check = Question(id=f"c{k + 1}", kind=CHECK, story=like.story, left=like.left, right=like.right, expected=side)
        asked.insert(rng.randrange(len(asked) + 1), check)
    return Study(study=name, methods=tuple(films), criteria=tuple(CRITERIA), questions=tuple(asked))


def _films(run: RunFolder) -> dict[str, tuple[str, Path]]:
    """Story → (digest of its script, joined film), for stories that were filmed whole."""
    found = {}
    for part in run.story_records():
        path = run.film_path(part.story.id)
        if part.complete and path.is_file():
            found[part.story.id] = (digest(part.story.to_json()), path)
    return found


def _blinded(film: Path, study: str, folder: Path) -> str:
    """Copy a film under a name that tells nothing; the same film has the same name."""
    name = hashlib.sha256(f"{study}{film.resolve()}".encode()).hexdigest()[:20] + ".mp4"
    target = folder / "media" / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(film, target)
    return f"media/{name}"


def read_key(out: Path) -> Study:
    """The key beside a report.

    Raises:
        UserError: It is missing or not a key.
    """
    path = out / KEY_FILE
    try:
        return Study.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise UserError(
            "is missing", where=str(path), expected="the key that `stbench report --study` wrote", hint="--out FOLDER"
        ) from error
    except (ValueError, TypeError, OSError) as error:
        raise UserError(f"is not a key ({_first_line(error)})", where=str(path)) from error


def _first_line(error: Any) -> str:
    return str(error).splitlines()[0]
