"""The shape of a script, for pydantic: ST-Bench's JSON with lists of our own for who appears and where.

Every dialect (`stbench.dialects`) is turned into this shape and checked here; `stbench.story` makes a `Story` of it, and the rest
of the project sees that. The published JSON schema is generated from these classes (`stbench.schema`). Errors raised here carry their
message as "found|expected".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, WithJsonSchema, model_validator

from stbench.references import MAX_REFERENCES

MAX_SHOTS = 10_000
MAX_ENTITIES = 1_000
KINDS = ("character", "object", "place")
PARALLEL = ("cut", "first_frame_prompt", "entities", "places", "global_caption", "truth")  # of a scene: one entry per shot

FIELD_HELP: dict[str, tuple[str, str]] = {  # field → (what it holds, what one entry is)
    "story_name": ("a string", "a string"),
    "story_overview": ("a string", "a string"),
    "scenes": ("a list of at least one scene", "an object with scene_num, video_prompts and cut"),
    "scene_num": ("a whole number from 1 to 9999", "a whole number from 1 to 9999"),
    "video_prompts": ("a list of at least one prompt", "a prompt, as a string"),
    "first_frame_prompt": ("a list of prompts, one per shot", "a prompt, as a string"),
    "cut": ("a list of true/false, one per shot", "true or false"),
    "entities": ("a list", "an object with id, kind and description at the top, a list of ids in a scene"),
    "id": ("a name, as a string of at most 64 characters", "a name, as a string"),
    "kind": ("one of: " + ", ".join(KINDS), "one of: " + ", ".join(KINDS)),
    "description": ("a string", "a string"),
    "places": ("a list of ids of places, one per shot", "the id of a place, or null"),
    "global_caption": ("a list of captions, one per shot", "a caption, as a string"),
    "references": ("a list of at most 64 file names of pictures", "the file name of a picture in the script's folder"),
    "truth": ("a list of objects, one per shot", "an object"),
}


def _prompt(value: Any) -> Any:
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("the prompt is empty|a description of the shot")
        if "\x00" in value:
            raise ValueError("the prompt holds a NUL character|text")
    return value


def _cut(value: Any) -> Any:
    """JSON booleans, or the strings that ST-Bench's authoring prompt asks for."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError(f"found {value!r:.40}|true or false")


Prompt = Annotated[StrictStr, BeforeValidator(_prompt), WithJsonSchema({"type": "string", "pattern": r"\S"})]
CUT_WORD = r"^\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])\s*$"
Cut = Annotated[bool, BeforeValidator(_cut), WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": CUT_WORD}]})]
EntityId = Annotated[StrictStr, Field(min_length=1, max_length=64)]


class EntityEntry(BaseModel):
    """Who or what recurs, and how it looks."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: EntityId
    kind: Literal["character", "object", "place"]
    description: StrictStr = ""


class Scene(BaseModel):
    """Parallel lists: one entry per shot."""

    model_config = ConfigDict(frozen=True, extra="allow")

    scene_num: Annotated[StrictInt, Field(ge=1, le=9999)]
    video_prompts: Annotated[list[Prompt], Field(min_length=1, max_length=MAX_SHOTS)]
    cut: list[Cut]
    first_frame_prompt: list[StrictStr] | None = None
    entities: list[list[EntityId]] | None = None
    places: list[EntityId | None] | None = None
    global_caption: list[StrictStr] | None = None
    truth: list[dict[str, Any]] | None = None

    @model_validator(mode="after")
    def _parallel(self) -> Scene:
        shots = len(self.video_prompts)
        for name in PARALLEL:
            entries = getattr(self, name)
            if entries is not None and len(entries) != shots and not (name == "first_frame_prompt" and not entries):
                raise ValueError(f"field '{name}' has {len(entries)} entries for {shots} video_prompts|{shots} entries, one per shot")
        return self


class Script(BaseModel):
    """A whole script."""

    model_config = ConfigDict(frozen=True, extra="allow")

    story_name: StrictStr
    story_overview: StrictStr = ""
    scenes: Annotated[list[Scene], Field(min_length=1)]
    entities: Annotated[list[EntityEntry], Field(max_length=MAX_ENTITIES)] | None = None
    references: Annotated[list[StrictStr], Field(max_length=MAX_REFERENCES)] | None = None

    @model_validator(mode="after")
    def _distinct_scenes(self) -> Script:
        seen: dict[int, int] = {}
        for place, scene in enumerate(self.scenes):
            if scene.scene_num in seen:
                found = f"scenes[{seen[scene.scene_num]}] and scenes[{place}] both have scene_num {scene.scene_num}"
                raise ValueError(f"{found}|a different scene_num for each scene")
            seen[scene.scene_num] = place
        ids = [entity.id for entity in self.entities or ()]
        if repeated := next((name for name in ids if ids.count(name) > 1), None):
            raise ValueError(f"two entities have the id {repeated!r:.40}|a different id for each entity")
        if sum(len(scene.video_prompts) for scene in self.scenes) > MAX_SHOTS:
            raise ValueError(f"the script has more than {MAX_SHOTS} shots|a shorter script")
        return self
