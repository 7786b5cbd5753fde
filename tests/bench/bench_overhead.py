"""What the harness costs beside generating: `python tests/bench/bench_overhead.py [--shots N] [--json]`.

Films shots of the world model as `stbench run` does and tells the time that everything beside the method takes (keys, journal, spans,
machine facts, the mp4 written, decoded back and synced to the disk, the record) as a share of the method's own; and how
much of it came once: before the first shot, and in publishing that one (PyAV is imported there) beyond what publishing the others took.
Loading and scoring are not in it. Then the spans alone: shots with the stopwatch and shots with one that does nothing, by turns. Last what
publishing a shot of the paper's size takes (81 frames of 832x480, a film of the world enlarged, with grain), against the time that Wan2.2
publishes for making one on an H100: no such shot can be made here.

Two clocks: wall time without what the main thread waited for a core (waiting for the disk is in it), and CPU time of all threads (the
disk is not in it, and other work on the machine matters less). Exits with 1 if the first share is above 2% of CPU time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stbench.claim import claim
from stbench.config import RunConfig
from stbench.display import Display
from stbench.filming import LazyMaker, Studio, film_story
from stbench.journal import Journal
from stbench.machine import waited_s
from stbench.methods import ShotRequest, ShotResult
from stbench.planning.published import rows
from stbench.runner import prepare
from stbench.store import RunFolder
from stbench.story import Shot, Story
from stbench.timing import Stopwatch
from stbench.validity import check_result

LIMIT = 0.02


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """By both clocks."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Seconds:
        """Readings; only differences count."""
        return cls(wall=time.perf_counter() - (waited_s() or 0.0), cpu=time.process_time())

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(wall=self.wall - other.wall, cpu=self.cpu - other.cpu)

    @classmethod
    def sum(cls, parts: Iterable[Seconds]) -> Seconds:
        """All of them."""
        parts = list(parts)
        return cls(wall=sum(one.wall for one in parts), cpu=sum(one.cpu for one in parts))


@dataclass
class Metered:
    """A maker that reads the clocks when a shot begins and ends; everything else that the process does is the harness."""

    maker: Any
    marks: list[Seconds] = field(default_factory=list)

    def shot(self, request: ShotRequest) -> ShotResult:
        """Make one shot."""
        self.marks.append(Seconds.now())
        made: ShotResult = self.maker.shot(request)
        self.marks.append(Seconds.now())
        return made


@dataclass(frozen=True, kw_only=True)
class Filmed:
    """Seconds of some shots, and of all that filming did beside them."""

    shots: list[Seconds]
    before: Seconds  # the first shot
    after: list[Seconds]  # each shot, up to the next

    @property
    def method(self) -> Seconds:
        """All shots."""
        return Seconds.sum(self.shots)

    @property
    def harness(self) -> Seconds:
        """All else."""
        return Seconds.sum([self.before, *self.after])

    @property
    def once(self) -> Seconds:
        """Of the harness: before the first shot, and after it beyond the median of the others."""
        first, *others = self.after
        usual = Seconds(wall=statistics.median(one.wall for one in others), cpu=statistics.median(one.cpu for one in others))
        return Seconds.sum([self.before, first - usual])


class Idle(Stopwatch):
    """Measures nothing."""

    @contextmanager
    def time(self, stage: str, **detail: Any) -> Iterator[None]:
        """Nothing."""
        yield

    def lap(self, name: str) -> None:
        """Nothing."""


def filmed(folder: Path, shots: int) -> Filmed:
    """Film whole stories until there are so many shots."""
    config = RunConfig(method="storymem", suite="world-mini", out=folder, device="cpu", score=False)
    method, _, manifest, out = prepare(config)
    with claim(out, manifest):
        manifest.save(out)
        run = RunFolder(out, manifest)
        with (
            closing(Journal(run.events_path, time.time)) as journal,
            closing(Journal(run.timing_path, time.time)) as timing,
            LazyMaker(method, "cpu", Display(), run.stories) as lazy,
        ):
            meter = Metered(lazy.get())
            lazy._maker = meter  # type: ignore[assignment]
            studio = Studio(folder=run, maker=lazy, journal=journal, timing=timing, display=Display(), device="cpu")
            began = Seconds.now()
            for story in run.stories:
                film_story(studio, story)
                if len(meter.marks) >= 2 * shots:
                    break
            ended = Seconds.now()
    starts, ends = meter.marks[::2], meter.marks[1::2]
    return Filmed(
        shots=[end - start for start, end in zip(starts, ends, strict=True)],
        before=starts[0] - began,
        after=[later - end for end, later in zip(ends, [*starts[1:], ended], strict=True)],
    )


def spans(rounds: int) -> float:
    """CPU seconds of a shot with spans, as a ratio to one without, the median over pairs."""
    import storymem.generator
    import storymem.method
    from storymem.generator import Take
    from storymem.method import StoryMem

    method = StoryMem.from_options(model="world", options={})
    ratios = []
    with method.open("cpu") as maker:
        generator = maker.generator
        take = Take(prompt="a cat", seed=0, sampling=method.options.sampling(generator.profile, from_text=True))
        generator.take(take)
        for number in range(rounds):
            seconds = {}
            for watch in (Stopwatch, Idle) if number % 2 else (Idle, Stopwatch):
                storymem.generator.Stopwatch = watch  # type: ignore[misc]
                began = Seconds.now()
                generator.take(take)
                seconds[watch] = (Seconds.now() - began).cpu
            ratios.append(seconds[Stopwatch] / seconds[Idle])
    storymem.generator.Stopwatch = Stopwatch  # type: ignore[misc]
    return statistics.median(ratios)


def large(folder: Path) -> Seconds:
    """Publishing 81 frames of 832x480 with three keyframes and a tail of five."""
    import numpy as np
    from PIL import Image

    from stbench.publish import publish_shot
    from stbench.world.render import render_shot
    from stbench.world.spec import ShotTruth

    truth = ShotTruth(species="cat", place="beach", action="right", size="wide", colour="red", accessory="hat")
    stills = [np.asarray(Image.fromarray(frame).resize((832, 480), Image.Resampling.BICUBIC)) for frame in render_shot(truth).frames]
    grain = np.random.default_rng(0).normal(0, 2, (8, 480, 832, 1))
    frames = np.stack([np.clip(stills[k * len(stills) // 81] + grain[k % 8], 0, 255).astype(np.uint8) for k in range(81)])
    shot = Shot(index=0, scene=1, number=1, prompt="a cat", cut=True)
    request = ShotRequest(story=Story(id="one", name="one", overview="", shots=(shot,)), shot=shot, seed=0)
    result = ShotResult(frames=frames, fps=16, keyframes=(0, 40, 80), tail=5)
    began = Seconds.now()
    check_result(result)
    publish_shot(folder, request, result, key="k", inputs=[], seconds=1.0, device="cpu", attempt=1)
    return Seconds.now() - began


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shots", type=int, default=12, help="at least 2")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = filmed(Path(folder) / "run", options.shots)
        published, big = rows()[0], large(Path(folder) / "large")
    ratio = spans(options.shots)
    method, harness, once = seen.method, seen.harness, seen.once
    later = harness - once
    share = harness.cpu / method.cpu
    out = sys.stderr if options.json else sys.stdout
    print(f"{f'{len(seen.shots)} shots':<16}{'wall s':>10}{'CPU s':>10}", file=out)
    for name, part in {"method": method, "harness": harness, "  of it once": once}.items():
        print(f"{name:<16}{part.wall:>10.3f}{part.cpu:>10.3f}", file=out)
    print(f"{'share':<16}{harness.wall / method.wall:>10.2%}{share:>10.2%}   at most {LIMIT:.0%}", file=out)
    print(f"{'  without once':<16}{later.wall / method.wall:>10.2%}{later.cpu / method.cpu:>10.2%}", file=out)
    print(f"spans: {ratio - 1:+.2%} of a shot's CPU time, median of {options.shots} pairs", file=out)
    print(f"81 frames of 832x480: {big.wall:.2f} s of wall time, {big.cpu:.2f} s of CPU time to publish,", file=out)
    print(f"{big.cpu / published.seconds:.2%} of the {published.seconds} s that Wan2.2 publishes for making one", file=out)
    if options.json:
        named = {"method": asdict(method), "harness": asdict(harness), "once": asdict(once), "large": asdict(big)}
        print(json.dumps({"shots": len(seen.shots), **named, "share": share, "spans": ratio - 1}))
    sys.exit(share > LIMIT)


if __name__ == "__main__":
    main()
