"""Running a foreign program: no shell, a process group of its own, a time limit, and a log that cannot fill the disk.

Of what it prints, the beginning and the end are kept; what lies between is counted and dropped. When it hangs, or we are interrupted, it
and everything it started is killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

TAIL_BYTES = CHUNK_BYTES = 64 * 1024
LAST_BYTES, LINE_CHARS = 4096, 200
GRACE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended.

    Attributes:
        code: Exit code; negative: the signal that killed it.
        hung: It was killed at its time limit.
        seconds: It ran.
        printed_bytes: All that it printed.
        log: File with the beginning and the end of it.
        kept_bytes: What is in that file.
        last_line: Of what it printed, at most 200 characters.
    """

    code: int
    hung: bool
    seconds: float
    printed_bytes: int
    log: Path
    kept_bytes: int
    last_line: str

    @property
    def how(self) -> str:
        """In words."""
        if self.hung:
            return f"hang: it did not end within {self.seconds:.0f} s and was killed"
        if self.code < 0:
            return f"crash: killed by {_signal_name(-self.code)} after {self.seconds:.0f} s"
        return f"crash: exit code {self.code} after {self.seconds:.0f} s"


def run_program(
    command: Sequence[str], *, folder: Path, variables: Mapping[str, str], log: Path, timeout_s: float, log_bytes: int
) -> Ended:
    """Run a program to its end, or to its time limit.

    Args:
        command: Words; the first is looked up in PATH unless it is a path.
        folder: Where it runs.
        variables: Its whole environment.
        log: Where stdout and stderr go.
        timeout_s: Seconds until it is killed.
        log_bytes: Of what it prints, how much of the beginning is kept; of the end, up to 64 KiB.

    Raises:
        OSError: It cannot be started.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        list(command),
        cwd=folder,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    keeper = _Keeper(process.stdout, log, log_bytes)
    hung = True
    try:
        hung = not _ended(process, timeout_s)
    finally:
        _kill(process)  # also what it left running behind it
        keeper.finish()
    return Ended(
        code=process.returncode,
        hung=hung,
        seconds=time.monotonic() - began,
        printed_bytes=keeper.printed,
        log=log,
        kept_bytes=log.stat().st_size,
        last_line=keeper.last_line,
    )


class _Keeper:
    """Reads a pipe to its end in a thread, so that the program never waits for us, and keeps the beginning and the end of what comes."""

    def __init__(self, pipe: IO[bytes], log: Path, most: int):
        self._pipe, self._log, self._most = pipe, log, most
        self.printed = 0
        self.last_line = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        kept, end, last = 0, b"", b""
        with self._log.open("wb") as file:
            with contextlib.suppress(ValueError, OSError):  # the pipe was closed over us
                while chunk := os.read(self._pipe.fileno(), CHUNK_BYTES):
                    self.printed += len(chunk)
                    head = chunk[: self._most - kept]
                    kept += file.write(head)
                    end = (end + chunk[len(head) :])[-TAIL_BYTES:]
                    last = (last + chunk)[-LAST_BYTES:]
            if dropped := self.printed - kept - len(end):
                file.write(f"\n[… {dropped} bytes were dropped here …]\n".encode())
            file.write(end)
        lines = [line for line in last.decode("utf-8", "replace").splitlines() if line.strip()]
        self.last_line = "".join(char if char.isprintable() else "?" for char in (lines[-1] if lines else ""))[:LINE_CHARS]

    def finish(self) -> None:
        """Wait for the end of the pipe; a process that escaped its group must not keep us."""
        self._thread.join(GRACE_S)
        self._pipe.close()
        self._thread.join(GRACE_S)


def _ended(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Wait until the program has ended, without taking its id from it yet; False at the time limit."""
    if hasattr(os, "pidfd_open"):
        descriptor = os.pidfd_open(process.pid)
        try:
            return bool(select.select([descriptor], [], [], timeout_s)[0])
        finally:
            os.close(descriptor)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout_s)
    return process.poll() is not None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and what it left behind. Its id is still its own: it was not waited for, unless the system cannot do otherwise."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
