"""`stbench score`: score a run again, or films that were made elsewhere."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stbench.errors import UserError

if TYPE_CHECKING:
    from stbench.adoption.layout import Layout, Source
    from stbench.display import Display

DEFAULT_PROTOCOL = "lite"  # for films made elsewhere: needs no download
SHOWN = 24  # lines of a mapping, files left over; all of it is in mapping.json
_EPILOG = """\b
Examples:
  stbench score runs/memory
  stbench score --videos my-videos --suite my-scripts --out runs/mine
  stbench score --videos films --suite my-scripts --shot-frames 81 --map
  stbench score --videos films --suite my-scripts --detect-cuts --yes

\b
A folder of videos holds <story>/<scene>_<shot>.mp4 (any zero padding), or one
<story>.mp4 per story, cut at given lengths or at detected cuts.
Exit codes: 0 complete, 2 usage, 3 partial: something is missing or left over."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(score)


def score(
    run: Annotated[Path | None, typer.Argument(help="A run folder.", show_default=False)] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Protocol to score under.", show_default="that of the run; lite for --videos")
    ] = None,
    videos: Annotated[Path | None, typer.Option(help="A folder of films made elsewhere.", show_default=False)] = None,
    suite: Annotated[str | None, typer.Option(help="With --videos: the scripts that they film.", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="With --videos: run folder.", show_default="runs/videos-<folder>-<suite>")] = None,
    shot_frames: Annotated[
        str | None, typer.Option(metavar="N[,N...]|FILE", help="Whole films: frames of each shot, or a JSON file.", show_default=False)
    ] = None,
    detect_cuts: Annotated[bool, typer.Option("--detect-cuts", help="Whole films: find the cuts (PySceneDetect).")] = False,
    map_: Annotated[bool, typer.Option("--map", help="Only show which file is which shot.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Trust detected cuts.")] = False,
    frames: Annotated[str, typer.Option(metavar="all|N|auto", help="Frames that stand for a shot; auto reports its error.")] = "all",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Shots that are worked on at the same time.")] = 1,
    half: Annotated[bool, typer.Option("--half", help="Encode in half precision; what that moves is reported.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Score an existing run again, or films made elsewhere; unchanged scores are kept, nothing is filmed."""
    from stbench.cli import _end
    from stbench.config import check_device
    from stbench.display import make_display
    from stbench.scoring import check_frames

    check_frames(frames)
    given = (("frames", frames, "all"), ("workers", workers, 1), ("half", half, False))
    how = {name: value for name, value, usual in given if value != usual}
    if (run is None) == (videos is None):
        raise UserError("give either a run folder or --videos", where="stbench score", hint="stbench score --help")
    if run is not None:
        _refuse(suite, out, shot_frames, detect_cuts, map_)
        with make_display() as display:
            outcome = _again(run, protocol, check_device(device), display, how)
        _end(outcome, json)
    if suite is None:
        raise UserError("--videos needs --suite", where="stbench score", expected="the scripts that the videos film")
    if shot_frames and detect_cuts:
        raise UserError("--shot-frames and --detect-cuts are both given", where="stbench score", expected="one of them")
    layout, loaded = _layout(Path(str(videos)), suite, shot_frames, detect_cuts)
    for line in mapping_lines(layout):
        print(line, file=sys.stderr)
    if map_:
        _show_only(layout, json)
    if layout.guessed and not yes:
        raise UserError("the cuts were detected, not given", where=str(videos), hint="look at the mapping above, then add --yes")
    with make_display() as display:
        asked = (protocol or DEFAULT_PROTOCOL, check_device(device), how)
        outcome, layout = _score_videos(Path(str(videos)), loaded, layout, out, *asked, display)
    for line in trouble_lines(layout):
        print(line, file=sys.stderr)
    _end(outcome, json)


def _refuse(*given: Any) -> None:
    if any(given):
        raise UserError("--suite, --out, --shot-frames, --detect-cuts and --map go with --videos", where="stbench score")


def _again(run: Path, protocol: str | None, device: str, display: Display, how: dict[str, Any]) -> Any:
    from stbench.runner import rescore
    from stbench.store import RunFolder

    return rescore(RunFolder.open(run), protocol=protocol, device=device, display=display, how=how)


def _layout(videos: Path, suite: str, shot_frames: str | None, detect: bool) -> tuple[Layout, Any]:
    from stbench.adoption.cuts import Cutting, cut_films, parse_lengths
    from stbench.adoption.layout import find_layout
    from stbench.suites import load_suite

    loaded = load_suite(suite)
    cutting = Cutting(lengths=parse_lengths(shot_frames) if shot_frames else None, detect=detect)
    return cut_films(find_layout(videos, loaded.stories), loaded.stories, cutting), loaded


def _score_videos(
    videos: Path, suite: Any, layout: Layout, out: Path | None, protocol: str, device: str, how: dict[str, Any], display: Display
) -> tuple[Any, Layout]:
    from stbench.adoption.adopt import adopt, manifest_of
    from stbench.config import resolve_device
    from stbench.runner import rescore
    from stbench.scoring import check_protocol
    from stbench.store import RunFolder

    check_protocol(protocol)
    device = resolve_device(device)
    target = out or Path("runs") / f"videos-{videos.resolve().name}-{suite.name}"
    wanted = manifest_of(videos, suite, protocol=protocol, device=device, out=target)
    layout = adopt(layout, wanted, target, progress=lambda story: display.line(f"  taking over {story}"))
    outcome = rescore(RunFolder.open(target), protocol=protocol, device=device, display=display, how=how)
    return (outcome if layout.whole else replace(outcome, verdict="partial")), layout


def _show_only(layout: Layout, json: bool) -> None:
    import json as json_module

    if json:
        print(json_module.dumps({"verdict": "complete" if layout.whole else "partial", "n": layout.counts()}), flush=True)
    raise typer.Exit(0 if layout.whole else 3)


def mapping_lines(layout: Layout) -> list[str]:
    """The mapping for people: one line per shot, then remarks and counts."""
    lines = [f"  {_shot_line(source)}" for source in layout.sources[:SHOWN]]
    if len(layout.sources) > SHOWN:
        lines.append(f"  … and {len(layout.sources) - SHOWN} more shots; all of them are in mapping.json of the run folder")
    lines += [f"  note: {remark}" for remark in layout.remarks]
    lines += [f"  {_extra_text(layout)}"] if layout.extra else []
    return ["which file is which shot:", *lines, f"  {_counts_text(layout)}"]


def trouble_lines(layout: Layout) -> list[str]:
    """Every shot without a usable video, by story and reason, and every file left over."""
    groups: dict[str, list[str]] = {}
    for source in layout.sources:
        if source.kind:
            groups.setdefault(f"{source.story}: {source.kind} ({source.problem})", []).append(source.shot.id)
    lines = [f"! {why}: {', '.join(shots)}" for why, shots in groups.items()]
    lines += [f"! {_extra_text(layout)}"] if layout.extra else []
    return [*lines, f"videos: {_counts_text(layout)}"] if lines else []


def _shot_line(source: Source) -> str:
    name = f"{source.file.parent.name}/{source.file.name}" if source.file else "-"
    part = f" frames {source.span[0]}..{source.span[1] - 1}" if source.span else ""
    trouble = f"  {(source.kind or '').upper()}: {source.problem}" if source.kind else ""
    return f"{source.story} {source.shot.id}  <-  {name}{part}{trouble}"


def _extra_text(layout: Layout) -> str:
    names = [f"{path.parent.name}/{path.name}" for path in layout.extra[:SHOWN]]
    return "extra: " + ", ".join([*names, f"and {len(layout.extra) - SHOWN} more"] if len(layout.extra) > SHOWN else names)


def _counts_text(layout: Layout) -> str:
    counts = layout.counts()
    parts = [f"{counts['found']} of {counts['shots']} shots"]
    parts += [f"{counts[kind]} {kind}" for kind in ("missing", "short", "unreadable", "twice", "extra") if counts[kind]]
    return ", ".join(parts)
