"""`world-truth`: renders what a Story World script means. The upper bound, and the yardstick of the metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stbench.errors import UserError
from stbench.methods import MethodCard, ShotRequest, ShotResult

VERSION = 1
MODEL = "world"
RENDERER = ("spec.py", "places.py", "sprites.py", "render.py")  # files of stbench/world that draw


class WorldTruth:
    """Renders the ground truth of Story World's scripts: the upper bound of every truth metric. Needs no model."""

    name = "world-truth"

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> WorldTruth:
        """There is nothing to choose."""
        if model != MODEL:
            raise UserError(f"--model {model} was given", where=cls.name, expected=f"--model {MODEL}, since it renders")
        if options:
            raise UserError(f"unknown option {sorted(options)[0]!r}", where=f"--set of {cls.name}", expected="no options")
        return cls()

    def identity(self) -> Mapping[str, Any]:
        """Version, and a digest of the code that draws: any change of it may change pixels."""
        import stbench.world

        folder = Path(str(stbench.world.__file__)).parent
        hasher = hashlib.sha256()
        for name in RENDERER:
            hasher.update(name.encode() + b"\n" + (folder / name).read_bytes())
        return {"method": self.name, "version": VERSION, "renderer": hasher.hexdigest()}

    def describe(self) -> str:
        """One line."""
        return "world-truth: renders the ground truth of Story World's scripts; the upper bound; no model"

    def card(self) -> MethodCard:
        """What tables say of it."""
        return MethodCard(base_model="none: a renderer", licence="Apache-2.0")

    @contextmanager
    def open(self, device: str) -> Iterator[WorldTruthShots]:
        """Nothing to load."""
        yield WorldTruthShots()


class WorldTruthShots:
    """The renderer at work."""

    def shot(self, request: ShotRequest) -> ShotResult:
        """Render one shot; one that continues the previous drops its first frame, which is the previous one's last."""
        from stbench.world.render import render_shot
        from stbench.world.spec import FPS, ShotTruth

        shot, where = request.shot, f"story {request.story.id} shot {request.shot.id}"
        if shot.truth is None:
            raise UserError("carries no ground truth", where=where, expected="a Story World suite", hint="try --suite world-mini")
        try:
            truth = ShotTruth.from_json(dict(shot.truth))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"its truth is not a shot of Story World ({error})", where=where) from error
        frames = render_shot(truth).frames
        return ShotResult(frames=frames if shot.cut else frames[1:], fps=FPS, notes={"mode": "render"})
