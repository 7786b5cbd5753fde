"""The loop all trainings share: seeded steps, a JSONL log, checkpoints that a later process continues from, a curve.

Step k always sees the same data: its random generators are derived from (seed, k), so a resumed training equals an
uninterrupted one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from storymem.training.optim import Optimizers

StepFn = Callable[[int, np.random.Generator, torch.Generator], tuple[torch.Tensor, Mapping[str, float]]]


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How long and how often. `out` receives checkpoint.pt, log.jsonl and curve.png."""

    out: Path
    steps: int
    seed: int = 0
    log_every: int = 20
    save_every_s: float = 120.0


def run_loop(model: nn.Module, optim: Optimizers, step_fn: StepFn, settings: LoopSettings) -> float:
    """Train to `settings.steps`; returns the seconds spent, earlier processes included.

    Args:
        model: Its trainable parameters (and nothing else) are checkpointed.
        optim: Built on `model`.
        step_fn: (step, numpy generator, torch generator) → (loss, figures to log).
        settings: Where and how long.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    checkpoint = settings.out / "checkpoint.pt"
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    start, spent = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        with torch.no_grad():
            for name, p in trainable.items():
                p.copy_(saved["model"][name])
        optim.load_state_dict(saved["optim"])
        start, spent = saved["step"], saved["seconds"]

    def save(step: int) -> None:
        state = {"model": {n: p.detach() for n, p in trainable.items()}, "optim": optim.state_dict()}
        torch.save({**state, "step": step, "seconds": spent + time.monotonic() - began}, checkpoint.with_suffix(".tmp"))
        checkpoint.with_suffix(".tmp").replace(checkpoint)

    began = last_save = time.monotonic()
    sums: dict[str, list[float]] = {}
    for step in range(start, settings.steps):
        noise = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        loss, figures = step_fn(step, np.random.default_rng((settings.seed, step)), noise)
        loss.backward()
        for key, value in {"loss": float(loss.detach()), "grad": optim.step(step), **figures}.items():
            sums.setdefault(key, []).append(value)
        now = time.monotonic()
        if (step + 1) % settings.log_every == 0 or step + 1 == settings.steps:
            row = {"step": step + 1, "seconds": round(spent + now - began, 1)} | {k: float(np.mean(v)) for k, v in sums.items()}
            with (settings.out / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
            sums = {}
        if now - last_save > settings.save_every_s or step + 1 == settings.steps:
            save(step + 1)
            last_save = now
    return spent + time.monotonic() - began


def draw_curve(out: Path, *, title: str) -> Path:
    """log.jsonl → curve.png with every logged figure against the step."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = {r["step"]: r for r in map(json.loads, (out / "log.jsonl").read_text().splitlines())}
    keys = sorted({k for r in rows.values() for k in r} - {"step", "seconds", "grad"})
    fig, axes = plt.subplots(len(keys), 1, figsize=(7, 1.6 * len(keys) + 0.6), sharex=True, squeeze=False)
    for ax, key in zip(axes[:, 0], keys, strict=True):
        points = [(s, r[key]) for s, r in sorted(rows.items()) if key in r]
        ax.plot(*zip(*points, strict=True), lw=1)
        ax.set_ylabel(key, fontsize=8)
        ax.grid(alpha=0.3)
    axes[0, 0].set_title(title)
    axes[-1, 0].set_xlabel("step")
    fig.tight_layout()
    fig.savefig(out / "curve.png", dpi=90)
    plt.close(fig)
    return out / "curve.png"
