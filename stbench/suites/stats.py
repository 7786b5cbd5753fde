"""`stbench suite stats`: suites beside one another, a row per fact, and `diff`: what changed between two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stbench.story import Shot, Story
from stbench.suites.index import SuiteFiles
from stbench.suites.measure import Facts, Range, gaps

_ROWS: tuple[tuple[str, Callable[[Facts], str]], ...] = (
    ("stories", lambda f: str(f.stories)),
    ("shots", lambda f: str(f.shots)),
    ("shots per story", lambda f: f.shots_per_story.text()),
    ("scenes per story", lambda f: f.scenes.text()),
    ("continuations", lambda f: f"{f.continuations:.0%}"),
    ("words per prompt", lambda f: _mean(f.words)),
    ("sentences per prompt", lambda f: _mean(f.sentences, 1)),
    ("CLIP tokens per prompt", lambda f: _mean(f.clip_tokens)),
    ("cut by ViCLIP (32)", lambda f: _share(f.cut_prompts["ViCLIP"], f.shots)),
    ("tokens ViCLIP leaves out", lambda f: f"{f.unread_share('ViCLIP'):.0%}"),
    ("cut by CLIP (77)", lambda f: _share(f.cut_prompts["CLIP"], f.shots)),
    ("first-frame prompts", lambda f: _share(f.first_frames, f.shots)),
    ("who or where annotated", lambda f: _share(f.with_entities, f.shots)),
    ("characters per story", lambda f: f.characters.text()),
    ("returns of a character", lambda f: str(sum(f.gaps.values())) if f.with_entities else "–"),
    ("longest absence (shots)", lambda f: str(max(f.gaps, default="–"))),
    ("shot size named", lambda f: _share(f.shots - f.sizes["not named"], f.shots)),
    ("  wide / medium / close", lambda f: " / ".join(str(f.sizes[size]) for size in ("wide", "medium", "close-up"))),
    ("camera named", lambda f: _share(f.moving, f.shots)),
)


def _mean(values: Range, digits: int = 0) -> str:
    return f"{values.mean:.{digits}f} ({values.text()})" if values.mean is not None else "–"


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole}"


def measure(files: SuiteFiles) -> Facts:
    """Facts of a suite, one story in memory at a time."""
    facts = Facts()
    for story in files.stories():
        facts.add(story)
    return facts


def table(names: Sequence[str], facts: Sequence[Facts]) -> list[str]:
    """Lines of a table: a row per fact, a column per suite."""
    rows = [("", *names), *((title, *(find(entry) for entry in facts)) for title, find in _ROWS)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(names) + 1)]
    return ["  ".join(cell.ljust(widths[k]) if k == 0 else cell.rjust(widths[k]) for k, cell in enumerate(row)).rstrip() for row in rows]


def story_table(files: SuiteFiles) -> Iterator[str]:
    """A Markdown table with a row per story: who and what is in it, how it is cut, how long its characters are away."""
    yield "| story | medium | light, weather | characters | places | look | shots | scenes | continues | away for |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for story in files.stories():
        given = story.extra.get("design")
        design: Mapping[str, object] = given if isinstance(given, Mapping) else {}
        names = {kind: ", ".join(entity.id for entity in story.entities if entity.kind == kind) for kind in ("character", "place")}
        light = "; ".join(str(design[key]) for key in ("light", "weather") if key in design)
        away = ", ".join(str(gap) for gap in sorted(set(gaps(story))))
        cells = [
            story.id,
            str(design.get("medium", "")),
            light,
            names["character"],
            names["place"],
            str(design.get("appearance", "")),
            str(len(story.shots)),
            str(len({shot.scene for shot in story.shots})),
            str(len(story.shots) - story.cuts),
            away or "–",
        ]
        yield "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What differs in one story; `refilm_from` is the first shot (from 1) that a run would make anew, None if there is none."""

    story: str
    lines: tuple[str, ...]
    refilm_from: int | None


def diff(old: SuiteFiles, new: SuiteFiles) -> list[Change]:
    """Stories that were added, removed or changed, in the order of the new suite, removed ones last.

    Example of lines: "shot 3: prompt", "story_overview".
    """
    before = {story.id: story for story in old.stories()}
    changes = []
    for story in new.stories():
        other = before.pop(story.id, None)
        if other is None:
            changes.append(Change(story=story.id, lines=(f"added, {len(story.shots)} shots",), refilm_from=1))
        elif other.content() != story.content():
            changes.append(_change(other, story))
    gone = [Change(story=name, lines=(f"removed, {len(story.shots)} shots",), refilm_from=None) for name, story in before.items()]
    return changes + gone


def _change(old: Story, new: Story) -> Change:
    head = []
    for title, one, two in (
        ("story_name", old.name, new.name),
        ("story_overview", old.overview, new.overview),
        ("entities", old.entities, new.entities),
        ("references", [p.sha256 for p in old.references], [p.sha256 for p in new.references]),
        ("other fields", old.extra, new.extra),
    ):
        head += [title] if one != two else []
    lines, first = list(head), 1 if head else None
    for k, (one_shot, two_shot) in enumerate(zip(old.shots, new.shots, strict=False), start=1):
        fields = _shot_fields(one_shot, two_shot)
        if fields:
            lines.append(f"shot {k}: {', '.join(fields)}")
            first = min(first or k, k)
    if len(old.shots) != len(new.shots):
        lines.append(f"{len(new.shots)} shots instead of {len(old.shots)}")
        first = min(first or len(old.shots) + 1, len(old.shots) + 1) if len(new.shots) > len(old.shots) else first
    return Change(story=new.id, lines=tuple(lines), refilm_from=first)


def _shot_fields(one: Shot, two: Shot) -> list[str]:
    names = ("scene", "number", "prompt", "cut", "first_frame_prompt", "entities", "place", "truth")
    return [name for name in names if getattr(one, name) != getattr(two, name)]
