"""A method of a few pixels that drives the whole pipeline in milliseconds, and a scorer and reporter to match."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from contextlib import contextmanager

import numpy as np

from stbench.errors import UserError
from stbench.methods import ShotResult, Span
from stbench.scores import Score
from stbench.video import read_png

OPENED: list[str] = []  # devices that models were loaded on
MADE: list[str] = []  # shots that were asked for
SCORED: list[str] = []  # metrics that were computed, not reused


class Fake:
    """Moving stripes; the colour depends on the seed and on the last frame of the previous shot."""

    name = "fake"

    def __init__(self, options):
        self.options = dict(options)

    @classmethod
    def from_options(cls, *, model, options):
        for key in options:
            if key not in ("strength",):
                raise UserError(f"unknown option {key!r}", where="--set of fake", expected="strength")
        if model != "world":
            raise UserError(f"no model {model!r}", where="--model", expected="world")
        return cls(options)

    def identity(self):
        return {"method": "fake", "version": 1, "options": self.options}

    def describe(self):
        return "fake: stripes"

    def story_notes(self, story):
        return f"{story.id}: only stripes"

    @contextmanager
    def open(self, device):
        OPENED.append(device)
        yield FakeShots()


class FakeShots:
    """FAKE_* environment variables name "<story> <shot>" at which something happens; they are not part of the identity."""

    def shot(self, request):
        here = f"{request.story.id} {request.shot.id}"
        MADE.append(here)
        note(here)
        assert request.story.shots[-1] == request.shot, "a method must not see later shots"
        if os.environ.get("FAKE_KILL") == here:
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get("FAKE_INTERRUPT") == here:
            raise KeyboardInterrupt
        if os.environ.get("FAKE_FAIL") == here or (os.environ.get("FAKE_FAIL_ONCE") == here and MADE.count(here) == 1):
            raise RuntimeError("CUDA out of memory\nsecond line")
        if (once := os.environ.get("FAKE_ONCE")) and once.endswith(here):
            what, marker, _ = once.split(" ", 2)
            strike(what, marker)
        if sleep_s := float(os.environ.get("FAKE_SLEEP", "0")):
            time.sleep(sleep_s)
            note(here, ".slept")
        frames = stripes(request)
        if os.environ.get("FAKE_BAD", "").startswith(here):
            frames = spoil(frames, os.environ["FAKE_BAD"].split()[-1])
        return ShotResult(
            frames=frames,
            fps=8.0,
            keyframes=(2, 0),
            tail=1,
            spans=(Span(stage="denoise", seconds=0.25),),
            notes={"memory": len(request.finished)},
        )


def strike(what: str, marker: str) -> None:
    """The first time that anybody gets here: hang, kill this worker or its driver, or press Ctrl-C there."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        if torn := os.environ.get("FAKE_TORN"):  # a file that the victim had begun to write
            os.close(os.open(torn, os.O_CREAT))
        if what == "hang":
            threading.Event().wait()
        if what == "worker":
            os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getppid(), {"driver": signal.SIGKILL, "ctrl-c": signal.SIGINT}[what])
        if what == "driver":
            threading.Event().wait()  # the shot is never finished: without its driver the worker ends


def note(here: str, when: str = "") -> None:
    """In the file FAKE_LOG, one line for each shot that was asked for: by which process, and the processor time that it has used.

    In FAKE_LOG.slept the same when it wakes: what a process uses while a shot sleeps is no shot's overhead.
    """
    if os.environ.get("FAKE_LOG"):
        with open(os.environ["FAKE_LOG"] + when, "a") as log:  # noqa: PTH123 (opened to append: short lines of several processes do not mix)
            log.write(f"{here} {os.getpid()} {time.process_time():.4f}\n")


def stripes(request) -> np.ndarray:
    rng = np.random.default_rng(request.seed)
    colours = rng.integers(60, 200, size=(2, 3))
    if request.finished:
        colours[0] = read_png(request.finished[-1].tail[0])[0, 0]
    frames = np.empty((6, 16, 24, 3), np.uint8)
    for k in range(6):
        frames[k] = np.where((np.arange(24) + k)[None, :, None] // 4 % 2 == 0, colours[0], colours[1])
    return frames


def spoil(frames: np.ndarray, how: str) -> np.ndarray:
    return {
        "frames-uint8": frames.astype(np.float32),
        "frames-shape": frames[:, :, :, :1],
        "not-black": np.zeros_like(frames),
        "not-constant": np.full_like(frames, 90),
    }[how]


def score_run(run, *, protocol, device, progress):
    """Mean brightness of every shot, with a cache by key."""
    known = {row.key: row for row in run.scores()}
    rows = []
    for part in run.story_records():
        records = {record.shot: record for record in part.records}
        for shot in part.story.shots:
            record = records.get(shot.id)
            key = f"brightness-{part.story.id}-{shot.id}-{record.video.sha256}" if record else "missing"
            if record and key in known:
                rows.append(known[key])
                continue
            if record:
                SCORED.append(f"{part.story.id} {shot.id}")
            if progress:
                progress(len(rows), 99, shot.id)
            rows.append(
                Score(
                    metric="brightness",
                    version=1,
                    unit="share",
                    higher_is_better=True,
                    protocol=protocol,
                    story=part.story.id,
                    shot=shot.id,
                    value=float(run.read_frames(record).mean() / 255) if record else None,
                    reason=None if record else "the shot was not made",
                    encoder=None,
                    encoder_digest=None,
                    key=key,
                )
            )
    return rows


def write_report(runs, out, **wanted):
    out.mkdir(parents=True, exist_ok=True)
    table = out / "table.md"
    table.write_text("".join(f"{run.name}\n" for run in runs))
    return {"table": table}


class _Protocols:
    @staticmethod
    def target(name):
        if name != "world":
            raise UserError(f"unknown protocol {name!r}", expected="one of: world")


PROTOCOLS = _Protocols()


def install() -> None:
    """Register the fakes; used by the tests, and by the processes that they start."""
    import stbench.scoring
    from stbench.methods import METHODS
    from stbench.registry import Registry

    METHODS.add("fake", "fake_methods:Fake")
    stbench.scoring.PROTOCOLS = "fake_methods"
    for name, target in (("SCORERS", "score_run"), ("REPORTERS", "write_report")):
        registry = Registry("fake")
        registry.add({"SCORERS": "metrics", "REPORTERS": "reports"}[name], f"fake_methods:{target}")
        setattr(stbench.scoring, name, registry)
