"""`stbench run` under torchrun with two processes on a CPU films what one process films: `python tests/bench/bench_parallel.py`.

Prints the largest difference of a pixel per shot; exits 1 above 1. Runs the second command twice: a finished run lets its helpers go.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "storymem")]
TWO = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]


def main() -> int:
    """Film three times, compare."""
    from tiny import make_tiny_model
    from tiny_wan import write_script

    from stbench.video import read_mp4

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = make_tiny_model(folder / "tiny")
        write_script(folder)
        words = [
            "-m",
            "stbench.cli",
            "run",
            "--method",
            "storymem",
            "--model",
            str(model),
            "--suite",
            "walk.json",
            "--no-score",
            "--device",
            "cpu",
        ]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        for launcher, out in (([], "one"), (TWO, "two"), (TWO, "two")):
            subprocess.run([sys.executable, *launcher, *words, "--out", out], cwd=folder, env=env, check=True)
        worst = 0
        for shot in ("01_01", "01_02"):
            one, two = (read_mp4(folder / out / "shots" / "walk" / f"{shot}.mp4")[0].astype(int) for out in ("one", "two"))
            worst = max(worst, int(abs(one - two).max()))
            print(f"{shot}: largest difference of a pixel {int(abs(one - two).max())}")
        return int(worst > 1)


if __name__ == "__main__":
    sys.exit(main())
