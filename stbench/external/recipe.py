"""A recipe: how a foreign program is called for one story, and what it leaves. YAML, checked when it is read.

A command is a list of words, run without a shell; `{name}` in a word stands for a value (`PLACEHOLDERS`, and the recipe's own places).
Nothing of a recipe is ever executed but its command, and nothing is installed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stbench.dialects import NAMES
from stbench.errors import UserError, did_you_mean

FOLDER = Path(__file__).parent / "recipes"
SUFFIX = ".yaml"
MAX_BYTES = 256 * 1024
PLACEHOLDERS = ("story", "out", "seed", "python", "name", "shots")  # script's file, folder for films, seed, interpreter, id, how many
ENVIRONMENT = "environment"  # the place that says with which interpreter
RUNTIME = ("timeout_s", "log_bytes")  # of a recipe: cannot change a pixel
_WORD = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Place(_Part):
    """Something that must be on this machine: what it is, and how to get it."""

    what: str
    get: str = ""


class ScriptFile(_Part):
    """How the story is written for the program."""

    dialect: str = "st-bench"
    file: Annotated[str, Field(pattern=r"^[\w.-]{1,80}$")] = "story.json"

    @model_validator(mode="after")
    def _known(self) -> ScriptFile:
        if self.dialect not in NAMES:
            raise ValueError(f"unknown dialect {self.dialect!r}; expected one of: {', '.join(NAMES)}")
        return self


class Films(_Part):
    """What the program leaves: `<scene>_<shot>.mp4` for every shot, or one film and where it is cut.

    `cuts` of a film: "script" takes `shot_cut_frames` and `num_frames` of the script as it was written for the program, "detect" finds them
    (PySceneDetect), a number is the frames of every shot.
    """

    kind: Literal["shots", "film"] = "shots"
    folder: str = "."  # inside of {out}
    file: str = "film.mp4"  # of a film
    cuts: Literal["script", "detect"] | Annotated[int, Field(ge=1)] = "script"
    frames: tuple[Annotated[int, Field(ge=1)], ...] = ()  # allowed lengths of a shot; empty: any


class Identity(_Part):
    """How the program says what it is: places whose git commit, whose source files and whose weights count."""

    commit: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()


class Recipe(_Part):
    """One recipe.

    Attributes:
        version: Raise it when the same words could give other pixels.
        about: One line for lists.
        command: Words.
        folder: Where the command runs; may hold placeholders. Empty: the folder of the story's files.
        variables: Environment variables of the program.
        seed_bits: Seeds are cut to so many bits, as programs expect them.
        never_run: Said in lists: nobody has run this recipe with the real program.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
    version: int = 1
    about: str
    base_model: str
    licence: str
    parameters: int | None = None
    steps: int | None = None
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    folder: str = ""
    variables: dict[str, str] = Field(default_factory=dict)
    places: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")], Place] = Field(default_factory=dict)
    story: ScriptFile = ScriptFile()
    films: Films = Films()
    identity: Identity = Identity()
    seed_bits: Annotated[int, Field(ge=1, le=63)] = 31
    timeout_s: Annotated[float, Field(gt=0)] = 6 * 3600.0
    log_bytes: Annotated[int, Field(ge=1000)] = 1_000_000
    never_run: bool = False

    @model_validator(mode="after")
    def _words_are_known(self) -> Recipe:
        known = (*PLACEHOLDERS, *self.places)
        for word in (*self.command, self.folder, *self.variables.values()):
            for name in _WORD.findall(word):
                if name not in known:
                    near = did_you_mean(name, known)
                    raise ValueError(f"{{{name}}} stands for nothing; expected one of: {', '.join(known)}" + (f"; {near}" if near else ""))
        for name in (*self.identity.commit, *self.identity.sources, *self.identity.weights):
            if name not in self.places:
                raise ValueError(f"identity names the place {name!r}, which is not among the places")
        return self

    def identity_facts(self) -> dict[str, Any]:
        """Everything of the recipe that can change pixels, JSON-able."""
        words = ("about", "places", "licence", "never_run")  # for people
        return self.model_dump(mode="json", exclude={*RUNTIME, *words})


def fill(word: str, values: dict[str, str]) -> str:
    """A word with its placeholders filled; what comes from values is never looked at again.

    Example:
        >>> fill("--seed={seed}", {"seed": "7"}), fill("{out}/x", {"out": "{seed}"})
        ('--seed=7', '{seed}/x')
    """
    return _WORD.sub(lambda match: values[match[1]], word)


def shipped() -> dict[str, Path]:
    """Name → file of the recipes of this project."""
    return {path.stem: path for path in sorted(FOLDER.glob(f"*{SUFFIX}"))}


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        UserError: Missing, not YAML, or a field that is wrong, named.
    """
    import yaml

    from stbench.story import read_text

    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise UserError("is too large", where=str(path), expected=f"a recipe of at most {MAX_BYTES} bytes")
    try:
        data = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"is not YAML ({' '.join(str(error).split())[:160]})", where=str(path), expected="a recipe") from error
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        expected = "the fields of a recipe; see docs/methods.md"
        raise UserError(f"{field}: {message}" if field else message, where=str(path), expected=expected) from error
