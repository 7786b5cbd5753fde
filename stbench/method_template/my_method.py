"""my-method: moving stripes, to be replaced by yours. Everything that changes pixels belongs into `identity`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from stbench.errors import UserError
from stbench.methods import MethodCard, ShotRequest, ShotResult


class MyMethod:
    """My method: one line for `stbench list methods`."""

    name = "my-method"

    @classmethod
    def from_options(cls, *, model: str, options: Mapping[str, str]) -> MyMethod:
        """Build from `--model` and `--set`; load nothing yet."""
        if options:
            raise UserError(f"unknown option {sorted(options)[0]!r}", where="--set of my-method", expected="no options")
        return cls()

    def identity(self) -> Mapping[str, Any]:
        """Options, the sha256 of weights, and a version to raise when the same of these could give other pixels."""
        return {"method": self.name, "version": 1}

    def describe(self) -> str:
        """One line for the header of a run."""
        return "my-method: stripes"

    def card(self) -> MethodCard:
        """What tables say of it."""
        return MethodCard(base_model="none", licence="Apache-2.0")

    @contextmanager
    def open(self, device: str) -> Iterator[MyMethod]:
        """Load models on the device before the yield, free them after it."""
        yield self

    def shot(self, request: ShotRequest) -> ShotResult:
        """Make one shot from request.shot.prompt, request.seed and the files of request.finished, and from nothing else."""
        colour = np.random.default_rng(request.seed).integers(60, 200, size=3)
        stripes = (np.arange(80)[None, :] + np.arange(16)[:, None]) // 4 % 2 == 0
        frames = np.where(stripes[:, None, :, None], colour, 20).astype(np.uint8).repeat(48, axis=1)
        return ShotResult(frames=frames, fps=8.0)  # frames: (F, H, W, 3) uint8
