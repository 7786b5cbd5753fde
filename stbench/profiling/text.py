"""A profile on a terminal: the word first, then the headline where there may be one, then the tables. At most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from stbench.profiling.profile import Profile
from stbench.profiling.summary import P90_FROM, StepRow

WIDTH = 80
GIB = 2**30


def lines(profile: Profile) -> Iterator[str]:
    """Line by line."""
    timed, warm = len(profile.timings.shots), len(profile.timings.warm)
    yield from _wrapped(f"profile {profile.run}   {profile.about}")
    yield from _wrapped(f"{profile.device}   {timed} shots timed, {warm} of them warm")
    yield ""
    yield f"{profile.validity.word}{'' if profile.validity.valid else ': no headline, since these times may not be believed'}"
    for reason in profile.validity.reasons:
        yield from _wrapped(f"  - {reason}", indent="    ")
    yield from _headline(profile)
    for remark in profile.validity.remarks:
        yield from _wrapped(f"  note: {remark}", indent="    ")
    for part in (_stages, _memory, _steps, _use, _bytes, _scoring):
        yield from part(profile)


def _headline(profile: Profile) -> Iterator[str]:
    found = profile.throughput
    if found is None or not profile.validity.valid:
        return
    p90 = "" if found.shot_p90_s is None else f" (p90 {number(found.shot_p90_s)})"
    yield f"  {number(found.shot_s)} s per shot{p90}, {number(found.per_video_s)} s per second of video"
    yield f"  {number(found.films_per_day)} films per day of one device, loading left out"
    if found.energy_j is not None and found.film_wh is not None:
        yield f"  {number(found.energy_j)} J per shot, {number(found.film_wh)} Wh per film, GPU only"


def _stages(profile: Profile) -> Iterator[str]:
    yield ""
    if not profile.timings.warm:
        yield "no shot was warm: what follows is of cold ones"
    yield f"{'stage':<22}{'n':>5}{'median s':>12}{'p90 s':>12}{'share':>9}"
    for row in profile.stages:
        share = "outside" if row.share is None else f"{row.share:.1%}"
        yield f"{row.name:<22}{row.n:>5}{number(row.median_s):>12}{number(row.p90_s):>12}{share:>9}"
    loads = profile.timings.loads_s
    if loads:
        yield f"{'load (once)':<22}{len(loads):>5}{number(sorted(loads)[len(loads) // 2]):>12}{'–':>12}{'outside':>9}"
    if all(row.p90_s is None for row in profile.stages):
        yield f"(a p90 needs {P90_FROM} shots)"


def _memory(profile: Profile) -> Iterator[str]:
    if len(profile.memory) < 2:
        return
    yield ""
    yield f"{'memory frames':<22}{'n':>5}{'shot s':>12}{'denoise s':>12}{'step s':>9}"
    for row in profile.memory:
        yield f"{row.memory:<22}{row.n:>5}{number(row.shot_s):>12}{number(row.denoise_s):>12}{number(row.step_s):>9}"


def _steps(profile: Profile) -> Iterator[str]:
    if not profile.steps:
        return
    yield ""
    yield f"{'steps by expert':<22}{'n':>5}{'first s':>12}{'median s':>12}{'last s':>9}"
    for expert, group in groupby(profile.steps, key=lambda row: row.expert):
        rows: Sequence[StepRow] = list(group)
        middle = sorted(row.median_s for row in rows)[len(rows) // 2]
        name = f"{expert} ({rows[0].step} to {rows[-1].step})"
        yield f"{name:<22}{rows[0].n:>5}{number(rows[0].median_s):>12}{number(middle):>12}{number(rows[-1].median_s):>9}"


def _use(profile: Profile) -> Iterator[str]:
    yield ""
    if isinstance(profile.uses, str):
        yield from _wrapped(f"use of the device: {profile.uses}")
        return
    yield f"{'use of the device':<22}{'GFLOP':>10}{'GFLOP/s':>11}{'of ceiling':>12}{'FLOP/byte':>11}{'held by':>10}"
    for row in profile.uses:
        share = "–" if row.utilisation is None else f"{row.utilisation:.1%}"
        held = row.held_by or "–"
        done, speed = number(row.flops / 1e9), number(row.flops_per_s / 1e9)
        yield f"{row.stage:<22}{done:>10}{speed:>11}{share:>12}{number(row.intensity):>11}{held:>10}"
    if profile.ceiling is None:
        yield from _wrapped("no ceiling was measured with this run; `stbench profile --method …` measures one")
        return
    top, wide = profile.ceiling["flops_per_s"] / 1e9, profile.ceiling["bytes_per_s"] / 1e9
    yield from _wrapped(
        f"ceiling: {number(top)} GFLOP/s in a large {profile.ceiling.get('dtype')} product, {number(wide)} GB/s in a large copy, "
        "measured with these shots"
    )


def _bytes(profile: Profile) -> Iterator[str]:
    named = (
        ("allocated", profile.timings.peak_bytes),
        ("reserved", profile.timings.peak_reserved_bytes),
        ("host", profile.timings.host_bytes),
    )
    known = [f"{name} {value / GIB:.2f} GiB" for name, value in named if value is not None]
    if known:
        yield ""
        yield f"peak memory: {', '.join(known)}"


def _scoring(profile: Profile) -> Iterator[str]:
    if profile.scoring:
        yield ""
        yield f"{'scoring, encoder':<32}{'clips':>7}{'s per clip':>12}"
        for name, clips, seconds in profile.scoring:
            yield f"{name:<32}{clips:>7}{number(seconds):>12}"


def number(value: float | None) -> str:
    """Three digits that count.

    Example:
        >>> [number(value) for value in (None, 0.0, 0.000012, 0.1234, 12.345, 1234.5)]
        ['–', '0', '1.2e-05', '0.123', '12.3', '1234']
    """
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) < 0.001:
        return f"{value:.2g}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
