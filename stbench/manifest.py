"""The manifest: what a run is, so that it can be continued, scored, verified and described from its folder alone.

Written before the first shot (status `started`) and replaced atomically at the end. It holds the stories verbatim, the
method's identity and the seed: everything from which the keys of all shots follow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from stbench.errors import InvalidRunError, UserError
from stbench.files import read_small_json, write_json
from stbench.keys import digest
from stbench.migration import migrated
from stbench.redaction import redacted
from stbench.story import Story

SCHEMA = 2  # 2: `repeat`; see stbench.migration
FILE = "manifest.json"

StoryField = Annotated[
    Story,
    BeforeValidator(lambda data: Story.from_json(data) if isinstance(data, dict) else data),
    PlainSerializer(lambda story: story.to_json()),
]


class Frozen(BaseModel):
    """Base of what is stored: immutable; fields of newer writers are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)


class SuiteFact(Frozen):
    """Which suite the stories came from. `version` is "user" for a user's own scripts; `stories` counts the whole suite."""

    name: str
    version: str
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
    name: str
    method: str
    description: str
    identity: dict[str, Any]
    model: str
    options: dict[str, str]
    protocol: str
    suite: SuiteFact
    stories: tuple[StoryField, ...]
    seed: int
    device: str
    versions: dict[str, str]
    started: float  # seconds since the epoch
    finished: float | None = None
    counts: Counts
    repeat: Repeat | None = None

    @property
    def identity_digest(self) -> str:
        """sha256 of the method's identity."""
        return digest(self.identity)

    def save(self, folder: Path) -> None:
        """Write or replace `manifest.json` in a folder, atomically."""
        data = self.model_dump(mode="json")
        for name in ("description", "model", "options"):
            data[name] = redacted(data[name])
        write_json(folder / FILE, {"schema": data.pop("schema_number"), **data})


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
    return found
