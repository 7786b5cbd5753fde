"""Turns: which machine films which story of a run that several machines keep in one object store, each on a disk of its own.

A claim is an object, `claims/<story>/<n>.json`, made with "create if it is not there", which an object store grants to one client only. Its
holder writes it again with a higher beat while it films, and once more when it is done. Whoever has watched the newest claim stay the same
for `LIFE_S`, by his own clock, makes number n+1, and the story is his; the old holder sees that before it publishes, and drops its shot.
Nothing is listed or renamed, and clocks need not agree.

It promises that a machine that slept through its claim does not publish afterwards, as far as the store shows what was written. On a store
that shows it late, a shot may be made twice; both are whole, and of the same key.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from stbench.storage.leases import BEATS, LeaseLostError, alive, this_machine
from stbench.storage.mirror import Mirror, MirrorError
from stbench.verified import Verified

if TYPE_CHECKING:
    from stbench.journal import Journal
    from stbench.store import RunFolder
    from stbench.story import Story

LIFE_S = 120.0  # longer than a lease on a disk: a request may take a while
ASK_AGAIN_S = 5.0


class Turns:
    """The turns of one process; close it.

    Args:
        mirror: Where the run is kept.
        folder: The run on this machine's disk.
        journal: Told what was fetched.
        writer: A name that no other process ever had in this run.
        say: Shows a line.
        life_s: After how long without a beat another may take over.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        mirror: Mirror,
        folder: RunFolder,
        journal: Journal,
        *,
        writer: str,
        say: Callable[[str], None] = lambda text: None,
        life_s: float = LIFE_S,
        now: Callable[[], float] = time.monotonic,
    ):
        self._mirror, self._folder, self._journal, self.writer = mirror, folder, journal, writer
        self.life_s, self._say, self._now = life_s, say, now
        self._newest: dict[str, int] = {}  # story → number of its newest claim that was seen
        self._watched: dict[str, tuple[bytes, float]] = {}  # story → its newest claim, and since when it is the same
        self.holds: tuple[str, int] | None = None  # story, and the number of its claim
        self._beat, self._lock = 0, threading.Lock()  # of writing one's own claim: no heartbeat after "done"
        self._over = threading.Event()
        self.fetched = 0  # shots, at the last story that was taken
        threading.Thread(target=self._beats, name="turns", daemon=True).start()

    def take(self, story: Story) -> float:
        """Take a story and fetch what others made of it: 0 if it is this process's now, else seconds until asking again makes sense."""
        try:
            if not self._claim(story.id):
                return ASK_AGAIN_S
            pulled = self._mirror.pull(self._folder, story, Verified(self._folder.path))
        except MirrorError as error:
            self._journal.add("store_away", story=story.id, reason=str(error))
            self._say(f"  waiting for the store: {error}")
            self.leave()
            return ASK_AGAIN_S
        for record in pulled:
            self._journal.add("shot_fetched", story=record.story, shot=record.shot, key=record.shot_key, url=self._mirror.url)
        self.fetched = len(pulled)
        return 0.0

    def ensure(self, story: str) -> None:
        """Raise a `LeaseLostError` if another took the story over. A store that does not answer proves nothing, so the shot is kept."""
        if self.holds is None or self.holds[0] != story:
            raise LeaseLostError(f"is not {self.writer}'s", where=f"story {story}")
        try:
            lost = self._mirror.get(_name(story, self.holds[1] + 1)) is not None
        except MirrorError:
            return
        if lost:
            raise LeaseLostError(f"is another machine's now: {self.writer} was silent too long", where=f"story {story}")

    def leave(self) -> None:
        """Give the story back, if there is one; a store that does not answer learns of it by the silence."""
        with self._lock:
            mine, self.holds = self.holds, None
            if mine is not None:
                with suppress(MirrorError):
                    self._mirror.put(_name(*mine), self._claimed(done=True))

    def close(self) -> None:
        """No beat any more."""
        self._over.set()
        self.leave()

    def _claim(self, story: str) -> bool:
        number, newest = self._find_newest(story)
        if newest is not None and not self._is_free(story, newest):
            return False
        number += newest is not None
        if not self._mirror.create(_name(story, number), self._claimed()):
            return False
        self._newest[story], self.holds = number, (story, number)
        return True

    def _find_newest(self, story: str) -> tuple[int, bytes | None]:
        """The newest claim, and its number; number 0 and None where there is none."""
        number = self._newest.get(story, 0)
        found = self._mirror.get(_name(story, number))
        while found is not None and (later := self._mirror.get(_name(story, number + 1))) is not None:
            number, found = number + 1, later
        if found is not None:
            self._newest[story] = number
        return number, found

    def _is_free(self, story: str, claim: bytes) -> bool:
        """Given back, its holder was a process of this machine and is gone, or it was silent too long. A torn claim may be anybody's."""
        with suppress(ValueError, KeyError, TypeError):
            holder = json.loads(claim)
            if holder["done"] or (holder["machine"] == this_machine() and not alive(int(holder["pid"]))):
                return True
        seen, since = self._watched.get(story, (b"", 0.0))
        if seen != claim:
            self._watched[story] = (claim, self._now())
            return False
        return self._now() - since > self.life_s

    def _claimed(self, *, done: bool = False) -> bytes:
        self._beat += 1
        facts = {"writer": self.writer, "machine": this_machine(), "pid": os.getpid(), "beat": self._beat, "done": done}
        return json.dumps(facts).encode()

    def _beats(self) -> None:
        while not self._over.wait(self.life_s / BEATS):
            self.beat()

    def beat(self) -> None:
        """Say that the story is still being filmed; one request, and whether it fails the next one tells."""
        with self._lock, suppress(Exception):
            if self.holds is not None:
                self._mirror.put_once(_name(*self.holds), self._claimed())


def _name(story: str, number: int) -> str:
    return f"claims/{story}/{number}.json"


@contextmanager
def turns_of(
    url: str | None, folder: RunFolder, journal: Journal, say: Callable[[str], None], *, writer: str | None = None
) -> Iterator[Turns | None]:
    """The turns of a run that has a mirror; None for another."""
    if url is None:
        yield None
        return
    with closing(Turns(Mirror(url), folder, journal, writer=writer or f"alone-{uuid.uuid4().hex[:8]}", say=say)) as turns:
        yield turns
