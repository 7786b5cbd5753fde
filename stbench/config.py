"""What a run was asked to be. Each field is marked: *identity* can change pixels or scores, *runtime* cannot.

A test fails while a field is unmarked, so that nobody adds a setting without deciding what it does to keys and resume.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from stbench.errors import UserError

DEFAULT_SUITE, DEFAULT_MODEL, DEFAULT_PROTOCOL = "world-mini", "world", "world"
POLICIES = ("skip-story", "continue-story", "stop")  # what a shot that keeps failing does to the rest
DEFAULT_POLICY = POLICIES[0]
EXECUTORS = ("local", "ray")  # where stories are filmed


IDENTITY = {"role": "identity"}
RUNTIME = {"role": "runtime"}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The arguments of `stbench run`."""

    method: str = field(metadata=IDENTITY)
    suite: str = field(metadata=IDENTITY, default=DEFAULT_SUITE)
    model: str = field(metadata=IDENTITY, default=DEFAULT_MODEL)
    seed: int = field(metadata=IDENTITY, default=0)
    options: Mapping[str, str] = field(metadata=IDENTITY, default_factory=dict)
    protocol: str = field(metadata=IDENTITY, default=DEFAULT_PROTOCOL)
    references: tuple[str, ...] = field(metadata=IDENTITY, default=())  # pictures that the memory of every story starts with
    out: Path | None = field(default=None, metadata=RUNTIME)
    limit: int | None = field(default=None, metadata=RUNTIME)  # which stories, not how they look
    device: str = field(default="auto", metadata=RUNTIME)
    score: bool = field(default=True, metadata=RUNTIME)
    retries: int = field(default=1, metadata=RUNTIME)  # of a failed shot; each attempt is recorded
    on_error: str = field(default=DEFAULT_POLICY, metadata=RUNTIME)  # a shot made without an earlier one says so in its record
    executor: str = field(default=EXECUTORS[0], metadata=RUNTIME)
    ray_address: str | None = field(default=None, metadata=RUNTIME)
    worker_gpus: float | None = field(default=None, metadata=RUNTIME)  # of one Ray worker; a fraction lets several share one
    worker_memory: float | None = field(default=None, metadata=RUNTIME)  # GB of its machine that one Ray worker needs
    shot_timeout: float | None = field(default=None, metadata=RUNTIME)  # seconds; a worker that is silent longer is ended
    mirror: str | None = field(default=None, metadata=RUNTIME)  # URL of a copy of all finished shots
    workers: int = field(default=1, metadata=RUNTIME)  # processes that film stories at the same time
    score_workers: int = field(default=0, metadata=RUNTIME)  # processes that score finished stories while others are filmed
    gpus: tuple[str, ...] = field(default=(), metadata=RUNTIME)  # one process on each of them
    repeat: int = field(default=1, metadata=RUNTIME)  # film every shot so often in all, and measure the spread
    verify: bool = field(default=False, metadata=RUNTIME)  # a spread fails the command
    json: bool = field(default=False, metadata=RUNTIME)

    @property
    def alone(self) -> bool:
        """One process does everything."""
        return self.executor == EXECUTORS[0] and self.workers == 1 and not self.gpus and self.shot_timeout is None

    def command(self) -> str:
        """The command line that asks for this run, ready to paste."""
        words = ["stbench", "run", "--method", self.method]
        defaults = {f.name: f.default for f in fields(self)}
        for name in (
            "suite",
            "model",
            "seed",
            "protocol",
            "out",
            "limit",
            "retries",
            "on_error",
            "executor",
            "ray_address",
            "workers",
            "worker_gpus",
            "worker_memory",
            "score_workers",
            "shot_timeout",
            "mirror",
            "repeat",
        ):
            value = getattr(self, name)
            if value != defaults[name]:
                words += [f"--{name.replace('_', '-')}", str(value)]
        for key, value in self.options.items():
            words += ["--set", f"{key}={value}"]
        for name in self.references:
            words += ["--reference", name]
        words += ["--gpus", ",".join(self.gpus)] if self.gpus else []
        words += ["--device", self.device] if self.device != "auto" else []
        words += ["--no-score"] if not self.score else []
        words += ["--verify"] if self.verify else []
        words += ["--json"] if self.json else []
        return shlex.join(words)


def parse_options(pairs: Sequence[str]) -> dict[str, str]:
    """`--set key=value` words → a dict.

    Example:
        >>> parse_options(["memory.sink=0", "variant=paper"])
        {'memory.sink': '0', 'variant': 'paper'}
    """
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UserError(f"found {pair!r}", where="--set", expected="key=value")
        if key in options:
            raise UserError(f"{key!r} is given twice", where="--set", expected="each key once")
        options[key] = value.strip()
    return options


def default_out(*, method: str, suite: str, model: str, seed: int, identity_digest: str | None) -> Path:
    """`runs/<method>-<suite>-<model>-s<seed>`, with a hash of the identity if options were set.

    Example:
        >>> default_out(method="frozen", suite="world-mini", model="world", seed=0, identity_digest=None).as_posix()
        'runs/frozen-world-mini-world-s0'
    """
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "_", Path(part).name).strip("._-") or "x" for part in (method, suite, model)]
    suffix = f"-{identity_digest[:8]}" if identity_digest else ""
    return Path("runs") / f"{'-'.join(parts)}-s{seed}{suffix}"


def check_policy(policy: str) -> str:
    """Refuse what is not a policy for failed shots."""
    if policy in POLICIES:
        return policy
    raise UserError(f"found {policy!r}", where="--on-error", expected=" or ".join(POLICIES))


def parse_gpus(text: str | None, *, workers: int, device: str) -> tuple[str, ...]:
    """`--gpus 0,2` → the numbers, as text; a `UserError` for what is no list of different GPUs, or contradicts other flags.

    Example:
        >>> parse_gpus("0, 2", workers=1, device="auto"), parse_gpus(None, workers=4, device="cpu")
        (('0', '2'), ())
    """
    if text is None:
        return ()
    gpus = tuple(part.strip() for part in text.split(","))
    if not all(re.fullmatch(r"\d{1,3}", gpu) for gpu in gpus) or len(set(gpus)) < len(gpus):
        raise UserError(f"found {text!r}", where="--gpus", expected="different numbers, such as 0,1,2,3")
    if workers > 1 or device not in ("auto", "cuda"):
        clash = f"--workers {workers}" if workers > 1 else f"--device {device}"
        raise UserError(f"{clash} is given too", where="--gpus", expected="one of the two: there is one worker on each GPU")
    return gpus


def check_executor(
    executor: str, *, ray_address: str | None, worker_gpus: float | None, worker_memory: float | None, gpus: str | None
) -> str:
    """Refuse what is not an executor, or flags of the other one."""
    if executor not in EXECUTORS:
        raise UserError(f"found {executor!r}", where="--executor", expected=" or ".join(EXECUTORS))
    asked = {"--ray-address": ray_address, "--worker-gpus": worker_gpus, "--worker-memory": worker_memory}
    only_ray = next((flag for flag, value in asked.items() if value is not None), None)
    if executor != "ray" and only_ray:
        raise UserError("it is for --executor ray", where=only_ray, expected="both, or neither")
    if executor == "ray" and gpus:
        raise UserError("Ray chooses the GPUs itself", where="--gpus", expected="--workers N, and --worker-gpus for how many each needs")
    return executor


def check_device(device: str) -> str:
    """Refuse what is not a device name; says nothing about whether it is there."""
    if re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", device):
        return device
    raise UserError(f"found {device!r}", where="--device", expected="auto, cpu, cuda or cuda:N")


def resolve_device(device: str) -> str:
    """`auto` → "cuda" or "cpu"; a GPU that is asked for but missing is a `UserError`. Imports torch only if there may be a GPU."""
    if device == "cpu":
        return device
    maybe = any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd"))
    if maybe:
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    else:
        count = 0
    if device == "auto":
        return "cuda" if count else "cpu"
    number = int(device.partition(":")[2] or 0)
    if number >= count:
        found = f"{count} GPU(s) visible" if count else "no GPU is visible to torch"
        usable = f"auto, cpu or cuda:0..{count - 1}" if count else "auto or cpu"
        raise UserError(f"{device} is asked for, but {found}", where="--device", expected=usable)
    return device
