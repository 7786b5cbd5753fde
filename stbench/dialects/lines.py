"""Where a field stands in a file: `scenes[0].cut[2]` → line 17. JSON is read as the YAML that it is, for its positions."""

from __future__ import annotations

import re
from typing import Any

MAX_CHARS = 2 * 1024 * 1024  # beyond that, an error goes without its line
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_STORYBOARD = {
    "video_prompts": "prompt",
    "first_frame_prompt": "first_frame",
    "cut": "continues",
    "entities": "who",
    "places": "where",
}


def find_line(text: str, field: str, *, storyboard: bool = False) -> int | None:
    r"""Line of a field, from 1; of its nearest parent where the field itself is missing; None if the text cannot be read so.

    Args:
        text: A JSON or YAML file.
        field: As in error messages.
        storyboard: The file is a YAML storyboard, whose shots are objects and not parallel lists.

    Example:
        >>> find_line('{"a": 1,\n "b": [2,\n 3]}', "b[1]"), find_line('{"a": 1,\n "b": [2]}', "b[7]")
        (3, 2)
    """
    import yaml

    if not text or len(text) > MAX_CHARS:
        return None
    try:
        node: Any = yaml.compose(text.replace("\t", " "), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    line: int | None = None
    for step in _steps(field, storyboard):
        node, at = _child(yaml, node, step)
        if node is None:
            break
        line = at + 1
    return line


def _steps(field: str, storyboard: bool) -> list[str | int]:
    steps: list[str | int] = [match[1] if match[1] is not None else int(match[2]) for match in _STEP.finditer(field)]
    if storyboard and len(steps) >= 4 and steps[0] == "scenes" and str(steps[2]) in _STORYBOARD:
        return [*steps[:2], "shots", steps[3], _STORYBOARD[str(steps[2])]]
    names: dict[str | int, str] = {"story_name": "title", "story_overview": "overview"}
    return [names.get(step, step) for step in steps] if storyboard else steps


def _child(yaml: Any, node: Any, step: str | int) -> tuple[Any, int]:
    """The node below, and its line; (None, 0) if there is none."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return value, key.start_mark.line
        if isinstance(step, int) and step < len(node.value):  # entities of a storyboard: the n-th
            key, value = node.value[step]
            return value, key.start_mark.line
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step].start_mark.line
    return None, 0
