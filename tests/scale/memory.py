"""How much a driver holds: its side of a run, over workers that are imagined and answer at once. Run in a process of its own."""

from __future__ import annotations

import itertools
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any, cast


def manifest(stories: int) -> Any:
    from stbench.manifest import Counts, Manifest, SuiteFact
    from stbench.story import Shot, Story

    told = tuple(
        Story(
            id=f"s{n}",
            name=f"Story {n}",
            overview="In short.",
            shots=tuple(
                Shot(index=k, scene=1, number=k + 1, prompt=f"Story {n}, shot {k}: somebody walks.", cut=k == 0) for k in range(10)
            ),
        )
        for n in range(stories)
    )
    return Manifest(
        status="started",
        name="m",
        method="fake",
        description="fake",
        identity={"method": "fake"},
        model="world",
        options={},
        protocol="world",
        suite=SuiteFact(name="m", version="user", digest="0" * 64, stories=stories),
        stories=told,
        seed=0,
        device="cpu",
        versions={},
        started=0.0,
        counts=Counts(stories=stories, expected=10 * stories),
    )


def main(stories: int) -> None:
    """Print MiB held by the stories, and MiB more at the peak while they are filmed."""
    from io import StringIO

    import stbench.executors.together as together
    from stbench.config import RunConfig
    from stbench.display import Display
    from stbench.executors.simulated import Conditions, SimulatedFleet
    from stbench.filming import LazyMaker, Studio
    from stbench.journal import Journal
    from stbench.store import RunFolder

    clock = itertools.count(1.0)
    with tempfile.TemporaryDirectory() as folder:
        tracemalloc.start()
        run = RunFolder(Path(folder), manifest(stories))
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        journal = Journal(run.events_path, lambda: next(clock))
        maker: Any = LazyMaker(cast("Any", None), "cpu", Display())  # never asked: workers film
        studio = Studio(folder=run, maker=maker, journal=journal, timing=journal, display=Display(StringIO()), device="cpu")
        times = {story.id: [1.0] * len(story.shots) for story in run.stories}
        imagined = tracemalloc.get_traced_memory()[0]
        fleet = SimulatedFleet(times, Conditions(workers=16))
        film = fleet.film
        fleet.film = lambda worker, story: film(worker, story.id)  # type: ignore[method-assign]
        together.make_fleet = lambda *_: fleet  # type: ignore[assignment]
        together.task_of = lambda *_: None  # type: ignore[assignment]
        left = {story.id: len(story.shots) for story in run.stories}
        made = sum(outcome.made for outcome in together.film_together(studio, RunConfig(method="fake", workers=16), left))
        assert made == 10 * stories
        print(held / 2**20, (tracemalloc.get_traced_memory()[1] - imagined) / 2**20)
