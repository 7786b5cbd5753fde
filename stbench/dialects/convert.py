"""Scripts from one dialect to another. What gets lost is found by reading back what was written, never guessed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stbench.dialects import MARKDOWN_SUFFIXES, NAMES, YAML_SUFFIXES, Source, from_json, read_source, write_text
from stbench.script import PARALLEL, Script

SUFFIX = {"yaml": ".story.yaml", "markdown": ".story.md"}


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A script's text in another dialect, and what that dialect could not hold."""

    dialect: str
    text: str
    losses: tuple[str, ...]


def checked(source: Source, where: str, name: str) -> dict[str, Any]:
    """The data of a source after all checks of a script, in one spelling: cuts as booleans, absent lists left out.

    Raises:
        UserError: It is not a script.
    """
    from stbench.story import parse_story

    data = source.data
    without_pictures = {key: value for key, value in data.items() if key != "references"} if isinstance(data, dict) else data
    parse_story(without_pictures, source=where, id=name, locate=source.line_of)
    script = Script.model_validate(data).model_dump(exclude_none=True, exclude_unset=True)
    for scene, parsed in zip(script["scenes"], data["scenes"], strict=True):
        if parsed.get("places") is not None:
            scene["places"] = list(parsed["places"])  # null is a value here: a shot without a place
    return script


def convert(path: Path, to: str) -> Converted:
    """One script file in another dialect.

    Args:
        path: A script in any dialect.
        to: One of `stbench.dialects.NAMES`.

    Raises:
        UserError: A bad script, or an unknown dialect.
    """
    from stbench.story import story_id

    source = read_source(path)
    script = checked(source, str(path), story_id(path))
    text = write_text(script, to)
    back = _read_back(text, to, story_id(path))
    return Converted(dialect=to, text=text, losses=tuple(_explained(differences(script, back), to)))


def _explained(lines: list[str], to: str) -> list[str]:
    """Prompts that only took another form are no loss, but a reader of that form should know."""
    form = {
        "st-bench": "global captions stand beside the prompts, under 'global_caption', where most readers do not look",
        "memento": "prompts have a global caption in front now",
        "holocine": "the global caption of each prompt",
    }
    moved = [line for line in lines if line.startswith(("prompts:", "global captions:"))]
    if to not in form or not moved:
        return lines
    return [line for line in lines if line not in moved] + [f"{form[to]} ({moved[0].partition(': ')[2]})"]


def _read_back(text: str, dialect: str, name: str) -> dict[str, Any]:
    where = f"the {dialect} text"
    if dialect == "yaml":
        from stbench.dialects.storyboard_yaml import read_yaml

        return checked(Source(data=read_yaml(text, where), dialect=dialect), where, name)
    if dialect == "markdown":
        from stbench.dialects.storyboard_markdown import read_markdown

        return checked(Source(data=read_markdown(text, where)[0], dialect=dialect), where, name)
    return checked(from_json(json.loads(text), name=name), where, name)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is not the same in two checked scripts, in words; empty if they are the same.

    Example:
        >>> one = {"story_name": "A", "scenes": [{"scene_num": 1, "video_prompts": ["x"], "cut": [True]}]}
        >>> differences(one, {**one, "story_name": "B"})
        ['the name']
    """
    lines = []
    for key, word in (("story_name", "the name"), ("story_overview", "the overview"), ("references", "reference pictures")):
        if (before.get(key) or "") != (after.get(key) or ""):
            lines.append(word)
    lines += _entities(before, after)
    if [scene["scene_num"] for scene in before["scenes"]] != [scene["scene_num"] for scene in after["scenes"]]:
        lines.append(f"the {len(before['scenes'])} scenes and their numbers")
    for name in ("video_prompts", *PARALLEL):
        lines += _shots(name, before, after)
    known = {"story_name", "story_overview", "references", "entities", "scenes"}
    lines += _extra("key", before, after, known)
    first = [_scene_extra(scene) for scene in before["scenes"]]
    second = [_scene_extra(scene) for scene in after["scenes"]]
    if first != second and len(first) == len(second):
        gone = sorted({key for one, two in zip(first, second, strict=True) for key in one if one[key] != two.get(key)})
        lines += [f"of scenes, the key{'s' if len(gone) > 1 else ''} " + ", ".join(map(repr, gone))] if gone else []
    return lines


def _entities(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    # A JSON object has no order between groups of different kinds, so order is no difference.
    one = {entity["id"]: {"description": "", **entity} for entity in before.get("entities") or ()}
    two = {entity["id"]: {"description": "", **entity} for entity in after.get("entities") or ()}
    changed = [name for name in one if one[name] != two.get(name)]
    added = [name for name in two if name not in one]
    lines = [f"entities: {', '.join(changed[:6])}"] if changed else []
    return lines + ([f"entities that were not there before: {', '.join(added[:6])}"] if added else [])


_WORDS: dict[str, tuple[str, Any]] = {
    "video_prompts": ("prompts", None),
    "cut": ("continuations (a cut instead)", None),
    "first_frame_prompt": ("first-frame prompts", ""),
    "entities": ("who appears", []),
    "places": ("where it is", None),
    "global_caption": ("global captions", ""),
    "truth": ("the truth", {}),
}


def _shots(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    word, empty = _WORDS[name]
    one, two = _flat(before, name, empty), _flat(after, name, empty)
    order: Callable[[Any], Any] = (lambda value: sorted(value)) if name == "entities" else (lambda value: value)
    changed = sum(order(a) != order(b) for a, b in zip(one, two, strict=False)) + abs(len(one) - len(two))
    return [f"{word}: {changed} of {len(one)} shots"] if changed else []


def _flat(script: Mapping[str, Any], name: str, empty: Any) -> list[Any]:
    return [entry for scene in script["scenes"] for entry in scene.get(name) or [empty] * len(scene["video_prompts"])]


def _extra(word: str, before: Mapping[str, Any], after: Mapping[str, Any], known: set[str]) -> list[str]:
    gone = sorted(key for key in before if key not in known and before[key] != after.get(key))
    return [f"the {word}{'s' if len(gone) > 1 else ''} " + ", ".join(map(repr, gone))] if gone else []


def _scene_extra(scene: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in scene.items() if key not in ("scene_num", "video_prompts", *PARALLEL)}


def dialect_of(path: Path) -> str | None:
    """Dialect that a file's name asks for; None for JSON, which may be several."""
    suffix = path.suffix.lower()
    return "yaml" if suffix in YAML_SUFFIXES else "markdown" if suffix in MARKDOWN_SUFFIXES else None


__all__ = ["NAMES", "SUFFIX", "Converted", "checked", "convert", "dialect_of", "differences"]
