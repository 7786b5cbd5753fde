"""Spans: how long each stage of a shot took, and what memory it held, measured where the work is done.

A stage ends when its device has ended: on CUDA the clock is read between two synchronisations. Stages are exclusive: what a stage
inside of another takes is not part of the outer one, so that the stages of a shot add up to at most the shot. Steps of a sampling loop are
laps of their stage; on CUDA they are events in the stream, so that nothing waits between two steps.

Spans say what was measured and judge nothing; `stbench.profiling` does.

Shots that were reused have no spans: only what is made is timed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from stbench.methods import Span

WHOLE_SHOT, LOAD, VIDEO_ENCODE = "shot", "load", "video_encode"
OUTSIDE = frozenset((LOAD, VIDEO_ENCODE))  # stages that are not part of the time of a shot
SCORING = "scoring"  # event of timing.jsonl: one scoring of a run, seconds by encoder
CEILING = "ceiling"  # event of timing.jsonl: what the device reached in a large product and a large copy
PEAK, PEAK_RESERVED, ON_DEVICE, ON_HOST = "peak_bytes", "peak_reserved_bytes", "device_bytes", "host_bytes"


def resident_bytes() -> int:
    """Main memory that this process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


@dataclass(kw_only=True)
class _Open:
    """A stage that has begun."""

    start_s: float
    inner_s: float = 0.0
    peaks: tuple[int, int] = (0, 0)
    laps: list[tuple[str, Any]] = field(default_factory=list)
    inside: dict[str, Span] = field(default_factory=dict)


class Stopwatch:
    """Collects spans.

    Args:
        device: Where the work is done, as torch names it.
        clock: Seconds; only differences count.

    Example:
        >>> seconds = iter([0.0, 1.0, 1.5, 4.0])
        >>> watch = Stopwatch("cpu", clock=lambda: next(seconds))
        >>> with watch.time("keyframes"):
        ...     with watch.time("quality_filter"):
        ...         pass
        >>> [(span.stage, span.start_s, span.seconds) for span in watch.spans]
        [('keyframes', 0.0, 3.5), ('quality_filter', 1.0, 0.5)]
    """

    def __init__(self, device: Any = "cpu", clock: Callable[[], float] = time.perf_counter):
        self.spans: list[Span] = []
        self._clock = clock
        self._cuda = sys.modules["torch"].cuda if str(device).startswith("cuda") else None
        self._device = device
        self._stack: list[_Open] = []

    @contextmanager
    def time(self, stage: str, **detail: Any) -> Iterator[None]:
        """Measure the `with` block; `detail` is stored with it. A block that raises leaves no span.

        The same stage again and again inside of one other is one span, with the number of its `calls`.
        """
        outer = self._stack[-1] if self._stack else None
        if outer and self._cuda:
            outer.peaks = self._peaks(outer)
        self._begin()
        here = _Open(start_s=self._clock())
        self._stack.append(here)
        try:
            yield
            span = self._end(here, stage, detail)
        finally:
            self._stack.pop()
            if outer:
                outer.peaks = self._peaks(outer, here)
        if outer:
            outer.inner_s += span.seconds + here.inner_s
            for part in (span, *here.inside.values()):
                outer.inside[part.stage] = _together(outer.inside.get(part.stage), part)
        else:
            self.spans.append(span)
            self.spans += here.inside.values()

    def lap(self, name: str) -> None:
        """A step of the stage that is open begins here; the last one ends with the stage."""
        if not self._stack:
            raise ValueError("no stage is open")
        mark: Any = self._clock()
        if self._cuda:
            mark = self._cuda.Event(enable_timing=True)
            mark.record()
        self._stack[-1].laps.append((name, mark))

    def _begin(self) -> None:
        if self._cuda:
            self._cuda.synchronize(self._device)
            self._cuda.reset_peak_memory_stats(self._device)

    def _end(self, here: _Open, stage: str, detail: dict[str, Any]) -> Span:
        last = None
        if self._cuda:
            last = self._cuda.Event(enable_timing=True)
            last.record()
            self._cuda.synchronize(self._device)
        now = self._clock()
        detail = detail | self._steps(here, last if self._cuda else now)
        if self._cuda:
            peaks = self._peaks(here)
            detail |= {PEAK: peaks[0], PEAK_RESERVED: peaks[1], ON_DEVICE: self._cuda.memory_allocated(self._device)}
        if len(self._stack) == 1:  # asking the system takes a while, and a stage inside of another may be called often
            detail |= {ON_HOST: resident_bytes()}
        return Span(stage=stage, seconds=now - here.start_s - here.inner_s, detail=detail, start_s=here.start_s)

    def _steps(self, here: _Open, end: Any) -> dict[str, Any]:
        """Seconds and names of the laps."""
        if not here.laps:
            return {}
        marks = [mark for _, mark in here.laps] + [end]
        seconds = [first.elapsed_time(second) / 1000 if self._cuda else second - first for first, second in pairwise(marks)]
        return {"steps_s": [round(value, 6) for value in seconds], "experts": [name for name, _ in here.laps]}

    def _peaks(self, *stages: _Open) -> tuple[int, int]:
        """Most bytes allocated and reserved since the last reset, or in one of these stages."""
        if not self._cuda:
            return 0, 0
        now = (self._cuda.max_memory_allocated(self._device), self._cuda.max_memory_reserved(self._device))
        return max(now[0], *(s.peaks[0] for s in stages)), max(now[1], *(s.peaks[1] for s in stages))


def _together(first: Span | None, second: Span) -> Span:
    """Two calls of one stage as one span."""
    if first is None:
        return second
    calls = first.detail.get("calls", 1) + 1
    peaks = {name: max(first.detail[name], second.detail[name]) for name in (PEAK, PEAK_RESERVED) if name in first.detail}
    return replace(second, seconds=first.seconds + second.seconds, start_s=first.start_s, detail={**second.detail, **peaks, "calls": calls})
