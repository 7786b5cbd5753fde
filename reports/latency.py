"""The page and the figures of a profile: waterfall of a shot, memory timeline, per-step curve, time against memory frames, roofline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.figures import COLOURS, GRID, INK, Figure, new_axes, run_styles
from reports.page import TEMPLATES, render
from stbench.files import make_folder, write_bytes
from stbench.profiling.profile import Profile
from stbench.profiling.reading import ShotTiming
from stbench.profiling.summary import quantile
from stbench.profiling.text import number
from stbench.timing import ON_DEVICE, ON_HOST, PEAK

if TYPE_CHECKING:
    import pandas as pd

GIB = 2**30


def write_profile(profile: Profile, out: Path) -> dict[str, Path]:
    """Write `index.html`, `profile.json` and an SVG per figure into a folder; returns name → path."""
    make_folder(out)
    figures = [figure for figure in profile_figures(profile) if len(figure.frame)]
    paths = {"page": out / "index.html", "json": out / "profile.json"}
    styles = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    page = render("profile.html", profile=profile, figures=figures, styles=styles, number=number, gib=lambda value: f"{value / GIB:.2f}")
    write_bytes(paths["page"], page.encode("utf-8", "replace"))
    write_bytes(paths["json"], (json.dumps(profile.to_json(), ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode())
    for figure in figures:
        write_bytes(out / f"{figure.name}.svg", next(data for name, data in figure.files() if name.endswith(".svg")))
    return paths | ({"figures": out} if figures else {})


def profile_figures(profile: Profile) -> list[Figure]:
    """All figures; those without numbers are the caller's to leave out."""
    shot = typical(profile.counted)
    where = f"{shot.story} shot {shot.shot}, {number(shot.seconds)} s, the one nearest to the median"
    return [
        Figure(
            name="waterfall", title="One shot", note=f"Stages of {where}, from its start.", frame=waterfall_frame(shot), draw=_waterfall
        ),
        Figure(
            name="memory_timeline",
            title="Memory of this shot",
            note="Memory held at the end of each stage; on a GPU also the most during it.",
            frame=timeline_frame(shot),
            draw=_timeline,
        ),
        Figure(
            name="steps",
            title="Seconds of a step",
            note="Median over the shots, by step of the sampling loop and expert.",
            frame=_frame(profile.steps),
            draw=_steps,
        ),
        Figure(
            name="memory_frames",
            title="Time against memory frames",
            note="Median seconds of a shot and of its sampling loop, by how many memory frames it was given.",
            frame=_frame(profile.memory if len(profile.memory) > 1 else ()),
            draw=_memory,
        ),
        Figure(
            name="roofline",
            title="Roofline",
            note="Operations per second against operations per byte, under what this device reached in a large product and a large copy.",
            frame=_frame([] if isinstance(profile.uses, str) else [row for row in profile.uses if row.roof]),
            draw=lambda frame: _roofline(frame, profile),
        ),
    ]


def typical(shots: Sequence[ShotTiming]) -> ShotTiming:
    """The shot whose time is nearest to the median."""
    middle = quantile([shot.seconds for shot in shots], 0.5)
    return min(shots, key=lambda shot: abs(shot.seconds - middle))


def waterfall_frame(shot: ShotTiming) -> pd.DataFrame:
    """Stage, start and seconds, in order of starts; empty where the spans of an older run do not say when they began."""
    rows: list[dict[str, Any]] = [
        {"stage": s.name, "start_s": s.start_s, "seconds": s.seconds} for s in shot.stages if s.start_s is not None
    ]
    rows = [row for row in rows if row["seconds"] >= 1e-4 * shot.seconds]
    return _frame(sorted(rows, key=lambda row: row["start_s"]))


def timeline_frame(shot: ShotTiming) -> pd.DataFrame:
    """GiB at the end of each stage: of the host, of the device, and the most on the device during it."""
    rows: list[dict[str, Any]] = []
    for stage in shot.stages:
        if stage.start_s is None or ON_HOST not in stage.detail:
            continue
        names = (("host", ON_HOST), ("device", ON_DEVICE), ("device, most", PEAK))
        sizes = {word: stage.detail[name] / GIB for word, name in names if name in stage.detail}
        rows += [{"stage": stage.name, "end_s": stage.start_s + stage.seconds, "memory": word, "gib": gib} for word, gib in sizes.items()]
    return _frame(sorted(rows, key=lambda row: row["end_s"]))


def _frame(rows: Sequence[Any]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(rows))


def _waterfall(frame: pd.DataFrame) -> Any:
    figure, (ax,) = new_axes(7.6, 0.7 + 0.3 * len(frame))
    names = list(dict.fromkeys(frame["stage"]))
    for row, (name, start, seconds) in enumerate(frame[["stage", "start_s", "seconds"]].itertuples(index=False)):
        ax.barh(row, seconds, left=start, height=0.62, color=COLOURS[names.index(name) % len(COLOURS)])
        ax.annotate(f"{number(seconds)} s", (start + seconds, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_yticks(range(len(frame)), list(frame["stage"]))
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.set_xlim(left=0)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("seconds since the shot began")
    return figure


def _timeline(frame: pd.DataFrame) -> Any:
    figure, (ax,) = new_axes(7.6, 2.6)
    styles = run_styles(list(dict.fromkeys(frame["memory"])))
    for name, part in frame.groupby("memory", sort=False):
        ax.plot(part["end_s"], part["gib"], label=name, drawstyle="steps-pre", markersize=4, **styles[str(name)])
    ax.set_ylim(0, 1.15 * frame["gib"].max())
    ax.set_xlabel("seconds since the shot began")
    ax.set_ylabel("GiB")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _steps(frame: pd.DataFrame) -> Any:
    figure, (ax,) = new_axes(7.6, 2.6)
    styles = run_styles(list(dict.fromkeys(frame["expert"])))
    for expert, part in frame.groupby("expert", sort=False):
        ax.plot(
            part["step"], part["median_s"], label=f"{expert} expert" if expert != "only" else "step", markersize=4, **styles[str(expert)]
        )
    ax.set_ylim(0, 1.15 * frame["median_s"].max())
    ax.set_xlabel("step")
    ax.set_ylabel("seconds")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _memory(frame: pd.DataFrame) -> Any:
    figure, (ax,) = new_axes(5.2, 2.8)
    styles = run_styles(["shot_s", "denoise_s"])
    for name, label in (("shot_s", "whole shot"), ("denoise_s", "sampling loop")):
        part = frame[frame[name].notna()]
        ax.plot(part["memory"], part[name], label=label, markersize=4, **styles[name])
    ax.set_ylim(0, 1.15 * frame["shot_s"].max())
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("memory frames")
    ax.set_ylabel("seconds")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _roofline(frame: pd.DataFrame, profile: Profile) -> Any:
    import numpy as np
    from matplotlib.ticker import LogLocator, NullFormatter

    ceiling = profile.ceiling or {}
    top, wide = float(ceiling["flops_per_s"]), float(ceiling["bytes_per_s"])
    ridge = top / wide
    figure, (ax,) = new_axes(5.6, 3.4)
    across = np.geomspace(min(ridge, frame["intensity"].min()) / 4, max(ridge, frame["intensity"].max()) * 4, 100)
    ax.plot(across, np.minimum(top, across * wide) / 1e9, color=INK, linewidth=1.2)
    ax.axvline(ridge, color=GRID, linewidth=0.8, linestyle=":")
    for row, (stage, intensity, speed) in enumerate(frame[["stage", "intensity", "flops_per_s"]].itertuples(index=False)):
        ax.plot(intensity, speed / 1e9, "o", color=COLOURS[row % len(COLOURS)], markersize=6)
        ax.annotate(stage, (intensity, speed / 1e9), xytext=(7, -3), textcoords="offset points", fontsize=8)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("operations per byte")
    ax.set_ylabel("GFLOP/s")
    return figure
