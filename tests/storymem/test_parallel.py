"""One shot over two processes equals the shot of one process: diffusers' context parallelism with gloo on a CPU.

Starting processes is slow, so one test does it; a whole `stbench run` under torchrun is in tests/bench/bench_parallel.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from split_shot import main

from stbench.errors import UserError
from storymem.parallel import World, check_tokens
from storymem.verify.models import rel_l2

HERE = Path(__file__).parent
TWO = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]


def test_two_processes_sample_the_latents_of_one(tiny_model: Path, tmp_path: Path) -> None:
    main(str(tiny_model), str(tmp_path / "one.pt"))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE.parents[1]}:{HERE}"}
    words = [*TWO, str(HERE / "split_shot.py"), str(tiny_model), str(tmp_path / "two.pt")]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("one", "two"))
    assert rel_l2(two, one) <= 1e-5


def test_each_process_has_its_own_gpu() -> None:
    assert World(rank=5, size=8, local_rank=1).device("cuda") == "cuda:1"
    assert World().device("cuda") == "cuda"
    assert World(rank=1, size=2, local_rank=1).device("cpu") == "cpu"


def test_tokens_that_gloo_cannot_split_are_refused_before_they_are_computed() -> None:
    with pytest.raises(UserError, match=r"75 tokens does not divide by 2 processes.*--nproc-per-node 3 or 5"):
        check_tokens(75, 2, "cpu")
    check_tokens(75, 3, "cpu")
    check_tokens(75, 2, "cuda:1")
    check_tokens(75, 1, "cpu")
