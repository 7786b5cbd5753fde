"""Fault injection: everything a disk, a model, an encoder and a clock can do to a run, each at every place where it matters.

A fault is a kind at a place. Each is injected into a real process; then it must hold: one clear line or a recorded failure, never
a traceback and never a hang; nothing that was finished is lost; the same command, once the fault is gone, ends COMPLETE, makes no
finished shot again, and gives the bytes of a run that met no fault.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from kills import WORDS, KillTest, Verdict, facts, finished
from points import Watch

FILES = (
    *("manifest.json", "events.jsonl", "timing.jsonl", "scores.jsonl", ".finished.json", "report/.sums.json"),
    *("shots/ant/01_02.key0.png", "shots/ant/01_02.tail0.png", "shots/ant/01_02.json", "films/ant.json"),
)
VIDEOS = ("shots/ant/01_02.mp4", "films/bee.mp4")
FOLDERS = ("shots", "shots/ant", "films", "report")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A kind of fault, where it strikes, and the exit codes that are right then."""

    kind: str
    place: str
    codes: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.kind} at {self.place}"


def all_faults() -> list[Fault]:
    """Every kind at every place."""
    disk = (3,)  # SaveError: what is finished is safe
    found = [Fault(kind=kind, place=f"open {name}", codes=disk) for kind in ("ENOSPC", "EROFS", "EACCES") for name in (*FILES, ".lock")]
    found += [Fault(kind=kind, place=f"fsync {name}", codes=disk) for kind in ("EIO", "ENOSPC") for name in (*FILES, *VIDEOS, *FOLDERS)]
    renamed = [name for name in FILES if not name.endswith(("events.jsonl", "timing.jsonl"))]
    found += [Fault(kind=kind, place=f"rename {name}", codes=disk) for kind in ("EIO", "EROFS") for name in (*renamed, *VIDEOS)]
    found += [Fault(kind=kind, place=f"mkdir {name}", codes=disk) for kind in ("ENOSPC", "EROFS") for name in FOLDERS[1:]]
    found += [Fault(kind="file size limit", place=f"{size} bytes", codes=disk) for size in (1000, 2000)]  # the largest file has more
    found += [Fault(kind=kind, place="encode", codes=disk) for kind in ("ENOSPC", "EIO")]
    found += [Fault(kind=f"encoder dies of {name}", place="encode", codes=(-number,)) for name, number in DEADLY.items()]
    found += [
        Fault(kind=f"decode-back: {how}", place=place, codes=code) for how in SPOILT for place, code in (("once", (0,)), ("always", (3,)))
    ]
    found += [Fault(kind=f"model: {how}", place=place, codes=code) for how in MODEL for place, code in (("once", (0,)), ("always", (3,)))]
    found += [Fault(kind=f"scoring: {how}", place="scores", codes=(3,)) for how in ("out of memory", "no space")]
    found += [Fault(kind="clock goes backwards", place=place, codes=(0,)) for place in ("slowly", "by a year", "at random")]
    found += [Fault(kind="second process", place=place, codes=(2,)) for place in ("run", "finished run")]
    return found


DEADLY = {"SIGSEGV": signal.SIGSEGV, "SIGABRT": signal.SIGABRT, "SIGKILL": signal.SIGKILL}
SPOILT = ("a frame is missing", "another size", "file cut short", "empty file", "still differs")
MODEL = ("out of memory", "CUDA out of memory", "NaN", "infinite", "black", "constant", "floats", "one channel", "no frames", "bad rate")


def inject(root: str, kind: str, place: str) -> None:
    """In the child: make the fault happen in this process."""
    if kind == "file size limit":
        size = int(place.split()[0])
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    elif kind.startswith("decode-back: "):
        _spoil_writing(kind.removeprefix("decode-back: "), always=place == "always")
    elif kind.startswith("model: "):
        _spoil_model(kind.removeprefix("model: "), always=place == "always")
    elif kind.startswith("scoring: "):
        _spoil_scoring(kind.removeprefix("scoring: "))
    elif kind.startswith("clock"):
        _spoil_clock(place)
    elif kind.startswith("encoder dies"):
        _at(root, place, lambda: os.kill(os.getpid(), DEADLY[kind.split()[-1]]), skip=1)
    else:
        number = getattr(errno, kind)

        def fail() -> None:
            raise OSError(number, os.strerror(number))

        _at(root, place, fail)


def _at(root: str, place: str, act, skip: int = 0) -> None:
    seen = 0

    def at(count: int, name: str) -> None:
        nonlocal seen
        if name == place:
            seen += 1
            if seen > skip:
                act()

    Watch(Path(root), None, at).start()


def _spoil_writing(how: str, *, always: bool) -> None:
    import stbench.publish

    plain_mp4, plain_png = stbench.publish.write_mp4, stbench.publish.write_png
    calls = 0

    def strikes(path: Path) -> bool:
        nonlocal calls
        calls += "01_02" in path.name
        return "01_02" in path.name and (always or calls == 1)

    def mp4(path: Path, frames: np.ndarray, fps: float) -> None:
        if how == "still differs" or not strikes(path):
            return plain_mp4(path, frames, fps)
        if how == "a frame is missing":
            return plain_mp4(path, frames[:-1], fps)
        if how == "another size":
            return plain_mp4(path, frames[:, :-2], fps)
        plain_mp4(path, frames, fps)
        os.truncate(path, path.stat().st_size // 2 if how == "file cut short" else 0)

    def png(path: Path, frame: np.ndarray) -> None:
        plain_png(path, frame ^ 1 if how == "still differs" and strikes(path) else frame)

    stbench.publish.write_mp4, stbench.publish.write_png = mp4, png


def _spoil_model(how: str, *, always: bool) -> None:
    import fake_methods

    plain, calls = fake_methods.FakeShots.shot, 0

    def shot(self, request):
        nonlocal calls
        result = plain(self, request)
        if request.shot.id != "01_02":
            return result
        calls += 1
        if calls > 1 and not always:
            return result
        if how == "out of memory":
            raise MemoryError
        if how == "CUDA out of memory":
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        frames, fps = result.frames, result.fps
        changes = {
            "NaN": lambda: np.full(frames.shape, np.nan, np.float32),
            "infinite": lambda: np.full(frames.shape, np.inf, np.float32),
            "black": lambda: np.zeros_like(frames),
            "constant": lambda: np.full_like(frames, 127),
            "floats": lambda: frames / 255,
            "one channel": lambda: frames[..., :1],
            "no frames": lambda: frames[:0],
            "bad rate": lambda: frames,
        }
        return type(result)(frames=changes[how](), fps=0.0 if how == "bad rate" else fps, keyframes=(), tail=0)

    fake_methods.FakeShots.shot = shot


def _spoil_scoring(how: str) -> None:
    import fake_methods

    def score_run(run, **how_to):
        raise MemoryError if how == "out of memory" else OSError(errno.ENOSPC, "No space left on device")

    fake_methods.score_run = score_run


def _spoil_clock(how: str) -> None:
    import random
    import time

    rng, now = random.Random(0), time.time()

    def clock() -> float:
        nonlocal now
        now -= {"slowly": 0.5, "by a year": 3.15e7, "at random": rng.uniform(-1e6, 1e6)}[how]
        return now

    import stbench.runner

    stbench.runner.run.__kwdefaults__["now"] = clock


class FaultTest(KillTest):
    """The trials; the uninterrupted run is that of the kill tests."""

    def fault(self, fault: Fault) -> Verdict:
        """Inject one fault, look, continue without it, compare."""
        verdict = Verdict(point=fault.place, mode=fault.kind)
        place = self._fresh("fault")
        run = place / "run"
        if fault.kind == "second process":
            died = self._second_process(place, fault.place)
        else:
            died = self.server.run(WORDS, place, prepare="faults:inject", root=str(run), kind=fault.kind, place=fault.place)
        if died.hung or died.traceback or died.code not in fault.codes:
            verdict.wrong.append(f"it ended with {died.code}, expected {fault.codes}: {died.err[-400:]}")
        if died.code in (2, 3, 4) and not died.err.strip():
            verdict.wrong.append("it said nothing")
        if died.code == 3 and fault.kind.startswith("model: ") and "out of memory" not in fault.kind and "rule " not in died.err:
            verdict.wrong.append(f"no rule is named: {died.err[-300:]}")
        self._look(run, verdict, [], died)
        kept = finished(run)
        self._compare(run, self.server.run(WORDS, place), kept, verdict)
        shutil.rmtree(place.parent)
        return verdict

    def _second_process(self, place: Path, how: str):
        """This process holds the lock while another runs the command."""
        if how == "finished run":
            assert self.server.run(WORDS, place).code == 0
        (place / "run").mkdir(exist_ok=True)
        with (place / "run" / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write("pid 4711 on elsewhere")
            lock.flush()
            done = self.server.run(WORDS, place)
        assert "pid 4711 on elsewhere" in done.err, done.err
        return done

    def flips(self) -> list[str]:
        """Every file of a finished run."""
        run = self.whole / "run"
        return sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file() and path.name != ".lock")

    def flip(self, name: str, *, at: float, rotten: bool) -> Verdict:
        """Flip one bit of one file of a finished run; `rotten`: the file's time stays, as when a disk rots.

        `stbench check` must name it (but for caches, which hold no results), and the same command must repair it.
        """
        from stbench.check import check_run

        verdict = Verdict(point=f"{name} at {at:g}", mode="rotten" if rotten else "flipped")
        place = self._fresh("flip")
        shutil.rmtree(place / "run", ignore_errors=True)
        shutil.copytree(self.whole / "run", place / "run")  # times stay
        self.server.run(WORDS, place)  # its caches know these files
        path = place / "run" / name
        data, times = bytearray(path.read_bytes()), path.stat()
        data[min(int(len(data) * at), len(data) - 1)] ^= 1
        path.write_bytes(data)
        if rotten:
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        found = check_run(place / "run")
        if name not in (".verified.json", ".finished.json"):
            text = " ".join(f"{problem.where} {problem.found}" for problem in found.problems)
            if found.verdict != "invalid" or Path(name).name.partition(".")[0] not in text:
                verdict.wrong.append(f"check says {found.verdict}: {text}")
        again = self.server.run(WORDS, place)
        made = len(again.made)
        allowed = len(self.shots) if name.startswith("shots/") else 0
        if again.code != 0 or again.traceback or made > allowed:
            verdict.wrong.append(f"the repeated command ended with {again.code} and made {made} shots: {again.err[-400:]}")
        else:
            wrong = [what for what, value in facts(place / "run").items() if value != self.facts[what]]
            result = check_run(place / "run")
            if wrong or result.verdict != "valid":
                verdict.wrong.append(f"after the repair {wrong} differ; {result.lines()}")
        shutil.rmtree(place.parent)
        return verdict

    def all_flips(self) -> list[tuple[str, float, bool]]:
        """A bit at three places of every file, each time as a change and as rot."""
        return [(name, at, rotten) for name in self.flips() for at in (0.05, 0.5, 0.95) for rotten in (False, True)]
