"""A storyboard in YAML, for people: shots are entries with a prompt, who is in them, and whether they go on from the last one.

    title: The Lamp
    overview: A keeper lights a lamp.
    entities:
      mara: {kind: character, description: an old woman in a yellow coat}
    scenes:
      - shots:
          - prompt: Wide shot of a lighthouse at dusk …
            who: [mara]
            where: lighthouse
          - prompt: She opens the door …
            continues: true

A shot begins with a cut unless it says `continues: true`. What the format has no word for stands under `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stbench.errors import UserError, did_you_mean

TOP = ("title", "overview", "entities", "scenes", "references", "extra")
SCENE = ("number", "shots", "extra")
SHOT = ("prompt", "first_frame", "continues", "who", "where", "global_caption", "truth")
LISTS = {"first_frame": "first_frame_prompt", "who": "entities", "where": "places", "global_caption": "global_caption", "truth": "truth"}
MAX_DEPTH = 50
A_STORYBOARD = "a storyboard with title, overview and scenes"
EMPTY: dict[str, Any] = {"first_frame": "", "who": [], "where": None, "global_caption": "", "truth": {}}


def read_yaml(text: str, where: str) -> Any:
    """Storyboard → data in the one shape; a `UserError` names an unknown word and the nearest known one."""
    import yaml

    try:
        _refuse_unfolding(text, where)
        data = yaml.load(text, Loader=_loader())  # noqa: S506 (a safe loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1}: {getattr(error, 'problem', '')})" if mark else f" ({error})"
        raise UserError(f"is not YAML{line}", where=where, expected=A_STORYBOARD) from error
    except (RecursionError, ValueError) as error:
        raise UserError("is not YAML that can be read", where=where, expected=A_STORYBOARD) from error
    if isinstance(data, dict) and "story_name" in data:
        return data  # ST-Bench's own fields, spelt in YAML
    if not isinstance(data, dict):
        raise UserError("holds no mapping", where=where, expected=A_STORYBOARD)
    _known(data, TOP, where, "")
    script: dict[str, Any] = {**_mapping(data.get("extra"), where, "extra")}
    if "title" in data:
        script["story_name"] = data["title"]
    script["story_overview"] = data.get("overview", "")
    if "entities" in data:
        script["entities"] = _entities(data["entities"], where)
    if "references" in data:
        script["references"] = data["references"]
    scenes = data.get("scenes")
    script["scenes"] = [_scene(scene, i, where) for i, scene in enumerate(scenes)] if isinstance(scenes, list) else scenes
    return script


def _refuse_unfolding(text: str, where: str) -> None:
    """No aliases, with which a small file could unfold to a huge one, and no deep nesting: a storyboard needs neither."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > MAX_DEPTH:
            found = "aliases are not used in storyboards" if isinstance(event, yaml.AliasEvent) else f"is nested more than {MAX_DEPTH} deep"
            line = f" (line {event.start_mark.line + 1})" if event.start_mark else ""
            raise UserError(found + line, where=where, expected=A_STORYBOARD)


def _loader() -> Any:
    """A safe loader that leaves dates as the text that they are."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    plain = {
        first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
        for first, pairs in base.yaml_implicit_resolvers.items()
    }
    return type("Loader", (base,), {"yaml_implicit_resolvers": plain})


def _known(data: Mapping[str, Any], names: tuple[str, ...], where: str, place: str) -> None:
    for key in data:
        if key not in names:
            hint = did_you_mean(str(key), names) or "anything else goes under 'extra'"
            found = f"unknown word {str(key)[:40]!r}"
            raise UserError(found, where=f"{where}: {place}{str(key)[:40]}", expected="one of: " + ", ".join(names), hint=hint)


def _mapping(value: Any, where: str, place: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise UserError(f"found {value!r:.40}", where=f"{where}: {place}", expected="a mapping")
    return dict(value or {})


def _entities(value: Any, where: str) -> Any:
    """`id: {kind, description}`, or `id: description` for a character."""
    if not isinstance(value, dict):
        return value
    entries = []
    for name, entry in value.items():
        known = {"kind": "character", "description": entry} if isinstance(entry, str) else _mapping(entry, where, f"entities.{name}")
        entries.append({"id": str(name), "kind": known.pop("kind", "character"), **known})
    return entries


def _scene(scene: Any, place: int, where: str) -> Any:
    if not isinstance(scene, dict):
        return scene
    _known(scene, SCENE, where, f"scenes[{place}].")
    shots = scene.get("shots")
    for k, shot in enumerate(shots if isinstance(shots, list) else ()):
        if not isinstance(shot, dict):
            raise UserError(f"found {shot!r:.40}", where=f"{where}: scenes[{place}].shots[{k}]", expected="a shot with a prompt")
        _known(shot, SHOT, where, f"scenes[{place}].shots[{k}].")
    if not isinstance(shots, list):
        raise UserError("the field is missing", where=f"{where}: scenes[{place}].shots", expected="a list of at least one shot")
    lists = {name: [shot.get(word, EMPTY[word]) for shot in shots] for word, name in LISTS.items() if any(word in shot for shot in shots)}
    return {
        **_mapping(scene.get("extra"), where, f"scenes[{place}].extra"),
        "scene_num": scene.get("number", place + 1),
        "video_prompts": [shot.get("prompt", "") for shot in shots],
        "cut": [_cut(shot.get("continues", False)) for shot in shots],
        **lists,
    }


def _cut(continues: Any) -> Any:
    return not continues if isinstance(continues, bool) else continues


def write_yaml(script: Mapping[str, Any]) -> str:
    """A checked script as a storyboard."""
    import yaml

    board: dict[str, Any] = {"title": script["story_name"], "overview": script.get("story_overview", "")}
    if script.get("entities"):
        board["entities"] = {entry["id"]: {key: entry[key] for key in entry if key != "id"} for entry in script["entities"]}
    if script.get("references"):
        board["references"] = script["references"]
    board["scenes"] = [_board_scene(scene) for scene in script["scenes"]]
    known = ("story_name", "story_overview", "entities", "references", "scenes")
    if extra := {key: value for key, value in script.items() if key not in known and value is not None}:
        board["extra"] = extra
    return yaml.safe_dump(board, sort_keys=False, allow_unicode=True, width=100)


def _board_scene(scene: Mapping[str, Any]) -> dict[str, Any]:
    shots = []
    for k, prompt in enumerate(scene["video_prompts"]):
        shot: dict[str, Any] = {"prompt": prompt}
        shot |= {"continues": True} if not scene["cut"][k] else {}
        for word, name in LISTS.items():
            if scene.get(name):
                shot |= {word: scene[name][k]} if scene[name][k] != EMPTY[word] else {}
        shots.append(shot)
    known = ("scene_num", "video_prompts", "cut", *LISTS.values())
    extra = {key: value for key, value in scene.items() if key not in known and value is not None}
    return {"number": scene["scene_num"], "shots": shots, **({"extra": extra} if extra else {})}
