"""Stories: what is to be filmed.

A script is ST-Bench's JSON (arXiv 2512.19539: `story_name`, `story_overview`, `scenes` of parallel lists `video_prompts`,
`first_frame_prompt`, `cut`) or one of the dialects that `stbench.dialects` turns into it. Everything is validated here,
once, and becomes plain frozen dataclasses; a bad script is a `UserError` that names file, line, field, found and expected.

A script is data: its name is never a path. The id of a story comes from its sanitised file stem.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.errors import UserError
from stbench.references import Reference, references_of_script
from stbench.script_errors import expected, explain, field_path, json_kind, one_line

if TYPE_CHECKING:
    from pydantic import BaseModel

    from stbench.script import Scene

MAX_SCRIPT_BYTES = 10 * 1024 * 1024
MAX_ID_CHARS = 64
A_SCRIPT = "a story script in ST-Bench's JSON"


@dataclass(frozen=True, kw_only=True)
class Entity:
    """Who or what recurs in a story, and how it looks. `kind` is character, object or place."""

    id: str
    kind: str
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One shot of a story. `index` counts over the whole story from 0; `scene` and `number` are as in the script, from 1."""

    index: int
    scene: int
    number: int  # within its scene, from 1
    prompt: str
    cut: bool  # True: a scene cut starts it; False: it continues the previous shot
    first_frame_prompt: str | None = None
    truth: Mapping[str, Any] | None = None  # Story World only: what is really in the picture
    entities: tuple[str, ...] = ()  # ids of the characters and objects in the picture
    place: str | None = None  # id of where it is

    @property
    def id(self) -> str:
        """`SS_NN`, the file name stem of the shot."""
        return f"{self.scene:02d}_{self.number:02d}"

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict, the inverse of `from_json`. Without annotations it has the keys that it always had, so old digests stay."""
        data = asdict(self)
        for name in ("entities", "place"):
            if not data[name]:
                del data[name]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Shot:
        """Read what `to_json` wrote."""
        return cls(**{**data, "entities": tuple(data.get("entities", ()))})


@dataclass(frozen=True, kw_only=True)
class Story:
    """A script: `id` is safe as a file name, `name` is what the script calls itself."""

    id: str
    name: str
    overview: str
    shots: tuple[Shot, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()  # pictures that memory starts with
    entities: tuple[Entity, ...] = ()

    @property
    def cuts(self) -> int:
        """Number of shots that a scene cut starts."""
        return sum(shot.cut for shot in self.shots)

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict, the inverse of `from_json`; kept verbatim in a run's manifest."""
        data = asdict(self) | {"shots": [shot.to_json() for shot in self.shots]}
        del data["references"]
        data |= {"entities": list(data["entities"])}
        if not self.entities:
            del data["entities"]
        return data | ({"references": [picture.to_json() for picture in self.references]} if self.references else {})

    def content(self) -> dict[str, Any]:
        """`to_json` without where its pictures lie: what digests are made of."""
        return self.to_json() | ({"references": [picture.sha256 for picture in self.references]} if self.references else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Story:
        """Read what `to_json` wrote."""
        shots = tuple(Shot.from_json(shot) for shot in data["shots"])
        pictures = tuple(Reference.from_json(picture) for picture in data.get("references", ()))
        return cls(
            id=data["id"],
            name=data["name"],
            overview=data["overview"],
            shots=shots,
            extra=dict(data.get("extra", {})),
            references=pictures,
            entities=tuple(Entity(**entity) for entity in data.get("entities", ())),
        )


def safe_id(text: str) -> str:
    """A string that is safe as a file name: letters, digits, `-` and `_`; never empty, hidden or a path.

    Example:
        >>> safe_id("../../x"), safe_id("Stroke of Clarity"), safe_id("…")
        ('x', 'Stroke_of_Clarity', 'story')
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:MAX_ID_CHARS] or "story"
    return f"{name}_" if re.fullmatch(r"(?i)con|prn|aux|nul|(com|lpt)[1-9]", name) else name  # Windows keeps these for itself


def load_story(path: Path | str) -> Story:
    """Read one script file.

    Args:
        path: A file in ST-Bench's JSON or another dialect, at most 10 MB; its stem becomes the story's id.

    Raises:
        UserError: Missing, too large, not JSON, or not a script; the line says what was found and what was expected.
    """
    from stbench.dialects import read_source

    path = Path(path)
    source = read_source(path)
    return parse_story(source.data, source=str(path), id=story_id(path), folder=path.parent, locate=source.line_of)


def story_id(path: Path) -> str:
    """Id of the story in a file: its stem, made safe.

    Example:
        >>> story_id(Path("tales/the fox.story.md"))
        'the_fox'
    """
    return safe_id(path.stem.removesuffix(".story"))


def read_json(path: Path, text: str | None = None) -> Any:
    """JSON of a user's file, with its size checked before it is read; a `UserError` names the line of a syntax error."""
    where = str(path)
    text = read_text(path) if text is None else text
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise UserError(f"is not JSON (line {error.lineno}: {error.msg})", where=where, expected=A_SCRIPT) from error
    except (RecursionError, ValueError) as error:
        raise UserError(f"is not JSON ({one_line(str(error), 80)})", where=where, expected=A_SCRIPT) from error


def read_text(path: Path) -> str:
    """Text of a user's file, with its size checked before it is read."""
    where = str(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise UserError("is not a file", where=where, expected=A_SCRIPT)
        if size > MAX_SCRIPT_BYTES:
            raise UserError(
                f"is {size / 2**20:.1f} MB large",
                where=where,
                expected=f"a story script of at most {MAX_SCRIPT_BYTES // 2**20} MB",
                hint="is this the right file?",
            )
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("is not UTF-8 text", where=where, expected=A_SCRIPT) from error
    except ValueError as error:
        raise UserError("is no name that a file can have", where=where, expected=A_SCRIPT) from error
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=where, expected=A_SCRIPT) from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def parse_story(
    data: Any, *, source: str, id: str, folder: Path | None = None, locate: Callable[[str], int | None] = lambda _: None
) -> Story:
    """Turn a script's JSON data into a `Story`.

    Args:
        data: What `json.loads` returned.
        source: Where it came from, for error messages.
        id: Id of the story; sanitised here again, so that it never becomes a path.
        folder: Where the pictures of its `references` are; by default the working folder.
        locate: Line of a field, for error messages.

    Raises:
        UserError: The data is not a script.
    """
    from pydantic import ValidationError

    from stbench.script import Script

    def place_of(field: str) -> str:
        line = locate(field) if field else None
        return source + (f": line {line}" if line else "") + (f": {field}" if field else "")

    if not isinstance(data, dict):
        raise UserError(f"holds a JSON {json_kind(data)}", where=source, expected="an object with story_name, story_overview and scenes")
    try:
        script = Script.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = field_path(first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise UserError(explain(first) + more, where=place_of(place), **expected(first, place)) from error
    shots: list[Shot] = []
    for scene in script.scenes:
        shots += [_shot(scene, k, index=len(shots) + k) for k in range(len(scene.video_prompts))]
    if not shots[0].cut:
        raise UserError("found false", where=place_of("scenes[0].cut[0]"), expected="true: the first shot has none before it to continue")
    name = script.story_name if script.story_name is not None else id
    pictures = references_of_script(script.references or (), folder=folder or Path(), source=source)
    return Story(
        id=safe_id(id),
        name=name,
        overview=script.story_overview,
        shots=tuple(shots),
        extra=_extra(script),
        references=pictures,
        entities=tuple(Entity(id=e.id, kind=e.kind, description=e.description) for e in script.entities or ()),
    )


def _shot(scene: Scene, k: int, *, index: int) -> Shot:
    return Shot(
        index=index,
        scene=scene.scene_num,
        number=k + 1,
        prompt=scene.video_prompts[k],
        cut=scene.cut[k],
        first_frame_prompt=scene.first_frame_prompt[k] if scene.first_frame_prompt else None,
        truth=scene.truth[k] if scene.truth else None,
        entities=tuple(scene.entities[k]) if scene.entities else (),
        place=scene.places[k] if scene.places else None,
    )


def _extra(script: BaseModel) -> dict[str, Any]:
    return dict(script.model_extra or {})
