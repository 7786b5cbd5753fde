"""For the tests of methods: does a method keep the promises that the runner, resume and comparisons rest on?

A small story with a scene cut and a continuation is filmed through the real runner. Nothing is scored.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stbench.check import check_run
from stbench.config import RunConfig
from stbench.display import Display
from stbench.errors import UserError
from stbench.keys import canonical_json
from stbench.methods import METHODS
from stbench.runner import RunOutcome, run

SCRIPT = {
    "story_name": "A cat by the sea",
    "story_overview": "A cat walks on the beach, then through the city.",
    "scenes": [
        {
            "scene_num": 1,
            "video_prompts": ["Wide shot of a cat walking on the beach.", "The cat jumps on the beach."],
            "cut": [True, False],
        },
        {"scene_num": 2, "video_prompts": ["Close-up of the cat in the city."], "cut": [True]},
    ],
}
SHOTS = 3


class BrokenPromiseError(AssertionError):
    """A method does not do what every method must; the message says which promise, and what was found."""


def check_method(name: str, *, folder: Path, model: str = "world", options: Mapping[str, str] | None = None) -> None:
    """Film a small story with a method twice and continue it once.

    Args:
        name: The method, registered (an installed entry point, or `METHODS.add`).
        folder: An empty folder.
        model: As for `stbench run`.
        options: As for `--set`.

    Raises:
        BrokenPromiseError: With the promise that is broken.
    """
    options = dict(options or {})
    method = METHODS.get(name)
    facts = [dict(method.from_options(model=model, options=options).identity()) for _ in range(2)]
    _promise("its identity is the same every time", facts[0] == facts[1], str(facts))
    try:
        canonical_json(facts[0])
    except (TypeError, ValueError) as error:
        raise BrokenPromiseError(f"broken: its identity is JSON ({error})") from error
    try:
        method.from_options(model=model, options={**options, "no.such.option": "1"})
    except UserError:
        pass
    else:
        raise BrokenPromiseError("broken: an option that it does not know is a UserError; it was taken")
    script = folder / "cat.json"
    script.write_text(json.dumps(SCRIPT), encoding="utf-8")
    config = RunConfig(method=name, suite=str(script), model=model, options=options, out=folder / "one", device="cpu", score=False)
    first, said = _film(config)
    _promise("every shot is made", first.made == SHOTS, said)
    checked = check_run(first.folder.path)
    _promise("the run is valid", checked.verdict == "valid", "; ".join(checked.lines()))
    again, said = _film(config)
    _promise("the same command makes nothing again", again.reused == SHOTS, said)
    other, _ = _film(replace(config, out=folder / "two"))
    equal = _digests(first) == _digests(other)
    _promise("the same seed gives the same frames", equal, "another run differs; is the seed of the request used for everything?")


def _film(config: RunConfig) -> tuple[RunOutcome, str]:
    out = io.StringIO()
    outcome = run(config, Display(out))
    return outcome, out.getvalue()


def _digests(outcome: RunOutcome) -> list[str]:
    return [record.video.sha256 for part in outcome.folder.story_records() for record in part.records]


def _promise(what: str, kept: bool, found: str) -> None:
    if not kept:
        raise BrokenPromiseError(f"broken: {what}; found: {found}")
