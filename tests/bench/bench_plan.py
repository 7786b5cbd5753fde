"""Does the plan hold? The world model filmed at several settings, each predicted from one shot of the first.

    python tests/bench/bench_plan.py --runs runs/plan

Runs are kept and continued. A measured time is that of the warm shots, less what they waited for a core, so a busy machine spoils it
less. Nothing here asserts: it prints, and a person judges (the aim is 25%).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from stbench.config import parse_options
from stbench.planning.calibrate import Calibration, run_calibration, shots_of
from stbench.planning.predict import total_s
from stbench.planning.work import Order, costing
from stbench.store import RunFolder

SETTINGS: dict[str, tuple[str, ...]] = {
    "base": (),
    "steps6": ("steps=6",),
    "mem2": ("memory.size=2", "memory.sink=1"),
    "mem0": ("memory.size=0",),
    "nocfg": ("guidance=1",),
}


def film(out: Path, options: tuple[str, ...]) -> RunFolder:
    """One story with the world model."""
    words = [word for option in options for word in ("--set", option)]
    command = [sys.executable, "-m", "stbench.cli", "run", "--method", "storymem", "--suite", "world", "--limit", "1", "--no-score"]
    subprocess.run([*command, "--out", str(out), *words], check=True, capture_output=True)
    return RunFolder.open(out)


def compare(run: RunFolder, options: tuple[str, ...], calibration: Calibration) -> str:
    """One line: mean seconds of the warm shots, measured and predicted."""
    cost = costing(Order(method="storymem", model="world", options=parse_options(options)))
    shots = [shot for shot in shots_of(run) if shot.warm]
    measured = sum(shot.seconds for shot in shots) / len(shots)
    stages = [cost.stages(shot.kind, "resident") for shot in shots]
    predicted = sum(total_s(part, calibration.device, calibration.factors) + calibration.other_s for part in stages) / len(shots)
    return f"{', '.join(options) or 'default':<32} {len(shots):>6} {measured:>10.3f} {predicted:>11.3f} {predicted / measured - 1:>+8.1%}"


def main() -> None:
    """Film what is missing, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/plan"))
    folder = parser.parse_args().runs
    runs = {name: film(folder / name, options) for name, options in SETTINGS.items()}
    calibration = run_calibration(runs["base"])
    print(f"calibrated on {calibration.source}")
    print(f"{'setting':<32} {'shots':>6} {'measured s':>10} {'predicted s':>11} {'error':>8}")
    for name, run in runs.items():
        print(compare(run, SETTINGS[name], calibration))


if __name__ == "__main__":
    main()
