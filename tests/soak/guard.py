"""Stops a fuzzed reader that takes too long or reaches outside of its sandbox."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any


class Escape(BaseException):
    """The program reached where it must not."""


class Hang(BaseException):
    """An input took too long."""


class Guard:
    """Watches this process: writes outside of a folder, processes and connections are an `Escape`. Cannot be undone."""

    def __init__(self, sandbox: Path):
        self.sandbox, self.on = str(sandbox), False
        sys.addaudithook(self._audit)
        signal.signal(signal.SIGVTALRM, self._late)

    def _late(self, *_: object) -> None:
        raise Hang

    def _audit(self, event: str, args: tuple) -> None:
        if not self.on:
            return
        if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.getaddrinfo"):
            raise Escape(f"{event} {args!r:.100}")
        if event == "pickle.find_class":
            raise Escape(f"unpickling {args!r:.100}")
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in ("os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.link")) and isinstance(args[0], str | os.PathLike):
            self._inside(args[0], event)
        elif event == "os.rename":
            self._inside(args[1], event)
        elif event == "open" and isinstance(args[0], str) and os.path.realpath(args[0]).startswith("/etc/passwd"):
            raise Escape(f"reads {args[0]}")

    def _inside(self, path: Any, event: str) -> None:
        place = os.path.realpath(os.fspath(path))
        if not place.startswith((self.sandbox, "/dev/")) and "__pycache__" not in place:
            raise Escape(f"{event} {str(path)!r:.100}")
