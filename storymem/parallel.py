"""One shot over several GPUs: diffusers' context parallelism (Ulysses) under torchrun.

    torchrun --nproc-per-node 4 -m storymem generate STORY.json
    torchrun --nproc-per-node 4 -m stbench.cli run --method storymem --model wan2.2-a14b

Every process holds the weights and a part of the sequence of tokens. The first process (rank 0) decides and writes; the others wait for
its takes (`serve`), compute their part of each, and throw their copy of the result away. Text encoder and VAE are not split: each
process runs them for itself, so nothing has to be sent but the takes.
"""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch

from stbench.errors import UserError


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes that torchrun started, this one among them."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    def device(self, name: str) -> str:
        """This process's own device: "cuda" becomes the GPU of its rank."""
        return f"cuda:{self.local_rank}" if name.startswith("cuda") and self.size > 1 else name


def world() -> World:
    """From the environment variables of torchrun; one process without them."""
    rank, size, local = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    return World(rank=rank, size=size, local_rank=local)


def join(device: str) -> World:
    """Join the other processes, once per process (a group that was left cannot be joined again); nothing to join for one process."""
    here = world()
    if here.size > 1 and not torch.distributed.is_initialized():
        if device.startswith("cuda"):
            torch.cuda.set_device(here.local_rank)
        # gloo beside nccl: lengths are exchanged on the CPU, without waiting for the GPU
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "cpu:gloo")
        atexit.register(torch.distributed.destroy_process_group)
    return here


def split_sequence(transformer: Any, processes: int) -> None:
    """Let a transformer compute with its tokens split over the processes.

    With NCCL, however many tokens and heads there are. gloo, on CPUs, gathers equal parts only: there the tokens must divide.
    """
    if processes == 1:
        return
    from diffusers import ContextParallelConfig

    config = ContextParallelConfig(ulysses_degree=processes, ulysses_anything=True)
    if torch.accelerator.is_available():
        transformer.enable_parallelism(config=config)
        return
    with mock.patch("torch.accelerator.device_count", return_value=1):  # diffusers divides by it to number the device
        transformer.enable_parallelism(config=config)


def check_tokens(count: int, processes: int, device: str) -> None:
    """Refuse a shot that gloo could not split, before any of it is computed.

    Raises:
        UserError: On a CPU, the tokens do not divide by the processes.
    """
    if device.startswith("cpu") and count % processes:
        parts = [n for n in range(2, 9) if count % n == 0]
        raise UserError(
            f"a shot of {count} tokens does not divide by {processes} processes; on a CPU (gloo) it must",
            where="torchrun",
            expected=f"--nproc-per-node {' or '.join(map(str, parts))}" if parts else "one process",
            hint="GPUs (NCCL) have no such limit",
        )


def tell(message: Any) -> Any:
    """Rank 0's message, in every process."""
    box = [message]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def release(device: str) -> None:
    """Of rank 0: tell the others, who wait for a model to be loaded, that nothing comes any more."""
    if join(device).size > 1:
        tell(None)
