"""`external`: a foreign program as a method. It films a whole story at once, in its own environment; the runner gets the shots one by one.

The program runs when the first shot of a story is asked for, and again only if it failed and that very shot is tried again; the story's
other shots take what it left. Whatever goes wrong (crash, hang, nothing, too little, wrong lengths) is an error of these shots, named, with
the end of what it printed; the next story is filmed as if nothing had been.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from stbench.errors import UserError, did_you_mean
from stbench.external.collect import Collected, ProgramError, collect, read_shot
from stbench.external.places import find_places, identity_of, missing_error, python_of, variables
from stbench.external.program import Ended, run_program
from stbench.external.recipe import ENVIRONMENT, Place, Recipe, fill, read_recipe, shipped
from stbench.keys import digest, file_sha256
from stbench.methods import MethodCard, ShotRequest, ShotResult, Span
from stbench.story import Story

RECIPE = "recipe"
RUNTIME = ("timeout_s", "gpus", "work")  # of `--set`: cannot change a pixel
DONE, LOG = "done.json", "log.txt"


class External:
    """A program of its own, run by a recipe: `--set recipe=FILE.yaml`; see docs/methods.md."""

    name: ClassVar[str] = "external"
    recipe_file: ClassVar[Path | None] = None  # None: named with --set
    lacking: ClassVar[Mapping[str, Place]] = {}  # places of `recipe_file` that are not on this machine, as far as known without --set

    def __init__(self, recipe: Recipe, places: Mapping[str, Path], runtime: Mapping[str, str]):
        self.recipe, self.places, self.runtime = recipe, dict(places), dict(runtime)

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> Self:
        """Build from `--set`: the recipe, its places, and `timeout_s`, `gpus`, `work`. `--model` means nothing to it.

        Raises:
            UserError: No recipe, a bad one, an unknown option, or something that the recipe needs and that is not here.
        """
        options = dict(options)
        file = cls.recipe_file or options.pop(RECIPE, None)
        if file is None:
            raise UserError("which program?", where=f"--method {cls.name}", expected=f"--set {RECIPE}=FILE.yaml")
        recipe = read_recipe(Path(file))
        known = (*recipe.places, *RUNTIME)
        for key in options:
            if key not in known:
                expected = "one of: " + ", ".join(known)
                where = f"--set of {recipe.name}"
                raise UserError(f"unknown option {key!r}", where=where, expected=expected, hint=did_you_mean(key, known))
        runtime = {name: options[name] for name in RUNTIME if name in options}
        if "timeout_s" in runtime and not _is_positive(runtime["timeout_s"]):
            raise UserError(f"found {runtime['timeout_s']!r}", where="--set timeout_s", expected="seconds, more than 0")
        places, missing = find_places(recipe, options)
        if missing:
            raise missing_error(recipe, missing)
        python_of(places.get(ENVIRONMENT))
        return cls(recipe, places, runtime)

    def identity(self) -> Mapping[str, Any]:
        """The recipe, and what the program is: commit, sources, weights. Every shot may depend on the whole story."""
        return {
            "method": self.recipe.name,
            "sees": "story",
            "recipe": self.recipe.identity_facts(),
            "program": identity_of(self.recipe, self.places),
        }

    def describe(self) -> str:
        """One line."""
        never = "; nobody has run this recipe with the real program yet" if self.recipe.never_run else ""
        return f"{self.recipe.name}: {self.recipe.about}; base model {self.recipe.base_model}; licence: {self.recipe.licence}{never}"

    def card(self) -> MethodCard:
        """What tables say of it, as the recipe says."""
        recipe = self.recipe
        return MethodCard(base_model=recipe.base_model, licence=recipe.licence, parameters=recipe.parameters, steps=recipe.steps)

    @contextmanager
    def open(self, device: str) -> Iterator[ExternalShots]:
        """A folder to work in; it is removed at the end unless it was named, or something went wrong in it."""
        named = self.runtime.get("work")
        work = Path(named).absolute() if named else Path(tempfile.mkdtemp(prefix=f"stbench-{self.recipe.name}-"))
        work.mkdir(parents=True, exist_ok=True)
        shots = ExternalShots(self, work, device)
        try:
            yield shots
        finally:
            if not named and not shots.failures:
                shutil.rmtree(work, ignore_errors=True)


@dataclass
class _Filmed:
    """What the program made of one story, or why it made nothing; `asked` is the shot for which it ran."""

    asked: str
    collected: Collected | None = None
    failure: ProgramError | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


class ExternalShots:
    """The method at work.

    Attributes:
        failures: Stories in which something went wrong; their files are kept.
    """

    def __init__(self, method: External, work: Path, device: str):
        self._method, self._work, self._device = method, work, device
        self._identity = digest(dict(method.identity()))
        self._key, self._filmed = "", _Filmed(asked="")
        self.failures: list[str] = []

    def shot(self, request: ShotRequest) -> ShotResult:
        """One shot of what the program left.

        Raises:
            ProgramError: Named by its kind; never ends the run.
        """
        key = digest([request.story.content(), list(request.seeds), self._identity])
        tried_again = self._filmed.failure is not None and self._filmed.asked == request.shot.id
        runs = key != self._key or tried_again
        if runs:
            self._key, self._filmed = key, self._film(request, key)
        filmed = self._filmed
        if filmed.failure is not None or filmed.collected is None:
            raise filmed.failure or ProgramError("no-output", "nothing was made")
        try:
            source = filmed.collected.source(request.shot.id, self._method.recipe.films.frames)
            frames, fps = read_shot(source)
        except ProgramError as error:
            self.failures.append(request.story.id)
            raise error.with_log(self._work / request.story.id / LOG) from error
        spans = (Span(stage="program", seconds=filmed.seconds),) if runs and filmed.seconds else ()
        span = list(source.span) if source.span else None
        origin = {"source": source.file.name, "source_sha256": file_sha256(source.file), "span": span} if source.file else {}
        return ShotResult(frames=frames, fps=fps, spans=spans, notes={"mode": "external", **origin, **filmed.facts})

    def _film(self, request: ShotRequest, key: str) -> _Filmed:
        """Run the program for a story, or find what it left when it ran before."""
        story, recipe = request.story, self._method.recipe
        home, filmed = self._work / story.id, _Filmed(asked=request.shot.id)
        script = self._write_script(home, story)
        try:
            known = _done(home, key)
            if known is None:
                ended = self._run(home, story, request)
                filmed.seconds = ended.seconds
                known = {"log_bytes": ended.printed_bytes, "log_kept_bytes": ended.kept_bytes, "program_s": round(ended.seconds, 3)}
                if ended.hung or ended.code != 0:
                    kind, _, how = ended.how.partition(": ")
                    said = f"; it said last: {ended.last_line}" if ended.last_line else ""
                    raise ProgramError(kind, f"{how}{said}")
            filmed.collected = collect(home / "out", story, recipe.films, script)
            filmed.facts = {"program": {**known, "extra_videos": len(filmed.collected.extra)}}
            if filmed.collected.found == len(story.shots):
                (home / DONE).write_text(json.dumps({"key": key, "facts": known}), encoding="utf-8")
        except ProgramError as error:
            filmed.failure = error.with_log(home / LOG)
            self.failures.append(story.id)
        return filmed

    def _write_script(self, home: Path, story: Story) -> dict[str, Any]:
        """The story as the program reads it; returns its data where that is JSON."""
        from stbench.dialects import write_text
        from stbench.dialects.stories import script_of

        home.mkdir(parents=True, exist_ok=True)
        text = write_text(script_of(story), self._method.recipe.story.dialect)
        (home / self._method.recipe.story.file).write_text(text, encoding="utf-8")
        return json.loads(text) if text.startswith("{") else {}

    def _run(self, home: Path, story: Story, request: ShotRequest) -> Ended:
        recipe, places = self._method.recipe, self._method.places
        out = home / "out"
        shutil.rmtree(out, ignore_errors=True)  # of an attempt that failed: nothing of it may pass for this one's
        out.mkdir(parents=True)
        seed = (request.seeds[0] if request.seeds else request.seed) % 2**recipe.seed_bits
        values = {
            "story": str(home / recipe.story.file),
            "out": str(out),
            "seed": str(seed),
            "python": python_of(places.get(ENVIRONMENT)),
            "name": story.id,
            "shots": str(len(story.shots)),
            **{name: str(path) for name, path in places.items()},
        }
        runtime = self._method.runtime
        gpus = runtime.get("gpus", self._device.partition(":")[2] or None)
        try:
            return run_program(
                [fill(word, values) for word in recipe.command],
                folder=Path(fill(recipe.folder, values)) if recipe.folder else home,
                variables=variables(recipe, places, values, gpus),
                log=home / LOG,
                timeout_s=float(runtime.get("timeout_s", recipe.timeout_s)),
                log_bytes=recipe.log_bytes,
            )
        except OSError as error:
            raise ProgramError("crash", f"it cannot be started: {error}") from error


def _done(home: Path, key: str) -> dict[str, Any] | None:
    """Facts of an earlier run of the program for the same story, seeds and identity; None where it has to run."""
    try:
        data = json.loads((home / DONE).read_text(encoding="utf-8"))
        return dict(data["facts"]) if data["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def __getattr__(name: str) -> type[External]:
    """A class for each recipe of this project, made when the registry asks for it; its title says what is missing on this machine."""
    file = shipped().get(name)
    if file is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    recipe = read_recipe(file)
    _, missing = find_places(recipe, {})
    state = f"missing here: {', '.join(missing)}" if missing else "here"
    never = "; never run with the real program" if recipe.never_run else ""
    facts = {"name": name, "recipe_file": file, "about": recipe.about, "title": f"{recipe.about} ({state}{never})"}
    return type(name, (External,), {**facts, "lacking": {place: recipe.places[place] for place in missing}})
