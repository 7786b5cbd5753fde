"""Workers as Ray actors: each holds the loaded models; a story is a task of one of them. Ray places them, on one machine or many.

The run folder must be the same path on every machine (NFS, Lustre, a mounted volume). An actor that is lost, with its machine or alone,
costs the shot in progress. With the driver its actors end too, and the same command goes on.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.errors import UserError
from stbench.executors.fleet import Busy, Ended, Lost, Message, Ready, Refused, Task

if TYPE_CHECKING:
    from stbench.story import Story

CARRIED = ("OMP_NUM_THREADS", "HF_HOME", "HF_HUB_OFFLINE", "AWS_ENDPOINT_URL")  # settings that workers share with the driver; no secrets
OBJECT_STORE_BYTES = 80 * 2**20  # of a cluster that we start: only messages pass through it


class RayFleet:
    """A `Fleet` of Ray actors.

    Args:
        task: What the run is.
        size: How many workers.
        address: Of a running cluster, as `ray.init` takes it; None starts one on this machine and ends it again.
        gpus_each: GPUs of one worker; a fraction lets several share one. 0 for CPU.
        memory_bytes_each: Memory of the machine that one worker needs; Ray places no more workers on a machine than fit.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, task: Task, *, size: int, address: str | None, gpus_each: float, memory_bytes_each: int | None = None):
        self._ray = _connect(size, address)
        self._task, self.size, self._gpus_each = task, size, gpus_each
        self._actors: dict[str, Any] = {}
        self._heard: dict[str, Any] = {}  # worker → what it is asked: a reference, or a generator of them
        self._count = 0
        self._class = self._ray.remote(num_cpus=1, num_gpus=gpus_each, memory=memory_bytes_each, max_restarts=0, max_concurrency=2)(Actor)

    def start(self) -> str:
        """One more actor; it is ready once Ray has found a place for it and it has started."""
        from stbench.executors.worker import new_name

        name = new_name(self._count)
        self._count += 1
        self._actors[name] = self._class.remote(self._task, name)
        self._heard[name] = self._actors[name].ready.remote()
        return name

    def film(self, worker: str, story: Story) -> None:
        """Give an actor a story; what it says comes one message at a time."""
        self._heard[worker] = self._actors[worker].film.options(num_returns="streaming").remote(story)

    def end(self, worker: str) -> None:
        """Kill an actor; whoever waits for what it says is told by Ray."""
        self._ray.kill(self._actors[worker], no_restart=True)

    def halt(self, reason: str) -> None:
        """Tell all of them to begin no new shot; one that is gone need not hear it."""
        for actor in self._actors.values():
            actor.halt.remote(reason)

    def wait(self, timeout_s: float) -> list[Message]:
        """At most one message of each actor."""
        if not self._heard:
            time.sleep(timeout_s)
            return []
        asked = {id(what): worker for worker, what in self._heard.items()}
        pending = list(self._heard.values())
        if not self._ray.wait(pending, num_returns=1, timeout=timeout_s)[0]:
            return []
        ready, _ = self._ray.wait(pending, num_returns=len(pending), timeout=0)
        return [message for what in ready for message in self._hear(asked[id(what)], what)]

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def close(self) -> None:
        """End every actor now, and the cluster if it is ours."""
        for worker in list(self._actors):
            self._remove(worker)
        self._ray.shutdown()

    def _hear(self, worker: str, what: Any) -> Iterator[Message]:
        from ray.exceptions import RayError

        try:
            message = self._ray.get(next(what) if hasattr(what, "__next__") else what)
        except StopIteration:
            self._heard.pop(worker, None)
            return
        except RayError as error:
            self._remove(worker)
            yield Lost(worker=worker, reason=in_short(str(error)))
            return
        if isinstance(message, Ready | Ended | Busy | Refused):
            self._heard.pop(worker, None)  # nothing more is coming until it is asked again
        yield message

    def _remove(self, worker: str) -> None:
        self._heard.pop(worker, None)
        actor = self._actors.pop(worker)
        with contextlib.suppress(Exception):  # whatever Ray says, it is not ours any more
            self._ray.kill(actor, no_restart=True)


class Actor:
    """In the cluster: a worker, and a thread that films so that `halt` is heard meanwhile."""

    def __init__(self, task: Task, name: str):
        from stbench.executors.worker import Worker

        self._said: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._name = name
        self._worker: Worker | None = None
        self._refused: Refused | None = None
        try:
            self._worker = Worker(task, name, self._said.put).__enter__()
        except UserError as error:
            self._refused = Refused(worker=name, text=str(error), exit_code=error.exit_code)

    def ready(self) -> Message:
        """It is there, or it will not do."""
        return self._refused or Ready(worker=self._name)

    def film(self, story: Story) -> Iterator[Message]:
        """Film one story; yields what there is to say."""
        assert self._worker is not None  # noqa: S101 (a worker that refused is given no story)
        threading.Thread(target=self._worker.film, args=(story,), name=f"film {story.id}", daemon=True).start()
        while True:
            message = self._said.get()
            yield message
            if isinstance(message, Ended | Busy | Refused):
                return

    def halt(self, reason: str) -> None:
        """Begin no new shot."""
        if self._worker is not None:
            self._worker.halt.set(reason)


def in_short(text: str) -> str:
    r"""Why Ray lost an actor, in a line: its first sentence, or what stopped the actor while it started.

    Example:
        >>> in_short("The actor died unexpectedly before finishing this task. Its node ...")
        'The actor died unexpectedly before finishing this task'
        >>> in_short("The actor died because of an error raised in its creation task, ray::Actor()\n  File x\nValueError: no a.b")
        'ValueError: no a.b'
    """
    if "creation task" in text:
        return text.strip().splitlines()[-1][:120]
    return " ".join(text.split()).partition(".")[0][:120]


def _connect(size: int, address: str | None) -> Any:
    """Ray, connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing of ours calls home
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")  # a busy machine takes its time
    try:
        import ray
    except ImportError as error:
        raise UserError("Ray is not installed", where="--executor ray", hint="pip install 'stbench[ray]'") from error
    settings = {name: os.environ[name] for name in CARRIED if name in os.environ}
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "namespace": "stbench"}
    try:
        if address is None:
            ray.init(
                num_cpus=max(size, os.cpu_count() or 1),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                runtime_env={"env_vars": {**settings, "PYTHONPATH": os.pathsep.join(_own_paths())}},
                **common,
            )
        else:
            ray.init(address=address, runtime_env={"env_vars": settings}, **common)
    except Exception as error:  # Ray raises bare ones
        where = f"--ray-address {address}" if address else "--executor ray"
        raise UserError(f"no cluster answers ({str(error).splitlines()[0]})", where=where, hint="ray status") from error
    return ray


def _own_paths() -> list[str]:
    """What this process can import beside installed packages, so that workers on the same machine can too."""
    return [path for path in sys.path if path and "site-packages" not in path and not Path(path).is_relative_to(sys.base_prefix)]
