"""Workers as processes of this machine, one per GPU or as many as were asked for.

Each is started fresh (spawn), so no state of the driver leaks in. A worker whose driver is gone ends at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from stbench.errors import UserError
from stbench.executors.fleet import Lost, Message, Ready, Refused, Task

if TYPE_CHECKING:
    from stbench.filming import Halt
    from stbench.story import Story

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True)
class _Member:
    process: BaseProcess
    pipe: Connection
    slot: int


class ProcessFleet:
    """A `Fleet` of processes.

    Args:
        task: What the run is.
        gpus: For each worker the GPU that it sees, or None.
    """

    def __init__(self, task: Task, gpus: Sequence[str | None]):
        self._task, self._gpus = task, gpus
        self._members: dict[str, _Member] = {}
        self._count = 0
        self.size = len(gpus)

    def start(self) -> str:
        """One more process, on the GPU of the first worker that is missing."""
        from stbench.executors.worker import new_name

        slot = min(set(range(self.size)) - {member.slot for member in self._members.values()}, default=0)
        name = new_name(self._count)
        self._count += 1
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        gpu = self._gpus[slot]
        environment = {} if gpu is None else {VISIBLE: gpu}
        process = context.Process(target=work, args=(self._task, name, environment, theirs), name=name, daemon=True)
        process.start()
        theirs.close()  # so that the pipe ends when the process does
        self._members[name] = _Member(process=process, pipe=ours, slot=slot)
        return name

    def film(self, worker: str, story: Story) -> None:
        """Tell a process which story is next; if it is gone, `wait` will say so."""
        self._tell(worker, story)

    def end(self, worker: str) -> None:
        """Kill a process; the end of its pipe tells `wait`."""
        self._members[worker].process.kill()

    def halt(self, reason: str) -> None:
        """Tell all of them to begin no new shot."""
        for worker in self._members:
            self._tell(worker, reason)

    def wait(self, timeout_s: float) -> list[Message]:
        """At most one message of each process, so that a talkative one holds up no other."""
        pipes = {member.pipe: worker for worker, member in self._members.items()}
        heard = []
        for ready in wait(list(pipes), timeout_s):
            assert isinstance(ready, Connection)  # noqa: S101 (for mypy: only pipes were given)
            worker = pipes[ready]
            try:
                heard.append(ready.recv())
            except (EOFError, OSError):
                heard.append(Lost(worker=worker, reason=self._remove(worker)))
        return heard

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def close(self) -> None:
        """End every process now; one that is idle loses nothing by it."""
        for member in self._members.values():
            member.process.kill()
        for worker in list(self._members):
            self._remove(worker)

    def _tell(self, worker: str, what: Story | str) -> None:
        with contextlib.suppress(OSError):  # it is gone; its end of the pipe tells
            self._members[worker].pipe.send(what)

    def _remove(self, worker: str) -> str:
        """Forget a process that ended; how it ended."""
        member = self._members.pop(worker)
        member.pipe.close()
        member.process.join(timeout=5)
        code = member.process.exitcode
        member.process.close() if code is not None else member.process.kill()
        if code is None:
            return "it closed its pipe and did not end"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"


def work(task: Task, name: str, environment: Mapping[str, str], pipe: Connection) -> None:
    """The process: films what it is told until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides what it means
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.environ.update(environment)
    os.dup2(2, 1)  # the driver's stdout is for programs
    from stbench.executors.worker import Worker

    stories: queue.SimpleQueue[Story] = queue.SimpleQueue()
    try:
        with Worker(task, name, pipe.send) as worker:
            threading.Thread(target=_listen, args=(pipe, worker.halt, stories), name="ear", daemon=True).start()
            pipe.send(Ready(worker=name))
            while True:
                worker.film(stories.get())
    except UserError as error:
        pipe.send(Refused(worker=name, text=str(error), exit_code=error.exit_code))
    except BrokenPipeError:
        os._exit(1)


def _listen(pipe: Connection, halt: Halt, stories: queue.SimpleQueue[Story]) -> None:
    """Hear the driver while a shot is made; without a driver there is nothing to go on for.

    The lease of the story stays: it counts for as long as this process lives, so nobody makes the shot while this one may still publish it.
    """
    while True:
        try:
            said = pipe.recv()
        except (EOFError, OSError):
            os._exit(1)
        if isinstance(said, str):
            halt.set(said)
        else:
            stories.put(said)


def visible(gpus: Sequence[str]) -> list[str]:
    """The GPUs of `--gpus` as CUDA names them, within what this process may see.

    Example:
        >>> import os; os.environ["CUDA_VISIBLE_DEVICES"] = "4,6"
        >>> visible(["1", "0"])
        ['6', '4']
        >>> del os.environ["CUDA_VISIBLE_DEVICES"]
        >>> visible(["1", "0"])
        ['1', '0']
    """
    seen = [part for part in os.environ.get(VISIBLE, "").split(",") if part]
    return [seen[int(gpu)] if seen else gpu for gpu in gpus]
