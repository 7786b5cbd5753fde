"""Fuzzing of everything that a stranger may hand us: scripts, run folders, journals, videos, pictures, weights.

An input is *clean* if it is read or refused with a `UserError`, in bounded time. Anything else is a finding: another exception, a hang,
a file opened for writing or a name read outside of the sandbox, a process or a connection started. Inputs are mutations of good ones
(`Mutator`, seeded: the same numbers give the same inputs); with atheris installed, `python tests/soak/fuzz.py atheris TARGET` lets
coverage guide them instead.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HANG_S = 20  # of processor time; ordinary inputs take milliseconds
ODD_TEXT = (
    *("", " ", "\x00", "../../x", "/etc/passwd", "..\\..\\x", "CON", "nul.json", "a" * 300, "\u202etxt.exe", "\ud800", "\x1b[31m"),
    *("<script>alert(1)</script>", "=cmd|' /C calc'!A0", "$(touch x)", "; rm -rf x", "%s%n", "{{7*7}}", "file:///etc/passwd", "01_02"),
)
ODD_VALUES = (*ODD_TEXT, None, True, 0, -1, 2**31, 2**63, 10**400, 1.5, -0.0, 1e308, [], {}, [[]], [0] * 1000, {"a": {"a": {"a": {}}}})
ODD_BYTES = (
    b"NaN",
    b"Infinity",
    b"1e999",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\xff\xfe",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"9" * 5000,
)
ODD_BYTES += (b"\\ud800", b'"schema": 99', b"\n\n", b"&a [*a,*a]", b"!!python/object/apply:os.system [id]", b"- " * 2000)


class Mutator:
    """Makes bad inputs from good ones, from one seed."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)

    def bytes(self, data: bytes) -> bytes:
        """A few random changes of bytes, or of one JSON value."""
        if self.rng.random() < 0.5:
            changed = self._json(data)
            if changed is not None:
                return changed
        out = bytearray(data)
        for _ in range(self.rng.choice((1, 1, 1, 2, 4, 16))):
            self._change(out)
        return bytes(out[:2_000_000])

    def _change(self, out: bytearray) -> None:
        rng = self.rng
        at = rng.randrange(len(out) + 1)
        end = min(len(out), at + rng.choice((1, 2, 4, 8, 64)))
        how = rng.randrange(7)
        if how == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            out[at:end] = rng.randbytes(end - at)
        elif how == 2:
            del out[at:end]
        elif how == 3:
            del out[at:]
        elif how == 4:
            out[at:at] = rng.choice(ODD_BYTES)
        elif how == 5:
            out[at:at] = out[at:end] * rng.choice((1, 2, 50))
        else:
            out[at:end] = rng.choice((b"\x00", b"\xff", b"\x7f")) * (end - at)

    def _json(self, data: bytes) -> bytes | None:
        """The same JSON (a line of it, if it has lines) with one value or key replaced, moved or removed."""
        lines = data.split(b"\n")
        number = self.rng.randrange(len(lines)) if len(lines) > 1 and lines[0].endswith(b"}") else None
        try:
            value = json.loads(data if number is None else lines[number])
        except (ValueError, RecursionError):
            return None
        value = self._replace(value)
        text = json.dumps(value).encode()
        if number is None:
            return text
        lines[number] = text
        return b"\n".join(lines)

    def _replace(self, value: Any) -> Any:
        rng = self.rng
        if isinstance(value, dict) and value and rng.random() < 0.9:
            key = rng.choice(list(value))
            how = rng.random()
            if how < 0.1:
                return {k: v for k, v in value.items() if k != key}
            if how < 0.2:
                return {**value, rng.choice(ODD_TEXT): value[key]}
            return {**value, key: self._replace(value[key])}
        if isinstance(value, list) and value and rng.random() < 0.8:
            at = rng.randrange(len(value))
            if rng.random() < 0.2:
                return value[:at] + value[at:] * 2
            return [*value[:at], self._replace(value[at]), *value[at + 1 :]]
        return rng.choice(ODD_VALUES)


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


@dataclass
class Findings:
    """What a target came to."""

    tried: int = 0
    read: int = 0  # inputs that were good enough to be read
    wrong: dict[str, bytes] = field(default_factory=dict)  # where it failed → the first input that did
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> int:
        """Inputs that were read or refused as they should."""
        return self.tried - sum(self.counts.values())


class Targets:
    """What is fuzzed. Each target takes bytes, and has good inputs to start from.

    Args:
        sandbox: A folder to work in.
        run: A finished run to take good files from.
    """

    def __init__(self, sandbox: Path, run: Path, script: Path):
        self.sandbox, self.source, self.script = sandbox, run, script
        self.run = sandbox / "run"
        shutil.copytree(run, self.run)
        self.all: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
            "script.json": (self._script("json"), [script.read_bytes()]),
            "script.yaml": (self._script("yaml"), [YAML.encode()]),
            "script.md": (self._script("md"), [MARKDOWN.encode()]),
            "suite.json": (self._suite, [self._index()]),
            "manifest": (self._in_run("manifest.json", self._open), [self._good("manifest.json")]),
            "record": (self._in_run("shots/ant/01_02.json", self._records), [self._good("shots/ant/01_02.json")]),
            "journal": (self._in_run("events.jsonl", self._journal), [self._good("events.jsonl")]),
            "scores": (self._in_run("scores.jsonl", self._scores), [self._good("scores.jsonl")]),
            "caches": (self._caches, [self._good(name) for name in CACHES]),
            "video": (self._video, [self._good("shots/ant/01_02.mp4"), self._good("films/ant.mp4")]),
            "picture": (self._picture, [self._good("shots/ant/01_02.key0.png")]),
            "safetensors": (self._weights, [safetensors_file()]),
            "weights index": (self._weights_index, [b'{"metadata": {}, "weight_map": {"a": "model-00001.safetensors"}}']),
            "folder": (self._folder, [b"0"]),
        }

    def _good(self, name: str) -> bytes:
        return (self.source / name).read_bytes()

    def _write(self, name: str, data: bytes) -> Path:
        path = self.sandbox / name
        path.write_bytes(data)
        return path

    def _script(self, suffix: str) -> Callable[[bytes], object]:
        def read(data: bytes) -> object:
            from stbench.suites import load_suite

            suite = load_suite(self._write(f"tale.{suffix}", data))
            for story in suite.stories:
                assert story.id == "tale", story.id
            return suite

        return read

    def _index(self) -> bytes:
        import hashlib

        sha256 = hashlib.sha256(self.script.read_bytes()).hexdigest()
        return json.dumps({"name": "s", "version": "1", "stories": [{"file": "ant.json", "sha256": sha256}]}).encode()

    def _suite(self, data: bytes) -> object:
        from stbench.suites import load_suite

        folder = self.sandbox / "suite"
        folder.mkdir(exist_ok=True)
        (folder / "ant.json").write_bytes(self.script.read_bytes())
        (folder / "suite.json").write_bytes(data)
        return load_suite(folder)

    def _in_run(self, name: str, read: Callable[[], object]) -> Callable[[bytes], object]:
        def call(data: bytes) -> object:
            (self.run / name).write_bytes(data)
            try:
                return read()
            finally:
                (self.run / name).write_bytes(self._good(name))

        return call

    def _open(self) -> object:
        from stbench.store import RunFolder

        run = RunFolder.open(self.run)
        for story in run.stories:
            for shot in story.shots:
                place = run.record_path(story.id, shot.id).resolve()
                assert place.is_relative_to(self.run.resolve()), place
        return [part.records for part in run.story_records()], run.manifest.identity_digest

    def _records(self) -> object:
        from stbench.filming import reusable
        from stbench.store import RunFolder

        run = RunFolder.open(self.run)
        found = [record for story in run.stories for _, record in reusable(run, story)]
        return [run.read_frames(record) for record in found if record is not None][:1], run.story_records()

    def _journal(self) -> object:
        from stbench.journal import Journal, read_journal

        path = self.run / "events.jsonl"
        before = read_journal(path)
        Journal(path, lambda: 1.0).close()
        after = read_journal(path)
        assert not after.broken, "a journal that was opened for writing is whole"
        assert [e for e in after.events if e.get("event") not in ("torn_line_cut", "damaged_lines_set_aside")][: len(before.events)] == [
            e for e in before.events if e.get("event") not in ("torn_line_cut", "damaged_lines_set_aside")
        ]
        (self.run / "events.damaged.jsonl").unlink(missing_ok=True)
        return after

    def _scores(self) -> object:
        from stbench.scores import aggregate
        from stbench.store import RunFolder

        run = RunFolder.open(self.run)
        run.mend_scores()
        return aggregate(run.scores())

    def _caches(self, data: bytes) -> object:
        from stbench.check import check_run
        from stbench.config import RunConfig
        from stbench.finished import finished
        from stbench.sums import altered

        for name in CACHES:
            (self.run / name).write_bytes(data)
        try:
            finished(RunConfig(method="fake", suite=str(self.script.parent), out=self.run), self.run)
            altered(self.run / "report")
            return check_run(self.run).lines()
        finally:
            for name in CACHES:
                (self.run / name).write_bytes(self._good(name))

    def _video(self, data: bytes) -> object:
        from stbench.adoption.probe import probe
        from stbench.video import read_mp4

        path = self._write("clip.mp4", data)
        probe(path)
        return read_mp4(path)

    def _picture(self, data: bytes) -> object:
        from stbench.references import read_reference
        from stbench.video import read_png

        path = self._write("still.png", data)
        read_reference(path, "here")
        return read_png(path)

    def _weights(self, data: bytes) -> object:
        from storymem.stored import open_weights

        return open_weights(self._write("model.safetensors", data))

    def _weights_index(self, data: bytes) -> object:
        from storymem.stored import open_weights

        folder = self.sandbox / "weights"
        folder.mkdir(exist_ok=True)
        (folder / "model-00001.safetensors").write_bytes(safetensors_file())
        (folder / "model.safetensors.index.json").write_bytes(data)
        return open_weights(folder)

    def _folder(self, data: bytes) -> object:
        """A whole run folder with several files spoilt at once, as `stbench check` and a rerun's claim see it."""
        from stbench.check import check_run
        from stbench.claim import inspect
        from stbench.manifest import read_manifest

        mutator = Mutator(int.from_bytes(data[:8], "big"))
        names = [name for name in FOLDER_FILES if mutator.rng.random() < 0.3]
        for name in names:
            (self.run / name).write_bytes(mutator.bytes(self._good(name)))
        try:
            check_run(self.run).to_json()
            inspect(self.run, read_manifest(self.source))
        finally:
            for name in names:
                (self.run / name).write_bytes(self._good(name))
            for name in (".finished.json", ".verified.json"):
                (self.run / name).write_bytes(self._good(name))
        return names


CACHES = (".verified.json", ".finished.json", "report/.sums.json", "films/ant.json")
FOLDER_FILES = (
    *("manifest.json", "events.jsonl", "timing.jsonl", "scores.jsonl", "shots/ant/01_01.json", "shots/ant/01_01.mp4"),
    *("shots/ant/01_02.key0.png", "shots/bee/01_01.json", "films/ant.json", "films/bee.mp4", "report/.sums.json"),
)
YAML = """title: The Lamp
overview: A keeper lights a lamp.
entities:
  mara: {kind: character, description: an old woman}
scenes:
  - shots:
      - prompt: Wide shot of a lighthouse.
        who: [mara]
      - prompt: She opens the door.
        continues: true
"""
MARKDOWN = """# The Lamp

A keeper lights a lamp.

## Cast

- **mara** (character): an old woman in a yellow coat
- **tower** (place): a white tower on a rock

## Scene 1

### Shot 1

Wide shot of a tower.

Who: mara
Where: tower

### Shot 2 · continues

She opens the door.
"""


def safetensors_file() -> bytes:
    """A small good file: header length, header, numbers."""
    header = json.dumps({"__metadata__": {"a": "b"}, "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(16)


SHARES = {  # how many of every 1,000 inputs go where: cheap readers get more
    **{"script.json": 240, "script.yaml": 60, "script.md": 60, "suite.json": 40, "manifest": 130, "record": 110, "journal": 90},
    **{"scores": 90, "caches": 10, "video": 50, "picture": 50, "safetensors": 40, "weights index": 25, "folder": 5},
}


def warm_up() -> None:
    """Import what readers import when they are first called, so that only their own doing is watched."""
    import importlib

    for name in ("stbench.check", "stbench.claim", "stbench.finished", "stbench.adoption.probe", "storymem.stored", "yaml"):
        importlib.import_module(name)


def try_one(target: Callable[[bytes], object], data: bytes, found: Findings, guard: Guard) -> None:
    """Give a target one input and note what became of it."""
    from stbench.errors import UserError

    found.tried += 1
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    guard.on = True
    try:
        target(data)
        found.read += 1
    except UserError as error:
        if "\n" in str(error):
            _note(found, "an error of several lines", data)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/" not in frame.filename]
        last = next((f for f in reversed(frames) if "stbench" in f.filename or "storymem" in f.filename), frames[-1] if frames else None)
        _note(found, f"{type(error).__name__}: {str(error)[:80]} at {last and f'{Path(last.filename).name}:{last.lineno}'}", data)
    finally:
        guard.on = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _note(found: Findings, what: str, data: bytes) -> None:
    found.counts[what] += 1
    found.wrong.setdefault(what, data)


def fuzz(targets: Targets, guard: Guard, inputs: int, seed: int = 0) -> Iterator[tuple[str, Findings]]:
    """Try about `inputs` inputs, target by target."""
    for name, (target, good) in targets.all.items():
        found, mutator = Findings(), Mutator(seed)
        for number in range(max(inputs * SHARES[name] // 1000, 1)):
            data = mutator.rng.randbytes(8) if name == "folder" else mutator.bytes(good[number % len(good)])
            if number < len(good):
                data = good[number]  # the good ones first: they must be read
            try_one(target, data, found, guard)
        yield name, found


def main() -> None:
    """Fuzz with a run that was made before: FOLDER (with run/ and tales/), N, and optionally a target for atheris."""
    folder, sandbox = Path(sys.argv[1]), Path(sys.argv[2])
    sandbox.mkdir(parents=True)
    if sys.argv[3] == "atheris":
        import atheris

        with atheris.instrument_imports(include=["stbench", "storymem"]):
            warm_up()
    warm_up()
    targets, guard = Targets(sandbox, folder / "run", folder / "tales" / "ant.json"), Guard(sandbox)
    if sys.argv[3] == "atheris":
        _with_coverage(targets, guard, sys.argv[4], sys.argv[5:])
        return
    for name, found in fuzz(targets, guard, int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 0):
        print(f"{name:<14} {found.tried:>7} tried  {found.clean:>7} clean  {found.read:>6} read", flush=True)
        for what, count in found.counts.most_common():
            print(f"    {count} x {what}   {found.wrong[what][:100]!r}", flush=True)


def _with_coverage(targets: Targets, guard: Guard, name: str, options: list[str]) -> None:
    import atheris

    target, good = targets.all[name]
    corpus = targets.sandbox / "corpus"
    corpus.mkdir()
    for number, data in enumerate(good):
        (corpus / str(number)).write_bytes(data)

    def one(data: bytes) -> None:
        found = Findings()
        try_one(target, data, found, guard)
        if found.wrong:
            raise AssertionError(next(iter(found.wrong)))

    atheris.Setup([sys.argv[0], str(corpus), *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
