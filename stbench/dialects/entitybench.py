"""EntityBench's scripts: ST-Bench's JSON with a registry of entities and a schedule of who appears in which shot.

The registry lists characters, objects and locations with their descriptions. The schedule stands in each scene, one entry per shot,
either as one list of objects (`entity_schedule`) or as parallel lists (`characters`, `objects`, `locations`); a location may be a string.
The files of arXiv 2605.15199 could not be had when this was written; the shapes follow its description. Whatever else a file holds is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = {"characters": "character", "objects": "object", "locations": "place"}
REGISTRIES = ("entity_registry", "registry", "entities")
SCHEDULES = ("entity_schedule", "entities", "schedule")
LOOKS = ("description", "prompt", "registry_prompt", "appearance")


def recognise(data: Mapping[str, Any]) -> bool:
    """Whether JSON data has a registry of this shape, or a schedule of it."""
    scenes = data.get("scenes")
    first = scenes[0] if isinstance(scenes, list) and scenes and isinstance(scenes[0], dict) else {}
    return _registry_key(data) is not None or _schedule(first) is not None


def _is_registry(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(group), dict | list) for group in KINDS)


def _registry_key(data: Mapping[str, Any]) -> str | None:
    return next((key for key in REGISTRIES if _is_registry(data.get(key))), None)


def _schedule(scene: Mapping[str, Any]) -> tuple[tuple[str, ...], list[Any]] | None:
    """(keys that hold it, one mapping of groups per shot), or None."""
    for key in SCHEDULES:
        entries = scene.get(key)
        if isinstance(entries, list) and entries and all(isinstance(entry, dict) for entry in entries):
            return (key,), entries
    groups = [group for group in KINDS if isinstance(scene.get(group), list)]
    if not groups:
        return None
    shots = max(len(scene[group]) for group in groups)
    return tuple(groups), [{group: scene[group][k] for group in groups if k < len(scene[group])} for k in range(shots)]


def read(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same script in our shape: `entities` at the top, `entities` and `places` in each scene."""
    key = _registry_key(data)
    registered: dict[str, dict[str, Any]] = {}
    for group, kind in KINDS.items():
        for name, entry in _items((data[key] if key else {}).get(group)):
            registered.setdefault(name, {"id": name, "kind": kind, **_look(entry)})
    scenes: list[Any] = []
    for scene in data["scenes"] if isinstance(data.get("scenes"), list) else []:
        found = _schedule(scene) if isinstance(scene, dict) else None
        if found is None:
            scenes.append(scene)
            continue
        keys, shots = found
        for group, kind in KINDS.items():
            for shot in shots:
                for name in _names(shot.get(group) or shot.get(group[:-1])):
                    registered.setdefault(name, {"id": name, "kind": kind, "description": ""})
        plain = {name: value for name, value in scene.items() if name not in keys}
        seen = [[name for group in ("characters", "objects") for name in _names(shot.get(group))] for shot in shots]
        places = [next(iter(_names(shot.get("locations") or shot.get("location"))), None) for shot in shots]
        scenes.append({**plain, "entities": seen, **({"places": places} if any(places) else {})})
    kept = {name: value for name, value in data.items() if name != key}
    return {**kept, **({"entities": list(registered.values())} if registered else {}), "scenes": scenes}


def _items(group: Any) -> list[tuple[str, Any]]:
    if isinstance(group, dict):
        return [(str(name), entry) for name, entry in group.items()]
    pairs = [(entry.get("id") or entry.get("name"), entry) if isinstance(entry, dict) else (entry, "") for entry in group or ()]
    return [(str(name), entry) for name, entry in pairs if name]


def _look(entry: Any) -> dict[str, Any]:
    """Description of an entity, and whatever else its entry says."""
    if not isinstance(entry, dict):
        return {"description": entry if isinstance(entry, str) else ""}
    key = next((name for name in LOOKS if isinstance(entry.get(name), str)), None)
    rest = {name: value for name, value in entry.items() if name not in (key, "id", "name", "kind")}
    return {"description": entry[key] if key else "", **rest}


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, list):
        return [str(entry.get("id") or entry.get("name")) if isinstance(entry, dict) else str(entry) for entry in value]
    return []


def write(script: Mapping[str, Any]) -> dict[str, Any]:
    """A checked script with a registry (`entity_registry`) and a schedule (`entity_schedule`, one object per shot)."""
    entities = list(script.get("entities") or ())
    kinds = {entity["id"]: entity["kind"] for entity in entities}
    registry: dict[str, dict[str, Any]] = {group: {} for group in KINDS}
    for entity in entities:
        group = next(name for name, kind in KINDS.items() if kind == entity["kind"])
        registry[group][entity["id"]] = {key: value for key, value in entity.items() if key not in ("id", "kind")}
    scenes = []
    for scene in script["scenes"]:
        plain = {key: value for key, value in scene.items() if key not in ("entities", "places")}
        shots = range(len(scene["video_prompts"]))
        seen, places = scene.get("entities") or [[] for _ in shots], scene.get("places") or [None for _ in shots]
        entries = [_entry(names, place, kinds) for names, place in zip(seen, places, strict=True)]
        annotated = "entities" in scene or "places" in scene
        scenes.append({**plain, **({"entity_schedule": entries} if annotated else {})})
    kept = {key: value for key, value in script.items() if key not in ("entities", "scenes")}
    return {**kept, "entity_registry": registry, "scenes": scenes}


def _entry(names: list[str], place: str | None, kinds: Mapping[str, str]) -> dict[str, list[str]]:
    objects = [name for name in names if kinds.get(name) == "object"]
    return {
        "characters": [name for name in names if name not in objects],
        "objects": objects,
        "locations": [place] if place else [],
    }
