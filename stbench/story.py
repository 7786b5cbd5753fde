"""Stories: what is to be filmed.

Scripts are read in ST-Bench's JSON (arXiv 2512.19539: `story_name`, `story_overview`, `scenes` of parallel lists
`video_prompts`, `first_frame_prompt`, `cut`) and its dialects: `cut` as JSON booleans or as "True"/"False", scenes without
`first_frame_prompt`, extra keys (Memento's `reconstruct_target`; Story World's `truth`). Everything is validated here,
once, and becomes plain frozen dataclasses; a bad script is a `UserError` that names file, field, found and expected.

A script is data: its name is never a path. The id of a story comes from its sanitised file stem.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.errors import UserError
from stbench.references import Reference, references_of_script

if TYPE_CHECKING:
    from pydantic import BaseModel

MAX_SCRIPT_BYTES = 10 * 1024 * 1024
MAX_ID_CHARS = 64
A_SCRIPT = "a story script in ST-Bench's JSON"


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

    @property
    def id(self) -> str:
        """`SS_NN`, the file name stem of the shot."""
        return f"{self.scene:02d}_{self.number:02d}"

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict, the inverse of `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Shot:
        """Read what `to_json` wrote."""
        return cls(**data)


@dataclass(frozen=True, kw_only=True)
class Story:
    """A script: `id` is safe as a file name, `name` is what the script calls itself."""

    id: str
    name: str
    overview: str
    shots: tuple[Shot, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()  # pictures that memory starts with

    @property
    def cuts(self) -> int:
        """Number of shots that a scene cut starts."""
        return sum(shot.cut for shot in self.shots)

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict, the inverse of `from_json`; kept verbatim in a run's manifest."""
        data = asdict(self) | {"shots": [shot.to_json() for shot in self.shots]}
        del data["references"]
        return data | ({"references": [picture.to_json() for picture in self.references]} if self.references else {})

    def content(self) -> dict[str, Any]:
        """`to_json` without where its pictures lie: what digests are made of."""
        return self.to_json() | ({"references": [picture.sha256 for picture in self.references]} if self.references else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Story:
        """Read what `to_json` wrote."""
        shots = tuple(Shot.from_json(shot) for shot in data["shots"])
        pictures = tuple(Reference.from_json(picture) for picture in data.get("references", ()))
        extra = dict(data.get("extra", {}))
        return cls(id=data["id"], name=data["name"], overview=data["overview"], shots=shots, extra=extra, references=pictures)


def safe_id(text: str) -> str:
    """A string that is safe as a file name: letters, digits, `-` and `_`; never empty, hidden or a path.

    Example:
        >>> safe_id("../../x"), safe_id("Stroke of Clarity"), safe_id("…")
        ('x', 'Stroke_of_Clarity', 'story')
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:MAX_ID_CHARS] or "story"


def load_story(path: Path | str) -> Story:
    """Read one script file.

    Args:
        path: A file in ST-Bench's JSON, at most 10 MB; its stem becomes the story's id.

    Raises:
        UserError: Missing, too large, not JSON, or not a script; the line says what was found and what was expected.
    """
    path = Path(path)
    return parse_story(read_json(path), source=str(path), id=safe_id(path.stem), folder=path.parent)


def read_json(path: Path) -> Any:
    """JSON of a user's file, with its size checked before it is read; a `UserError` names the line of a syntax error."""
    import json

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
        return json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise UserError(f"is not JSON (line {error.lineno}: {error.msg})", where=where, expected=A_SCRIPT) from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        found = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"is not JSON ({_one_line(str(error), 80)})"
        raise UserError(found, where=where, expected=A_SCRIPT) from error
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=where, expected=A_SCRIPT) from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def parse_story(data: Any, *, source: str, id: str, folder: Path | None = None) -> Story:
    """Turn a script's JSON data into a `Story`.

    Args:
        data: What `json.loads` returned.
        source: Where it came from, for error messages.
        id: Id of the story; sanitised here again, so that it never becomes a path.
        folder: Where the pictures of its `references` are; by default the working folder.

    Raises:
        UserError: The data is not a script.
    """
    from pydantic import ValidationError

    from stbench.script import Script

    if not isinstance(data, dict):
        raise UserError(f"holds a JSON {_json_kind(data)}", where=source, expected="an object with story_name, story_overview and scenes")
    try:
        script = Script.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = _field_path(first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise UserError(_explain(first) + more, where=f"{source}: {place}" if place else source, **_expected(first, place)) from error
    shots: list[Shot] = []
    for scene in script.scenes:
        for k, prompt in enumerate(scene.video_prompts):
            shot = Shot(
                index=len(shots),
                scene=scene.scene_num,
                number=k + 1,
                prompt=prompt,
                cut=scene.cut[k],
                first_frame_prompt=scene.first_frame_prompt[k] if scene.first_frame_prompt else None,
                truth=scene.truth[k] if scene.truth else None,
            )
            shots.append(shot)
    if not shots[0].cut:
        raise UserError("found false", where=f"{source}: scenes[0].cut[0]", expected="true: the first shot has none before it to continue")
    name = script.story_name if script.story_name is not None else id
    pictures = references_of_script(script.references or (), folder=folder or Path(), source=source)
    return Story(id=safe_id(id), name=name, overview=script.story_overview, shots=tuple(shots), extra=_extra(script), references=pictures)


def _extra(script: BaseModel) -> dict[str, Any]:
    return dict(script.model_extra or {})


def _field_path(loc: tuple[int | str, ...]) -> str:
    """("scenes", 0, "cut") → "scenes[0].cut"."""
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.lstrip(".")


def _explain(error: Mapping[str, Any]) -> str:
    """What is wrong, in the words of a script's author."""
    if error["type"] == "missing":
        return "the field is missing"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]).partition("|")[0]
    return f"found {_one_line(repr(error['input']), 60)}"


def _expected(error: Mapping[str, Any], place: str) -> dict[str, str]:
    if error["type"] == "value_error":
        expected = str(error["ctx"]["error"]).partition("|")[2]
        return {"expected": expected} if expected else {}
    from stbench.script import FIELD_HELP

    name = re.sub(r"\[\d+\]$", "", place).rpartition(".")[2]
    is_entry = place.endswith("]") and name in FIELD_HELP
    whole, entry = FIELD_HELP.get(name, (str(error["msg"]), ""))
    return {"expected": entry if is_entry else whole}


def _json_kind(data: Any) -> str:
    return {list: "list", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}.get(type(data), "value")


def _one_line(text: str, width: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"
