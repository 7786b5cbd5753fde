"""Film some shots for their times: a run folder of its own, with the device's ceiling measured before and after in the same process.

The stories are the first of a suite, cut off after so many shots; their scripts stay beside the run folder, in `<run>-scripts`, so that the
command which the run notes can be repeated (`stbench baseline --aa` does). Nothing is scored. A trace is of a shot that is made apart,
after the timing, so that the profiler slows no shot that counts.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.claim import locked
from stbench.config import RunConfig, check_device, default_out, resolve_device
from stbench.errors import UserError
from stbench.files import make_folder
from stbench.journal import Journal
from stbench.methods import METHODS, FinishedShot, ShotRequest
from stbench.profiling.ceiling import measure_ceiling
from stbench.store import RunFolder
from stbench.suites import load_suite
from stbench.timing import CEILING

if TYPE_CHECKING:
    from stbench.display import Display
    from stbench.story import Story


@dataclass(frozen=True, kw_only=True)
class Filming:
    """What to film for a profile."""

    method: str
    shots: int
    suite: str = "world-mini"
    model: str = "world"
    seed: int = 0
    device: str = "auto"
    options: dict[str, str] = field(default_factory=dict)
    out: Path | None = None


def film(wanted: Filming, display: Display) -> RunFolder:
    """Film the shots and measure the ceiling; returns the run folder.

    Raises:
        UserError: The suite has fewer shots, or the folder is not empty.
    """
    from stbench.runner import run

    device = resolve_device(check_device(wanted.device))
    out = wanted.out or _free_name(wanted)
    for place in (out, scripts_of(out)):
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise UserError("is not empty", where=str(place), expected="a new folder: a profile times shots that it makes itself")
    METHODS.get(wanted.method).from_options(model=wanted.model, options=wanted.options)  # a mistake is told before the ceiling is measured
    ceilings = [measure_ceiling(device)]
    suite = scripts_of(out) / Path(wanted.suite).stem
    _write_scripts(suite, wanted)
    config = RunConfig(
        method=wanted.method,
        suite=str(suite),
        model=wanted.model,
        seed=wanted.seed,
        options=wanted.options,
        out=out,
        device=device,
        score=False,
    )
    run(config, display)
    ceilings.append(measure_ceiling(device))
    with locked(out), closing(Journal(RunFolder.open(out).timing_path, time.time)) as timing:
        for ceiling in ceilings:
            timing.add(CEILING, device=device, **ceiling.to_json())
    return RunFolder.open(out)


def _free_name(wanted: Filming) -> Path:
    usual = default_out(method=wanted.method, suite="profile", model=wanted.model, seed=wanted.seed, identity_digest=None)
    names = itertools.chain([usual], (usual.with_name(f"{usual.name}-{number}") for number in itertools.count(2)))
    return next(name for name in names if not name.exists() and not scripts_of(name).exists())


def scripts_of(out: Path) -> Path:
    """Where the scripts of a profile's run are, the suite's name below."""
    return out.with_name(f"{out.name}-scripts")


def _write_scripts(folder: Path, wanted: Filming) -> None:
    """The first stories of the suite, the last one cut off, as scripts."""
    left = wanted.shots
    suite = load_suite(wanted.suite)
    if suite.shots < left:
        raise UserError(f"{left} shots are asked for, and the suite {wanted.suite} has {suite.shots}", where="--shots")
    make_folder(folder)
    for story in suite.stories:
        if left > 0:
            (folder / f"{story.id}.json").write_text(json.dumps(script_of(story, story.shots[:left])), encoding="utf-8")
            left -= len(story.shots)


def script_of(story: Story, shots: Sequence[Any]) -> dict[str, Any]:
    """Some shots of a story as a script in ST-Bench's form."""
    scenes = [
        {"scene_num": scene, "video_prompts": [shot.prompt for shot in group], "cut": [shot.cut for shot in group]}
        for scene, group in ((scene, list(part)) for scene, part in itertools.groupby(shots, key=lambda shot: shot.scene))
    ]
    return {"story_name": story.name, "story_overview": story.overview, "scenes": scenes}


def trace(run: RunFolder, path: Path) -> Path:
    """Make the run's last shot twice more, once to warm up and once under torch's profiler; writes a trace for chrome://tracing."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    manifest = run.manifest
    request = last_request(run)
    method = METHODS.get(manifest.method).from_options(model=manifest.model, options=manifest.options)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * manifest.device.startswith("cuda")
    with method.open(manifest.device) as maker, torch.no_grad():
        if prepare := getattr(maker, "prepare", None):
            prepare(run.stories)
        maker.shot(request)
        with profile(activities=activities) as profiler:
            maker.shot(request)
    path.parent.mkdir(parents=True, exist_ok=True)
    profiler.export_chrome_trace(str(path))
    return path


def last_request(run: RunFolder) -> ShotRequest:
    """What was asked for when the last shot of the run's longest story was made."""
    part = max(run.story_records(), key=lambda part: len(part.records))
    if not part.records:
        raise UserError("has no finished shot", where=str(run.path))
    *before, last = part.records
    story = part.story
    return ShotRequest(
        story=replace(story, shots=story.shots[: last.index + 1]),
        shot=story.shots[last.index],
        seed=last.seed,
        finished=tuple(
            FinishedShot(
                shot=story.shots[record.index],
                video=run.shot_video(record),
                keyframes=run.keyframe_paths(record),
                tail=run.tail_paths(record),
            )
            for record in before
        ),
    )
