"""A storyboard in Markdown, for people who write in a text editor or a wiki.

    # The Lamp

    A keeper lights a lamp.

    ## Cast

    - **mara** (character): an old woman in a yellow coat
    - **lighthouse** (place): a white tower on a rock

    ## Scene 1

    ### Shot 1 · cut

    Wide shot of a lighthouse at dusk …

    First frame: A white lighthouse at dusk.
    Who: mara
    Where: lighthouse

    ### Shot 2 · continues

    She opens the door …

"cut" may be left out. Everything up to the next heading or label belongs to the prompt; line breaks in it do not count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stbench.errors import UserError

A_STORYBOARD = "'# Title', then '## Scene 1' and '### Shot 1' headings"
_HEADING = re.compile(r"(#{1,3})\s+(.*?)\s*#*")
_SCENE = re.compile(r"scene\s+(\d{1,9})\b.*", re.IGNORECASE)
_SHOT = re.compile(r"shot\b[\s\d.]*(?:[·:|(,–—-]*\s*(?P<how>[a-z]+)\)?)?\s*", re.IGNORECASE)
_CAST = re.compile(r"[-*]\s+\*\*(?P<id>[^*]+)\*\*\s*(?:\((?P<kind>[^)]*)\))?\s*:?\s*(?P<look>.*)")
_LABEL = re.compile(r"(first frame|who|where)\s*:\s*(.*)", re.IGNORECASE)
_HOW = {"cut": True, "continues": False, "continue": False, "continued": False, "continuation": False}


class _Reader:
    """Line by line; a blank line ends a paragraph."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.script: dict[str, Any] = {"story_overview": "", "scenes": []}
        self.lines: dict[str, int] = {}
        self.part = ""  # overview, cast, scene, shot
        self.label = ""  # the field of a shot that a line goes on with

    def read(self, number: int, line: str) -> None:
        heading = _HEADING.fullmatch(line)
        if heading:
            self._heading(number, len(heading[1]), heading[2])
        elif self.part == "cast" and line:
            self._cast(number, line)
        elif self.part == "overview":
            self.script["story_overview"] = f"{self.script['story_overview']} {line}".strip()
        elif self.part == "shot":
            self._shot_line(number, line)
        elif line:
            self._refuse(number, f"text outside of a shot: {line[:40]!r}")

    def _refuse(self, number: int, found: str) -> None:
        raise UserError(found, where=f"{self.where}: line {number}", expected=A_STORYBOARD)

    def _heading(self, number: int, level: int, text: str) -> None:
        scene, shot = _SCENE.fullmatch(text), _SHOT.fullmatch(text)
        if level == 1 and "story_name" not in self.script:
            self.script["story_name"], self.part = text, "overview"
            self.lines["story_name"] = self.lines["story_overview"] = number
        elif level == 2 and text.lower() in ("cast", "entities"):
            self.part = "cast"
            self.script.setdefault("entities", [])
        elif level == 2 and scene:
            self.part = "scene"
            self.lines[f"scenes[{len(self.script['scenes'])}].scene_num"] = number
            empty: dict[str, Any] = {name: [] for name in ("video_prompts", "cut", "first_frame_prompt", "entities", "places")}
            self.script["scenes"].append({"scene_num": int(scene[1]), **empty})
        elif level == 3 and shot and self.script["scenes"]:
            self._open_shot(number, shot["how"])
        else:
            self._refuse(number, f"heading {text[:40]!r}")

    def _open_shot(self, number: int, how: str | None) -> None:
        if how and how.lower() not in _HOW:
            raise UserError(f"a shot that {how!r}", where=f"{self.where}: line {number}", expected="'cut' or 'continues' after the number")
        scene, i = self.script["scenes"][-1], len(self.script["scenes"]) - 1
        k = len(scene["cut"])
        self.part, self.label = "shot", "video_prompts"
        for name, value in (
            ("video_prompts", ""),
            ("cut", _HOW[how.lower()] if how else True),
            ("first_frame_prompt", ""),
            ("entities", []),
            ("places", None),
        ):
            scene[name].append(value)
            self.lines[f"scenes[{i}].{name}[{k}]"] = number
        self.lines.setdefault(f"scenes[{i}].video_prompts", number)

    def _cast(self, number: int, line: str) -> None:
        entry = _CAST.fullmatch(line)
        if entry is None:
            raise UserError(
                f"found {line[:40]!r}",
                where=f"{self.where}: line {number}",
                expected="'- **id** (character, object or place): how it looks'",
            )
        kind = (entry["kind"] or "character").strip().lower()
        self.lines[f"entities[{len(self.script['entities'])}].kind"] = number
        self.script["entities"].append({"id": entry["id"].strip(), "kind": kind, "description": entry["look"].strip()})

    def _shot_line(self, number: int, line: str) -> None:
        scene, i = self.script["scenes"][-1], len(self.script["scenes"]) - 1
        label = _LABEL.fullmatch(line)
        if label:
            name = {"first frame": "first_frame_prompt", "who": "entities", "where": "places"}[label[1].lower()]
            self.label, line = name, label[2]
        elif not line:
            self.label = "" if self.label != "video_prompts" else self.label
            return
        elif not self.label:
            self._refuse(number, f"text after the labels of a shot: {line[:40]!r}")
        if not scene[self.label][-1]:
            self.lines[f"scenes[{i}].{self.label}[{len(scene['cut']) - 1}]"] = number
        if self.label == "entities":
            scene["entities"][-1] += [name.strip() for name in line.split(",") if name.strip()]
        else:
            scene[self.label][-1] = f"{scene[self.label][-1] or ''} {line}".strip() or None


def read_markdown(text: str, where: str) -> tuple[dict[str, Any], dict[str, int]]:
    """(data in the one shape, field → line); a `UserError` names the line that is not understood."""
    reader = _Reader(where)
    for number, line in enumerate(text.splitlines(), start=1):
        reader.read(number, line.strip())
    for scene in reader.script["scenes"]:
        for name in ("first_frame_prompt", "entities", "places"):
            if not any(scene[name]):
                del scene[name]
        if scene.get("first_frame_prompt"):
            scene["first_frame_prompt"] = [text or "" for text in scene["first_frame_prompt"]]
        scene["video_prompts"] = [text or "" for text in scene["video_prompts"]]
    if "story_name" not in reader.script:
        raise UserError("has no title", where=where, expected=A_STORYBOARD)
    return reader.script, reader.lines


def write_markdown(script: Mapping[str, Any]) -> str:
    """A checked script as a storyboard; what it cannot hold is left out (see `convert`)."""
    lines = [f"# {_flat(script['story_name'])}", "", _flat(script.get("story_overview", "")), ""]
    if script.get("entities"):
        lines += ["## Cast", ""]
        lines += [f"- **{entry['id']}** ({entry['kind']}): {_flat(entry.get('description', ''))}".rstrip() for entry in script["entities"]]
        lines.append("")
    for scene in script["scenes"]:
        lines += [f"## Scene {scene['scene_num']}", ""]
        for k, prompt in enumerate(scene["video_prompts"]):
            lines += [f"### Shot {k + 1} · {'cut' if scene['cut'][k] else 'continues'}", "", _flat(prompt), ""]
            labels = [
                ("First frame", _flat((scene.get("first_frame_prompt") or {k: ""})[k])),
                ("Who", ", ".join((scene.get("entities") or {k: ()})[k])),
                ("Where", (scene.get("places") or {k: None})[k]),
            ]
            said = [f"{label}: {text}" for label, text in labels if text]
            lines += [*("  \n".join(said).split("\n")), ""] if said else []
    return "\n".join(line for line in lines).strip() + "\n"


def _flat(text: str) -> str:
    return " ".join(text.split())
