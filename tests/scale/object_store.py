"""A mirror on a real S3 server of this machine (moto's): through the command, and through a client whose requests fail."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleet_runs import Place

SECRET = "a-key-that-must-not-be-in-any-file"
URL = "s3://films/run"


class Faulty:
    """A store some of whose requests are throttled, time out, keep half of the bytes (saying so or not) or show late what was written."""

    def __init__(self, store: Any, seed: int, rate: float = 0.06):
        self._store, self._random, self._rate = store, random.Random(seed), rate
        self._late: dict[str, int] = {}
        self.injected = 0

    def _fails(self) -> bool:
        fails = self._random.random() < self._rate
        self.injected += fails
        return fails

    def _refuse(self) -> None:
        if self._fails():
            raise OSError(16, "SlowDown: please reduce your request rate")
        if self._fails():
            raise TimeoutError("the request timed out")

    def pipe_file(self, path: str, data: bytes, **mode: str) -> None:
        self._refuse()
        if self._fails():
            self._store.pipe_file(path, data[: len(data) // 2], **mode)
            raise ConnectionResetError("connection reset by peer")
        self._store.pipe_file(path, data[: len(data) // 2] if self._fails() else data, **mode)
        self._late[path] = 2 if self._fails() else 0

    def cat_file(self, path: str) -> bytes:
        self._refuse()
        self._late[path] = self._late.get(path, 0) - 1
        if self._late[path] >= 0:
            raise FileNotFoundError(path)
        return self._store.cat_file(path)


@contextmanager
def server() -> Iterator[None]:
    """The server, and where to find it and how to log in, in the environment alone."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    moto = ThreadedMotoServer(port=0, verbose=False)
    moto.start()
    _, port = moto.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "films",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }
    os.environ.update(settings)
    try:
        import s3fs

        s3fs.S3FileSystem().mkdir("films")
        yield
    finally:
        moto.stop()


def by_command(place: Place) -> list[str]:
    """Film with two workers into a mirror, lose the disk, repeat the command; what went wrong."""
    words = ["--workers", "2", "--mirror", URL]
    if place.start(*words).wait(timeout=1800) != 0:
        return [place.said()]
    before = place.facts()
    holds = [str(path) for path in place.run.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    wrong = [f"the secret is in {name}" for name in holds]
    shutil.rmtree(place.run)
    asked = sum(place.asked().values())
    if place.start(*words).wait(timeout=1800) != 0:
        return [*wrong, place.said()]
    if place.facts() != before:
        wrong.append("records, frames or scores differ")
    if sum(place.asked().values()) != asked:
        wrong.append(f"{sum(place.asked().values()) - asked} shots were made again")
    return wrong


def by_faulty_client(place: Place, seed: int) -> tuple[int, list[str]]:
    """Store and fetch the shots of a run through a client whose requests fail; how many failed, and what went wrong."""
    import s3fs

    from stbench.storage.mirror import Mirror
    from stbench.store import RunFolder
    from stbench.verified import Verified

    run, before = RunFolder.open(place.run), place.facts()
    store = Faulty(s3fs.S3FileSystem(use_listings_cache=False), seed)
    mirror = Mirror(f"s3://films/faulty-{seed}", store=store, sleep=lambda _: None)
    for part in run.story_records():
        for record in part.records:
            mirror.push(run, record)
    shutil.rmtree(place.run / "shots")
    fetched = sum(len(mirror.pull(run, story, Verified(run.path))) for story in run.stories)
    wrong = [] if fetched == sum(place.lengths) else [f"{fetched} of {sum(place.lengths)} shots came back"]
    return store.injected, wrong if place.facts() == before else [*wrong, "records, frames or scores differ"]


def by_two_machines(work: Path, reference: dict[str, Any], lengths: list[int], *, killed: bool, seed: int) -> tuple[str, list[str]]:
    """Two commands, each with a disk of its own and two workers, film one run in the bucket at the same time; found, and wrong.

    Args:
        work: Where their disks are.
        reference: Facts of a run of one process.
        lengths: Shots of the stories.
        killed: One machine, with all its processes, is killed at a random moment; the other goes on alone.
        seed: Of that moment.
    """
    source = random.Random(seed)
    words = ["--workers", "2", "--mirror", f"s3://films/two-{killed}-{seed}"]
    places = [Place(folder=work / f"two-{killed}-{seed}-{name}", lengths=lengths) for name in "ab"]
    machines = [place.start(*words, sleep_s=0.5) for place in places]
    if killed:
        target = source.randint(1, 4)
        while len(places[0].records()) < target and machines[0].poll() is None:
            time.sleep(0.1)
        time.sleep(source.random())
        os.killpg(machines[0].pid, signal.SIGKILL)
    codes = [machine.wait(timeout=1800) for machine in machines]
    whole = places[1:] if killed else places
    wrong = [place.said() for place, code in zip(places, codes, strict=True) if code != 0 and place in whole]
    wrong += ["records, frames or scores differ" for place in whole if not wrong and place.facts() != reference]
    asked = sum((place.asked() for place in places), Counter[str]())
    twice = sum(times - 1 for times in asked.values())
    if twice > (2 if killed else 0):  # the killed machine had two shots in progress
        wrong.append(f"{twice} shots were made twice")
    shares = " and ".join(str(sum(place.asked().values())) for place in places)
    return f"{shares} shots asked for, {twice} of them again", wrong
