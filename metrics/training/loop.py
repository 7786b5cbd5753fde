"""The training loop both encoders share: AdamW, warm-up and cosine, checkpoints with resume, a log, a curve.

The budget is given in minutes; the loop times its first steps, plans the number of steps, and writes it down: `--steps`
with that number repeats the run exactly. Every step draws from a generator seeded by (seed, step), so a resumed
training sees the data that an uninterrupted one would have seen.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

WARM_UP_STEPS, TIMED_STEPS, CHECKPOINT_S = 40, 12, 60.0


class Task(Protocol):
    """What is trained."""

    net: nn.Module  # everything that a checkpoint must hold
    lr: float
    weight_decay: float

    def parameters(self) -> Iterator[nn.Parameter]:
        """What the optimiser moves."""
        ...

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch; `progress` in 0..1."""
        ...

    def after_step(self, progress: float) -> None:
        """Moving averages and the like."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long to train, and where the state is kept."""

    out: Path
    seed: int
    minutes: float
    steps: int | None = None


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up, then half a cosine down to 1% of the peak."""
    if step < WARM_UP_STEPS:
        return peak * (step + 1) / WARM_UP_STEPS
    part = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))


def _optimizer(task: Task) -> torch.optim.AdamW:
    weights = list(task.parameters())
    groups = [
        {"params": [p for p in weights if p.ndim >= 2], "weight_decay": task.weight_decay},
        {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=task.lr, betas=(0.9, 0.98))


def _save(path: Path, state: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def fit(task: Task, plan: Plan) -> dict[str, Any]:
    """Train until the planned steps are done; returns {"steps", "seconds", "loss"}."""
    plan.out.mkdir(parents=True, exist_ok=True)
    saved, log_path = plan.out / "checkpoint.pt", plan.out / "log.jsonl"
    optimizer, step, steps, spent = _optimizer(task), 0, plan.steps, 0.0
    if saved.is_file():
        state = torch.load(saved, weights_only=True)
        task.net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        step, steps, spent = state["step"], plan.steps or state["steps"], state["seconds"]
        print(f"resumed at step {step} of {steps}", flush=True)
    start, saved_at, logs = time.monotonic() - spent, time.monotonic(), {"loss": float("nan")}
    with log_path.open("a") as log:
        while steps is None or step < steps:
            progress = step / steps if steps else 0.0
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps or 10_000, task.lr)
            generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
            loss, logs = task.loss(generator, progress)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(list(task.parameters()), 1.0)
            optimizer.step()
            task.after_step(progress)
            step += 1
            spent = time.monotonic() - start
            if steps is None and step == TIMED_STEPS:
                steps = max(step + 1, int(plan.minutes * 60 / spent * step))
                print(f"{spent / step:.2f} s a step: {steps} steps planned", flush=True)
            if step % 20 == 0 or step == steps:
                row = {"step": step, "seconds": round(spent, 1), **{k: round(v, 4) for k, v in logs.items()}}
                log.write(json.dumps(row) + "\n")
                log.flush()
                print(row, flush=True)
            if time.monotonic() - saved_at > CHECKPOINT_S or step == steps:
                state = {"net": task.net.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "steps": steps, "seconds": spent}
                _save(saved, state)
                saved_at = time.monotonic()
    return {"steps": step, "seconds": round(spent), "loss": round(float(logs["loss"]), 4)}
