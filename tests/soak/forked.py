"""Runs of the command line in processes of their own, at a few hundredths of a second each.

`Server` starts one Python with everything imported; for each job it forks a child, which runs the command and dies as it
must: the kill is real. Started as a program, this file is that server: one JSON job a line in, one exit code a line out.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATHS = [str(HERE), str(HERE.parent / "stbench" / "plugins"), str(ROOT)]
HANG_S = 120  # a child that lives longer is ended and counts as a hang


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a job ended: its exit code (negative: the signal that killed it) and what it printed."""

    code: int
    out: str
    err: str
    made: list[str] = field(default_factory=list)  # shots that the method was asked for

    @property
    def hung(self) -> bool:
        """It was ended because it did not end."""
        return self.code == -signal.SIGALRM

    @property
    def traceback(self) -> bool:
        """A bug showed itself."""
        return "Traceback (most recent call last)" in self.err


class Server:
    """Forks a child for each job; close it when done."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "forked.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, words: list[str], cwd: Path, *, prepare: str = "", **facts: Any) -> Ended:
        """Run the command line in a child.

        Args:
            words: Arguments of `stbench`.
            cwd: Its folder; `job.out`, `job.err` and `made.txt` are left there.
            prepare: "module:function", called in the child with `facts` before the command.
            facts: JSON-able keywords for it.
        """
        made = cwd / "made.txt"
        made.unlink(missing_ok=True)
        job = {"words": words, "cwd": str(cwd), "prepare": prepare, "facts": facts}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Ended(
            code=code,
            out=(cwd / "job.out").read_text(errors="replace"),
            err=(cwd / "job.err").read_text(errors="replace"),
            made=made.read_text().splitlines() if made.exists() else [],
        )

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def _serve() -> None:
    import av  # noqa: F401
    import fake_methods
    import PIL.Image  # noqa: F401

    import stbench.check
    import stbench.endcard
    import stbench.finished
    import stbench.runner

    fake_methods.install()
    stbench.finished.PACKAGES += ("fake_methods",)  # so that a finished run is stamped, as with our own methods
    sys.path[:0] = [path for path in PATHS if path not in sys.path]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _child(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _child(job: dict[str, Any]) -> None:
    """Never returns."""
    signal.alarm(HANG_S)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore Ctrl-C
    os.chdir(job["cwd"])
    for descriptor, name in ((1, "job.out"), (2, "job.err")):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, descriptor)
        os.close(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    _log_made_shots()
    code = 70
    try:
        if job["prepare"]:
            module, _, name = job["prepare"].partition(":")
            getattr(__import__(module), name)(**job["facts"])
        from stbench.cli import main

        main(job["words"])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _log_made_shots() -> None:
    """Every shot that the fake method is asked for becomes a line of `made.txt`, at once."""
    import fake_methods

    log = os.open("made.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    class Log(list):
        def append(self, text: str) -> None:
            super().append(text)
            os.write(log, f"{text}\n".encode())

    fake_methods.MADE = Log()


if __name__ == "__main__":
    _serve()
