"""One process, one story after the other."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from stbench.storage.leases import LeaseLostError

if TYPE_CHECKING:
    from stbench.filming import StoryOutcome
    from stbench.storage.turns import Turns
    from stbench.story import Story


def film_stories(stories: Iterable[Story], film: Callable[[Story], StoryOutcome]) -> Iterator[StoryOutcome]:
    """Film stories in order, yielding each outcome as soon as the story ends."""
    for story in stories:
        yield film(story)


def film_in_turns(
    stories: Iterable[Story], film: Callable[[Story], StoryOutcome], turns: Turns, left: Mapping[str, int]
) -> Iterator[StoryOutcome]:
    """The same where other machines film the same run: stories that another has come later, with what it made of them.

    Args:
        stories: Of the run.
        film: Films one.
        turns: Of this process.
        left: Story → shots that are to be made; where there are none, nobody is asked.
    """
    waiting = deque(stories)
    refused = 0  # in a row
    while waiting:
        story = waiting.popleft()
        if not left[story.id]:
            yield film(story)
            continue
        wait_s = turns.take(story)
        if not wait_s:
            try:
                outcome = replace(film(story), fetched=turns.fetched)
            except LeaseLostError:
                wait_s = turns.life_s
            finally:
                turns.leave()
        if not wait_s:
            refused = 0
            yield outcome
            continue
        waiting.append(story)
        refused += 1
        if refused >= len(waiting):
            time.sleep(wait_s)
            refused = 0
