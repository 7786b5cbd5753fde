"""The mirror: whatever the store does, what is fetched is what was made, and nothing half-stored is taken for a shot."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from stbench.check import check_run
from stbench.errors import UserError
from stbench.journal import read_journal
from stbench.storage.mirror import ATTEMPTS, Mirror, MirrorError, check_url
from stbench.store import RunFolder
from stbench.verified import Verified


class Store:
    """Objects in memory, and the ways in which an object store fails: each request may be throttled, time out, store half of the
    bytes with or without saying so, or not see yet what was just written.
    """

    def __init__(self, failing: float = 0.0, seed: int = 0):
        self.objects: dict[str, bytes] = {}
        self.unseen: dict[str, int] = {}  # for how many more requests an object does not show
        self.failing, self.random, self.requests, self.injected = failing, random.Random(seed), 0, set[str]()

    def _fails(self, how: str) -> bool:
        fails = self.random.random() < self.failing
        self.injected |= {how} if fails else set()
        return fails

    def _refuse(self) -> None:
        self.requests += 1
        if self._fails("throttled"):
            raise OSError(16, "SlowDown: please reduce your request rate")
        if self._fails("timed out"):
            raise TimeoutError("the request timed out")

    def pipe_file(self, path: str, data: bytes) -> None:
        self._refuse()
        if self._fails("half"):
            self.objects[path] = data[: len(data) // 2]
            raise ConnectionResetError("connection reset by peer")
        self.objects[path] = data[: len(data) // 2] if self._fails("half, silently") else data
        self.unseen[path] = 2 if self._fails("not seen yet") else 0

    def cat_file(self, path: str) -> bytes:
        self._refuse()
        self.unseen[path] = self.unseen.get(path, 0) - 1
        if path not in self.objects or self.unseen[path] >= 0:
            raise FileNotFoundError(path)
        return self.objects[path]


def mirror(store: object) -> Mirror:
    return Mirror("test://bucket/run", store=store, sleep=lambda _: None)


@pytest.fixture
def run(film, run_words: list[str], tmp_path: Path) -> RunFolder:
    """A finished run of 7 shots."""
    film(*run_words, "--no-score")
    return RunFolder.open(tmp_path / "run")


def push(store: object, run: RunFolder) -> None:
    for part in run.story_records():
        for record in part.records:
            mirror(store).push(run, record)


def pull(store: object, run: RunFolder) -> list[str]:
    return [f"{r.story} {r.shot}" for story in run.stories for r in mirror(store).pull(run, story, Verified(run.path))]


def files(run: RunFolder) -> dict[str, bytes]:
    return {str(path.relative_to(run.path)): path.read_bytes() for path in sorted(run.path.glob("shots/*/*"))}


@pytest.mark.parametrize(("failing", "seed"), [(0.0, 0), (0.06, 0), (0.06, 1), (0.06, 2)])
def test_what_a_failing_store_gives_back_is_what_was_made(run: RunFolder, failing: float, seed: int):
    store, before = Store(failing, seed), files(run)
    push(store, run)
    shutil.rmtree(run.path / "shots")
    assert len(pull(store, run)) == 7
    assert files(run) == before
    assert check_run(run.path).verdict == "valid"
    if failing:
        assert len(store.injected) >= 3  # of throttled, timed out, half, half silently, not seen yet: by the seed


def test_an_upload_that_is_cut_off_anywhere_leaves_whole_shots_only(run: RunFolder):
    """The machine vanishes after each request in turn; what another then fetches is a prefix of each story, byte for byte."""
    whole = Store()
    push(whole, run)
    before = files(run)

    class Vanishing(Store):
        def _refuse(self) -> None:
            if self.requests == self.last:
                raise KeyboardInterrupt
            super()._refuse()

    for last in range(0, whole.requests, 13):
        store = Vanishing()
        store.last = last
        with pytest.raises(KeyboardInterrupt):
            push(store, run)
        kept = Store()
        kept.objects = store.objects
        shutil.rmtree(run.path / "shots")
        fetched = pull(kept, run)
        assert files(run).items() <= before.items()
        assert not {problem.rule for problem in check_run(run.path).problems} & {"records", "key-chain", "digests", "decode"}
        assert len(fetched) == sum(name.endswith(".json") for name in files(run))
        for name, data in before.items():  # as it was, for the next trial
            path = run.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


@pytest.mark.parametrize("harm", ["truncate", "swap", "remove", "alter the record", "record of another run"])
def test_a_shot_that_is_damaged_in_the_mirror_is_made_again_instead(run: RunFolder, harm: str):
    store = Store()
    push(store, run)
    record = run.record("ant", "01_02")
    assert record is not None
    video, commit = f"bucket/run/objects/{record.video.sha256}", "bucket/run/shots/ant/01_02.json"
    if harm == "truncate":
        store.objects[video] = store.objects[video][:-1]
    elif harm == "swap":
        store.objects[video] = store.objects[f"bucket/run/objects/{run.record('ant', '01_01').video.sha256}"]
    elif harm == "remove":
        del store.objects[video]
    elif harm == "alter the record":
        store.objects[commit] = store.objects[commit].replace(b'"attempt": 1', b'"attempt": 2')
    else:
        store.objects[commit] = store.objects[commit].replace(record.shot_key.encode(), b"0" * 64)
    shutil.rmtree(run.path / "shots")
    assert pull(store, run) == ["ant 01_01", "bee 01_01", "bee 02_01", "bee 02_02"]  # what follows from the damaged one is not taken either


def test_a_store_that_keeps_refusing_is_an_error_that_says_what_is_safe(run: RunFolder):
    waits: list[float] = []
    with pytest.raises(MirrorError, match=f"after {ATTEMPTS} attempts .*SlowDown.*the run folder is safe"):
        Mirror("test://b/r", store=Store(failing=1.0), sleep=waits.append).push(run, run.story_records()[0].records[0])
    assert len(waits) == ATTEMPTS - 1
    assert 0.25 <= waits[0] <= 0.5
    assert max(waits) <= 20


def test_a_lost_disk_costs_nothing_that_was_mirrored(film, run_words: list[str], fake, tmp_path: Path):
    MemoryFileSystem.store.clear()
    words = [*run_words, "--mirror", "memory://bucket/run"]
    assert film(*words).code == 0
    before = files(RunFolder.open(tmp_path / "run"))
    shutil.rmtree(tmp_path / "run")
    fake.MADE.clear()
    again = film(*words)
    assert (again.code, fake.MADE) == (0, [])
    assert "7 shots fetched from memory://bucket/run" in again.err
    assert files(RunFolder.open(tmp_path / "run")) == before
    assert check_run(tmp_path / "run").verdict == "valid"
    assert any("--mirror memory://bucket/run" in e.get("command", "") for e in read_journal(tmp_path / "run" / "events.jsonl").events)


def test_a_mirror_that_is_asked_for_later_gets_what_is_there(film, run_words: list[str], fake, tmp_path: Path):
    MemoryFileSystem.store.clear()
    assert film(*run_words).code == 0
    assert film(*run_words, "--mirror", "memory://later/run").code == 0
    assert sum("/shots/" in name for name in MemoryFileSystem.store) == 7
    assert len(fake.MADE) == 7


@pytest.mark.parametrize("url", ["bucket/run", "s3://", "s3://key:secret@bucket/run", "s3://key@bucket/x", "s3://bucket/run?secret=1"])
def test_urls_that_are_none_or_carry_a_password_are_refused_and_nothing_is_written(film, run_words: list[str], tmp_path: Path, url: str):
    done = film(*run_words, "--mirror", url)
    assert done.code == 2
    assert "--mirror" in done.err
    assert "secret" not in done.err
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError):
        check_url(url)


def test_a_storage_that_nobody_knows_is_named(run: RunFolder):
    with pytest.raises(UserError, match="a storage that fsspec knows"):
        Mirror("nosuch://bucket/run")


def test_a_run_whose_out_is_a_url_is_kept_there(film, run_words: list[str], fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    at = run_words.index("--out")
    words = [*run_words[:at], *run_words[at + 2 :], "--out", "memory://films/of/mine"]
    assert film(*words).code == 0
    assert len(fake.MADE) == 7
    shutil.rmtree(tmp_path / "runs" / "films-of-mine")
    fake.MADE.clear()
    assert film(*words).code == 0
    assert fake.MADE == []
    assert check_run(tmp_path / "runs" / "films-of-mine").verdict == "valid"
    kept = MemoryFileSystem().find("/films/of/mine/results")
    assert {"manifest.json", "scores.jsonl", "table.md", "ant.mp4"} <= {Path(name).name for name in kept}


@pytest.mark.parametrize("words", [["--out", "s3://me:secret@bucket/run"], ["--out", "s3://a/b", "--mirror", "s3://a/c"]])
def test_a_url_as_out_with_a_password_or_a_second_url_is_refused(film, run_words: list[str], fake, words: list[str]):
    done = film(*run_words, *words)
    assert done.code == 2
    assert "--out" in done.err
    assert "secret" not in done.err
    assert fake.MADE == []
