"""One process, one story after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stbench.filming import StoryOutcome
    from stbench.story import Story


def film_stories(stories: Iterable[Story], film: Callable[[Story], StoryOutcome]) -> Iterator[StoryOutcome]:
    """Film stories in order, yielding each outcome as soon as the story ends."""
    for story in stories:
        yield film(story)
