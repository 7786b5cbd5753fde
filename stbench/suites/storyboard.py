"""`stbench suite show --story`: a script as a storyboard in the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from stbench.story import Shot, Story

COLUMNS = 80
INDENT = 6


def storyboard(story: Story) -> Iterator[str]:
    """Lines of at most 80 columns: who there is, then scene by scene what each shot shows, and who is in it."""
    yield from textwrap.wrap(f"{story.name} ({story.id})", COLUMNS)
    yield from textwrap.wrap(story.overview, COLUMNS, initial_indent="  ", subsequent_indent="  ")
    for entity in story.entities:
        text = f"{entity.id} ({entity.kind}): {entity.description}"
        yield from textwrap.wrap(text, COLUMNS, initial_indent="  ", subsequent_indent="      ")
    scene = None
    for shot in story.shots:
        if shot.scene != scene:
            scene = shot.scene
            yield ""
            yield f"scene {scene}"
        yield from _shot(story, shot)


def _shot(story: Story, shot: Shot) -> Iterator[str]:
    mark = "cut: " if shot.cut else "continues: "
    head = f"{shot.index + 1:>4}  {mark}"
    yield from textwrap.wrap(head + shot.prompt, COLUMNS, subsequent_indent=" " * INDENT)
    facts = [f"{name} (back after {away})" if (away := _away(story, shot, name)) else name for name in shot.entities]
    facts += [f"at {shot.place}"] if shot.place else []
    if facts:
        yield from textwrap.wrap(", ".join(facts), COLUMNS, initial_indent=" " * INDENT + "> ", subsequent_indent=" " * INDENT + "  ")


def _away(story: Story, shot: Shot, name: str) -> int:
    """How many shots an entity was away before this one; 0 if it was not."""
    earlier = [other.index for other in story.shots[: shot.index] if name in other.entities]
    return shot.index - earlier[-1] - 1 if earlier else 0
