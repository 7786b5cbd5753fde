"""The manifest: what a run is, so that it can be continued, scored, verified and described from its folder alone.

Written before the first shot (status `started`) and replaced atomically at the end. It holds the stories verbatim, the
method's identity and the seed: everything from which the keys of all shots follow.
"""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from stbench.errors import InvalidRunError, UserError, printable
from stbench.files import read_small_json, write_json
from stbench.keys import digest
from stbench.migration import migrated
from stbench.redaction import redacted
from stbench.seal import sealed
from stbench.story import Story, safe_id

SCHEMA = 3  # 2: `repeat`; 3: a seal; see stbench.migration
FILE = "manifest.json"

MAX_SCENE = 99_999


def _a_story(data: Any) -> Any:
    """A story from a file that anybody may have written: its ids become file names."""
    if not isinstance(data, dict):
        return data
    try:
        story = Story.from_json(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a story ({error})") from error
    if not isinstance(story.id, str) or safe_id(story.id) != story.id:
        raise ValueError(f"the id {story.id!r:.40} is not a plain name")
    if not story.shots:
        raise ValueError(f"story {story.id} has no shots")
    for index, shot in enumerate(story.shots):
        numbers = (shot.index, shot.scene, shot.number)
        if any(type(number) is not int or not 0 <= number <= MAX_SCENE for number in numbers) or shot.index != index:
            raise ValueError(f"story {story.id}: shot {index} has index, scene and number {numbers!r:.60}")
        if not (isinstance(shot.prompt, str) and isinstance(shot.cut, bool)):
            raise ValueError(f"story {story.id}: shot {index} has no prompt, or no cut")
    if len({shot.id for shot in story.shots}) != len(story.shots):
        raise ValueError(f"story {story.id} has two shots of one name")
    return story


def _distinct(stories: tuple[Story, ...]) -> tuple[Story, ...]:
    if len({story.id.lower() for story in stories}) != len(stories):
        raise ValueError("two stories have one id")
    return stories


OneLine = Annotated[str, AfterValidator(printable)]  # it goes to terminals and labels as it is
StoryField = Annotated[Story, BeforeValidator(_a_story), PlainSerializer(lambda story: story.to_json())]


class Frozen(BaseModel):
    """Base of what is stored: immutable; fields of newer writers are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)


class SuiteFact(Frozen):
    """Which suite the stories came from. `version` is "user" for a user's own scripts; `stories` counts the whole suite."""

    name: OneLine
    version: OneLine
    digest: str
    stories: int


class Counts(Frozen):
    """Shots of the run: `done` of `expected`; `failed` were tried and given up."""

    stories: int
    expected: int
    done: int = 0
    failed: int = 0


class Repeat(Frozen):
    """What filming every shot again on the same machine gave (`stbench run --repeat`)."""

    times: int  # how often each shot was filmed again
    shots: int  # shots compared
    equal: int  # shots whose frames were the same, bit for bit, every time
    largest: int  # greatest difference of any value, 0..255
    mean: float  # mean absolute difference over all values of all compared shots, 0..255


class Manifest(Frozen):
    """`manifest.json`."""

    schema_number: int = SCHEMA
    status: Literal["started", "complete", "partial", "failed"]
    name: OneLine
    method: OneLine
    description: OneLine
    identity: dict[str, Any]
    model: OneLine
    options: dict[OneLine, OneLine]
    protocol: OneLine
    suite: SuiteFact
    stories: Annotated[tuple[StoryField, ...], AfterValidator(_distinct)]
    seed: int
    device: OneLine
    versions: dict[OneLine, OneLine]
    started: float  # seconds since the epoch
    finished: float | None = None
    counts: Counts
    repeat: Repeat | None = None
    card: dict[str, Any] = Field(default_factory=dict)  # `stbench.methods.MethodCard`, where the method has one; in no key
    intact: bool = Field(default=True, exclude=True)  # the file is what was written

    @property
    def identity_digest(self) -> str:
        """sha256 of the method's identity."""
        return digest(self.identity)

    def save(self, folder: Path) -> None:
        """Write or replace `manifest.json` in a folder, atomically."""
        data = self.model_dump(mode="json")
        for name in ("description", "model", "options"):
            data[name] = redacted(data[name])
        for story in data["stories"]:
            for picture in story.get("references", ()):  # it counts by its bytes; where it lay is nobody's business
                picture["path"] = redacted(picture["path"])
        write_json(folder / FILE, sealed({"schema": data.pop("schema_number"), **data}))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a run folder.

    Raises:
        UserError: The folder is missing or holds no manifest.
        InvalidRunError: The manifest is damaged, or newer than this program.
    """
    path = folder / FILE
    if not path.is_file():
        state = f"holds no {FILE}" if folder.is_dir() else "does not exist" if not folder.exists() else "is not a folder"
        raise UserError(state, where=str(folder), expected="a run folder, as `stbench run` makes it")
    try:
        return Manifest.model_validate(migrated("manifest", read_small_json(path), where=path))
    except InvalidRunError:
        raise
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidRunError(f"field {place}: {first['msg']}", where=str(path), expected="an unaltered manifest") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise InvalidRunError(f"is not a manifest ({error})", where=str(path), expected="an unaltered manifest") from error


def versions() -> dict[str, str]:
    """Versions of this program, of Python and of the packages that can change pixels; imports none of them."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from stbench import __version__

    found = {"stbench": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for package in ("torch", "diffusers", "transformers", "peft", "numpy", "av"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | ({"commit": commit} if (commit := source_commit()) else {})


@lru_cache(maxsize=1)
def source_commit() -> str | None:
    """Commit of the checkout that this program runs from, with a `+` where its files were changed; None where it was installed."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    words = ["git", "--no-optional-locks", "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=+"]
    try:
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
