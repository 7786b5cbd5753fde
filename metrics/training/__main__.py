"""Train one world encoder: `python -m metrics.training clip|dino --out DIR --minutes M --seed 0 [--steps N] [--threads N]`.

The state (checkpoint, log, curve) goes to DIR; the finished model to `--model` (default DIR/model). The same command
continues an interrupted training; `--init` starts a second stage (half the learning rate) from a finished one.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from metrics.training.clip import ClipTask
from metrics.training.data import make_pool
from metrics.training.dino import DinoTask
from metrics.training.export import export
from metrics.training.loop import Plan, fit


def main() -> None:
    """Parse, render, train, measure, save."""
    parser = argparse.ArgumentParser(prog="python -m metrics.training", description=__doc__)
    parser.add_argument("what", choices=("clip", "dino"))
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint, log and curve")
    parser.add_argument("--model", type=Path, help="folder of the finished model (default: OUT/model)")
    parser.add_argument("--minutes", type=float, default=8.0, help="training time; the number of steps is planned from it")
    parser.add_argument("--steps", type=int, help="train exactly so many steps instead (to repeat a training)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, default=4096, help="rendered training clips")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--init", type=Path, help="start from the checkpoint in this folder of an earlier training (clip only)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    start = time.monotonic()
    pool = make_pool(args.clips, seed=args.seed, progress=lambda i, n: print(f"rendered {i}/{n}", flush=True))
    rendered_s = time.monotonic() - start
    task = ClipTask(pool, seed=args.seed) if args.what == "clip" else DinoTask(pool, seed=args.seed)
    if args.init:
        task.net.load_state_dict(torch.load(args.init / "checkpoint.pt", weights_only=True)["net"])
        task.lr /= 2
    done = fit(task, Plan(out=args.out, seed=args.seed, minutes=args.minutes, steps=args.steps))
    settings = {"seed": args.seed, "clips": args.clips, "threads": args.threads, "init": args.init and args.init.name}
    done["rendering seconds"] = round(rendered_s)
    export(task, settings=settings, done=done, out=args.out, model=args.model or args.out / "model")


if __name__ == "__main__":
    main()
