"""Dialects: the file formats that scripts come in, each turned into one shape (`stbench.script`) and written from it.

| dialect | what it is |
|---|---|
| `st-bench` | ST-Bench's JSON (StoryMem), and what others add to it; JSON5 is read as well |
| `entitybench` | ST-Bench's JSON with a registry of entities and a schedule of who appears in which shot |
| `memento` | ST-Bench's JSON with `reconstruct_target` and prompts "global caption: …; shot caption: …" |
| `holocine` | one `global_caption`, `shot_captions` and the frames where shots begin |
| `yaml`, `markdown` | storyboards that people write by hand |

A reader gives plain JSON data in the shape of `stbench.script`, not yet checked; a writer gets checked data and gives text. What a
format cannot hold is found by reading back what was written (`stbench.dialects.convert`), so nothing is lost in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stbench.errors import UserError, did_you_mean

JSON_SUFFIXES = (".json", ".json5")
YAML_SUFFIXES = (".yaml", ".yml")
MARKDOWN_SUFFIXES = (".md", ".markdown")
SUITE_SUFFIXES = (*JSON_SUFFIXES, ".story.md", ".story.yaml", ".story.yml")  # what counts as a script in a folder
MAX_JSON5_CHARS = 256 * 1024  # its parser is slow
NAMES = ("st-bench", "entitybench", "memento", "holocine", "yaml", "markdown")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A script's file, read: its data in the one shape, and where fields stand in the text."""

    data: Any
    dialect: str
    text: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)  # field → line, where the reader knows; else the text is searched

    def line_of(self, name: str) -> int | None:
        """Line of a field such as `scenes[0].cut[2]`, from 1; None if it is not in the text."""
        from stbench.dialects.lines import find_line

        if self.lines:
            return self.lines.get(name)
        return find_line(self.text, name, storyboard=self.dialect == "yaml")


def read_source(path: Path) -> Source:
    """Read a script's file in whatever dialect it is; the data is checked later.

    Raises:
        UserError: Missing, too large, or not in the format that its name promises.
    """
    from stbench.story import read_text, safe_id

    suffix = path.suffix.lower()
    if suffix in YAML_SUFFIXES:
        from stbench.dialects.storyboard_yaml import read_yaml

        text = read_text(path)
        return Source(data=read_yaml(text, str(path)), dialect="yaml", text=text)
    if suffix in MARKDOWN_SUFFIXES:
        from stbench.dialects.storyboard_markdown import read_markdown

        text = read_text(path)
        data, lines = read_markdown(text, str(path))
        return Source(data=data, dialect="markdown", text=text, lines=lines)
    data, text = _read_json_or_json5(path)
    return from_json(data, name=safe_id(path.stem), text=text)


def from_json(data: Any, *, name: str, text: str = "") -> Source:
    """JSON data of any of the JSON dialects, recognised by its fields.

    Args:
        data: What the JSON holds.
        name: What to call a story whose format has no name for it.
        text: The file, for line numbers.
    """
    from stbench.dialects import entitybench, holocine, memento

    if isinstance(data, dict):
        if holocine.recognise(data):
            return Source(data=holocine.read(data, name), dialect="holocine", text=text)
        scheduled = entitybench.recognise(data)
        data = entitybench.read(data) if scheduled else data
        if memento.recognise(data):
            return Source(data=memento.read(data), dialect="memento", text=text)
        return Source(data=data, dialect="entitybench" if scheduled else "st-bench", text=text)
    return Source(data=data, dialect="st-bench", text=text)


def write_text(script: Mapping[str, Any], dialect: str) -> str:
    """Text of a checked script in a dialect; `convert` says what it loses.

    Raises:
        UserError: Unknown dialect.
    """
    import json

    if dialect in ("yaml", "markdown"):
        from stbench.dialects.storyboard_markdown import write_markdown
        from stbench.dialects.storyboard_yaml import write_yaml

        return write_yaml(script) if dialect == "yaml" else write_markdown(script)
    return json.dumps(_json_writer(dialect)(script), indent=2, ensure_ascii=False) + "\n"


def _json_writer(dialect: str) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    from stbench.dialects import entitybench, holocine, memento

    writers: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
        "st-bench": memento.to_plain,
        "entitybench": entitybench.write,
        "memento": memento.write,
        "holocine": holocine.write,
    }
    if dialect in writers:
        return writers[dialect]
    raise UserError(f"unknown dialect {dialect!r}", expected="one of: " + ", ".join(NAMES), hint=did_you_mean(dialect, NAMES))


def _read_json_or_json5(path: Path) -> tuple[Any, str]:
    """Strict JSON first; what is not that may be JSON5 (comments, trailing commas, single quotes)."""
    from stbench.story import read_json, read_text

    text = read_text(path)
    try:
        return read_json(path, text), text
    except UserError:
        if len(text) <= MAX_JSON5_CHARS and text.lstrip()[:1] in ("{", "/"):
            import json5

            try:
                return json5.loads(text, parse_constant=_refuse), text
            except (ValueError, RecursionError):
                pass  # neither: the JSON error is the clearer one
        raise


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
