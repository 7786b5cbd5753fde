"""Memento's scripts: ST-Bench's JSON with `reconstruct_target` and a global caption in front of every prompt.

Their model reads the whole prompt, so it stays as it is when such a script is filmed. "[Person A]: …" in a global caption becomes an
entity, and "[Person A]" in a shot caption says that it appears there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PROMPT = re.compile(r"\s*global caption:\s*(?P<whole>.*?);\s*shot caption:\s*(?P<shot>.*)", re.DOTALL | re.IGNORECASE)
_PERSON = re.compile(r"\[([^\[\]]{1,64})\]\s*:\s*")
NO_CAPTION = ""


def split_prompt(prompt: str) -> tuple[str, str]:
    """(global caption, shot caption); the first is empty for a plain prompt.

    Example:
        >>> split_prompt("global caption: [A]: a fox; red scarf; shot caption: [A] runs.")
        ('[A]: a fox; red scarf', '[A] runs.')
        >>> split_prompt("A fox runs.")
        ('', 'A fox runs.')
    """
    match = _PROMPT.fullmatch(prompt)
    return (match["whole"], match["shot"]) if match else (NO_CAPTION, prompt)


def join_prompt(whole: str, shot: str) -> str:
    """The inverse of `split_prompt`."""
    return f"global caption: {whole}; shot caption: {shot}" if whole else shot


def recognise(data: Mapping[str, Any]) -> bool:
    """Whether JSON data is a Memento script."""
    return "reconstruct_target" in data or any(split_prompt(prompt)[0] for prompt in _prompts(data))


def _prompts(data: Mapping[str, Any]) -> list[str]:
    scenes = data.get("scenes")
    found = [scene.get("video_prompts") for scene in scenes if isinstance(scene, dict)] if isinstance(scenes, list) else []
    return [prompt for prompts in found if isinstance(prompts, list) for prompt in prompts if isinstance(prompt, str)]


def read(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same script with its people as entities, if it has none of its own."""
    people: dict[str, str] = {}
    for prompt in _prompts(data):
        parts = _PERSON.split(split_prompt(prompt)[0])
        for name, look in zip(parts[1::2], parts[2::2], strict=True):
            people.setdefault(name.strip(), look.strip(" ;,."))
    if not people or "entities" in data:
        return dict(data)
    scenes = []
    for scene in data["scenes"]:
        if isinstance(scene, dict) and isinstance(scene.get("video_prompts"), list):
            shots = [split_prompt(prompt)[1] if isinstance(prompt, str) else "" for prompt in scene["video_prompts"]]
            scene = {**scene, "entities": [[name for name in people if f"[{name}]" in shot] for shot in shots]}
        scenes.append(scene)
    entities = [{"id": name, "kind": _kind(name), "description": look} for name, look in people.items()]
    return {**data, "entities": entities, "scenes": scenes}


def _kind(name: str) -> str:
    """Their labels say it: Person A, Animal B; everything else is a thing."""
    return "character" if name.split()[0].lower() in ("person", "animal", "character", "creature") else "object"


def write(script: Mapping[str, Any]) -> dict[str, Any]:
    """A checked script as Memento reads it: a global caption in front of every prompt, and the look to be reconstructed."""
    people = [entity for entity in script.get("entities") or () if entity["kind"] == "character"]
    caption = "; ".join(f"[{entity['id']}]: {entity.get('description') or entity['id']}" for entity in people)
    caption = caption or script.get("story_overview") or script["story_name"]
    scenes = []
    for scene in script["scenes"]:
        kept = scene.get("global_caption") or [NO_CAPTION] * len(scene["video_prompts"])
        prompts = [
            prompt if split_prompt(prompt)[0] else join_prompt(" ".join((whole or caption).split()), prompt)
            for prompt, whole in zip(scene["video_prompts"], kept, strict=True)
        ]
        scenes.append({key: value for key, value in {**scene, "video_prompts": prompts}.items() if key != "global_caption"})
    target = {} if "reconstruct_target" in script else {"reconstruct_target": caption.partition("; [")[0]}
    return {**script, **target, "scenes": scenes}


def to_plain(script: Mapping[str, Any]) -> dict[str, Any]:
    """A checked script as ST-Bench has it: global captions stand beside the prompts, under `global_caption`."""
    scenes = []
    for scene in script["scenes"]:
        pairs = [split_prompt(prompt) for prompt in scene["video_prompts"]]
        captions = {"global_caption": [whole for whole, _ in pairs]} if any(whole for whole, _ in pairs) else {}
        scenes.append({**scene, "video_prompts": [shot for _, shot in pairs], **captions})
    return {**script, "scenes": scenes}
