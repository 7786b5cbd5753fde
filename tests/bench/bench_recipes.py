"""What a speed recipe costs in quality, beside its speed, on Story World: `python tests/bench/bench_recipes.py [--stories N] [--json]`.

Films the first stories of the suite `world` once per recipe, with the same seeds, and prints seconds of denoising per shot (the
first shot of a run left out), how far the frames are from the exact ones (PSNR of first shots, which no earlier shot has changed),
and scores. No few-step adapter exists for the world model, so `lightning` stands here as its sampling without its adapter: the
price that the adapter has to win back. On a small model on a CPU a recipe may be slower than `exact`; nothing is judged.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from stbench.video import read_mp4

RECIPES = {
    "exact": (),
    "cache, 0.05": ("recipe=cache",),
    "cache, 0.2": ("recipe=cache", "cache.threshold=0.2"),
    "fp8": ("recipe=fp8",),
    "4 steps, no guidance": ("steps=4", "guidance=1"),
}
SCORES = ("truth_colour_kept", "cross_shot_appearance", "prompt_following_single_shot", "truth_action")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One recipe."""

    recipe: str
    denoise_s: float
    times_faster: float
    psnr_db: float | None  # None: the same frames
    scores: dict[str, float | None]


def film(out: Path, options: tuple[str, ...], stories: int) -> dict[str, float | None]:
    """Film and score; the means."""
    words = ["run", "--method", "storymem", "--suite", "world", "--limit", str(stories), "--device", "cpu", "--out", str(out), "--json"]
    words += [word for option in options for word in ("--set", option)]
    line = [sys.executable, "-c", "from stbench.cli import main; main()", *words]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    return {score["metric"]: score["mean"] for score in json.loads(done.stdout)["scores"] if score["metric"] in SCORES}


def denoise_s(run: Path) -> float:
    """Median seconds of denoising per shot, without the first shot."""
    rows = [json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()]
    shots: dict[tuple[str, str], float] = {}
    for row in rows:
        if row.get("stage") == "denoise":
            key = (row["story"], row["shot"])
            shots[key] = shots.get(key, 0.0) + row["seconds"]
    return statistics.median(list(shots.values())[1:])


def psnr_db(exact: Path, other: Path) -> float | None:
    """Of the first shot of each story; None where they are equal."""
    firsts = [sorted(folder.glob("*.mp4"))[0].relative_to(exact) for folder in sorted((exact / "shots").iterdir())]
    pairs = [(read_mp4(exact / path)[0].astype(float), read_mp4(other / path)[0].astype(float)) for path in firsts]
    error = float(np.mean([np.mean((one - two) ** 2) for one, two in pairs]))
    return None if error == 0 else float(10 * np.log10(255**2 / error))


def main() -> int:
    """Film, measure, print."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--stories", type=int, default=1)
    words.add_argument("--json", action="store_true")
    given = words.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        for number, (recipe, options) in enumerate(RECIPES.items()):
            if recipe == "fp8" and find_spec("torchao") is None:
                print("fp8: left out, torchao is not installed", file=sys.stderr)
                continue
            out = Path(name) / f"{number}"
            scores = film(out, options, given.stories)
            seconds, first = denoise_s(out), Path(name) / "0"
            faster = denoise_s(first) / seconds
            rows.append(Row(recipe=recipe, denoise_s=seconds, times_faster=faster, psnr_db=psnr_db(first, out), scores=scores))
            print(f"{recipe}: filmed", file=sys.stderr, flush=True)
    if given.json:
        print(json.dumps({"recipes": [asdict(row) for row in rows]}))
        return 0
    print(f"{'recipe':<22}{'denoise s':>10}{'faster':>8}{'PSNR dB':>9}  " + "  ".join(f"{name:>28}" for name in SCORES))
    for row in rows:
        psnr = "same" if row.psnr_db is None else f"{row.psnr_db:.1f}"
        values = (row.scores.get(name) for name in SCORES)
        shown = "  ".join(f"{'-' if value is None else f'{value:.3f}':>28}" for value in values)
        print(f"{row.recipe:<22}{row.denoise_s:>10.2f}{row.times_faster:>7.2f}x{psnr:>9}  {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
