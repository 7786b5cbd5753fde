"""What is fuzzed: every reader of a stranger's files, and good inputs to start from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from mutator import Mutator


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
            "journal": (self._in_run("events.jsonl", self._journal), [self._good("events.jsonl"), self._bare("events.jsonl")]),
            "spans": (self._in_run("timing.jsonl", self._spans), [self._bare("timing.jsonl")]),
            "scores": (self._in_run("scores.jsonl", self._scores), [self._good("scores.jsonl"), self._bare("scores.jsonl")]),
            "caches": (self._caches, [self._good(name) for name in CACHES]),
            "video": (self._video, [self._good("shots/ant/01_02.mp4"), self._good("films/ant.mp4")]),
            "picture": (self._picture, [self._good("shots/ant/01_02.key0.png")]),
            "safetensors": (self._weights, [safetensors_file()]),
            "weights index": (self._weights_index, [b'{"metadata": {}, "weight_map": {"a": "model-00001.safetensors"}}']),
            "folder": (self._folder, [b"0"]),
        }

    def _good(self, name: str) -> bytes:
        return (self.source / name).read_bytes()

    def _bare(self, name: str) -> bytes:
        """Lines as older versions wrote them: without seals, so that nothing stands in front of the readers."""
        lines = [json.loads(line) for line in self._good(name).splitlines()]
        return b"".join(json.dumps({key: line[key] for key in line if key != "seal"}).encode() + b"\n" for line in lines)

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

    def _spans(self) -> object:
        from stbench.gating.evidence import evidence_of
        from stbench.profiling.profile import profile_run
        from stbench.profiling.text import lines
        from stbench.store import RunFolder

        run = RunFolder.open(self.run)
        return evidence_of(run), list(lines(profile_run(run)))

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
    **{"script.json": 240, "script.yaml": 60, "script.md": 60, "suite.json": 40, "manifest": 130, "record": 60, "journal": 90},
    **{"spans": 60, "scores": 80, "caches": 10, "video": 50, "picture": 50, "safetensors": 40, "weights index": 25, "folder": 5},
}
