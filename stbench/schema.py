"""The JSON schema of a script, generated from the classes that check it and published as `script.schema.json`.

It says everything about one field. What holds between fields (lists of one length, distinct scene numbers, a first shot that begins with a
cut) JSON Schema cannot say; `stbench suite lint` does. `python -m stbench.schema` writes the file anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MEANING = {
    "story_name": "the title",
    "story_overview": "the whole story in a few sentences; the film is compared with it",
    "scene_num": "number of the scene, from 1; each occurs once",
    "video_prompts": "one prompt per shot: what can be seen in about five seconds",
    "cut": "one per shot: true, a scene cut starts it; false, it goes on from the last frame of the shot before; the very first is true",
    "first_frame_prompt": "one per shot: the first frame of the shot as a still picture",
    "places": "one per shot: id of where it is, or null",
    "truth": "one per shot: what is really in the picture (Story World only)",
    "id": "short name that the lists of scenes refer to",
    "kind": "character, object or place",
    "description": "how it looks",
}
FILE = Path(__file__).parent / "script.schema.json"


def script_schema() -> dict[str, Any]:
    """JSON schema (2020-12) of a script in ST-Bench's JSON with our annotations; other dialects are its supersets or converted to it."""
    from stbench.script import FIELD_HELP, Script

    schema = Script.model_json_schema()
    definitions = schema.pop("$defs")
    for part in (schema, *definitions.values()):
        part.pop("title", None)
        for name, entry in part["properties"].items():
            entry.pop("title", None)
            entry.pop("default", None)
            _require(entry)
            if name in FIELD_HELP:
                entry["description"] = MEANING.get(name, FIELD_HELP[name][0])
    schema["properties"]["entities"]["description"] = "who or what recurs: a list of objects with id, kind and description"
    definitions["Scene"]["properties"]["entities"]["description"] = "who is in the picture: a list of ids for each shot"
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A story script"}
    return {**head, **schema, "description": "A story script in ST-Bench's JSON.", "$defs": definitions}


def _require(entry: dict[str, Any]) -> None:
    """An optional field is left out, never null: so an error names the entry that is wrong, and not the choice between it and null."""
    choices = [choice for choice in entry.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        del entry["anyOf"]
        entry.update(choices[0])


def schema_text() -> str:
    """The published file's content."""
    return json.dumps(script_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(schema_text(), encoding="utf-8")
