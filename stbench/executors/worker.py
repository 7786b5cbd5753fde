"""A worker: one process that holds the loaded models and films the stories it is given, one after the other.

The engine around it (a process of this machine, a Ray actor) gives it stories and takes its messages. It writes its own segment of the
journal and the shots of stories it has leased, and nothing else of the run: manifest, scores and films are the driver's.
"""

from __future__ import annotations

import threading
import time
import traceback
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stbench.display import Display
from stbench.errors import InvalidRunError, UserError
from stbench.executors.fleet import Busy, Ended, Message, Progress, Refused, Task
from stbench.filming import Halt, LazyMaker, Studio, film_story
from stbench.journal import Journal, segment_path
from stbench.manifest import versions
from stbench.methods import METHODS, Method
from stbench.storage.leases import BEATS, LeaseLostError, Leases, this_machine
from stbench.storage.mirror import publisher
from stbench.storage.turns import Turns, turns_of
from stbench.store import RunFolder

if TYPE_CHECKING:
    from stbench.story import Shot, Story

ASK_AGAIN_S = 5.0  # for a story that another has: its process may end long before its lease
PIXELS = ("stbench", "torch", "diffusers", "transformers", "peft", "numpy", "av")  # packages that can change them


def new_name(number: int) -> str:
    """A name for a worker that no other has in any run: "w3-5f2c90aa"."""
    return f"w{number}-{uuid.uuid4().hex[:8]}"


class Worker:
    """Use it as a context manager; then call `film` for each story.

    Args:
        task: What the run is.
        name: The worker's name.
        send: Where its messages go.
    """

    def __init__(self, task: Task, name: str, send: Callable[[Message], None]):
        self.task, self.name, self._send = task, name, send
        self.halt = Halt()
        self.leases = Leases(task.run, writer=name)
        self._story: str | None = None  # that it has a lease of
        self._turns: Turns | None = None
        self._stack = ExitStack()
        self._over = threading.Event()

    def __enter__(self) -> Worker:
        task = self.task
        method = _method(task)
        folder = RunFolder(task.run, task.manifest)
        display = _Relay(self.name, self._send)
        maker = self._stack.enter_context(LazyMaker(method, task.device, display, task.stories))
        journals = [Journal(segment_path(path, self.name), time.time) for path in (folder.events_path, folder.timing_path)]
        for journal in journals:
            self._stack.callback(journal.close)
        self._studio = Studio(
            folder=folder,
            maker=maker,
            journal=journals[0],
            timing=journals[1],
            display=display,
            device=task.device,
            attempts=task.attempts,
            on_error=task.on_error,
            halt=self.halt,
            shared=True,
            ensure=self._ensure,
            published=publisher(task.mirror, folder, journals[0]),
        )
        self._turns = self._stack.enter_context(turns_of(task.mirror, folder, journals[0], display.line, writer=self.name))
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        self.leave()
        self._stack.close()

    def film(self, story: Story) -> None:
        """Film a story, or say who has it; the last message is `Ended`, `Busy` or `Refused`."""
        self._send(self._filmed(story))

    def _filmed(self, story: Story) -> Message:
        try:
            retry_s = self.leases.take(story.id)
            if retry_s:
                return Busy(worker=self.name, story=story.id, retry_s=min(retry_s, ASK_AGAIN_S))
            self._story = story.id
            try:
                if self._turns is not None and (retry_s := self._turns.take(story)):
                    return Busy(worker=self.name, story=story.id, retry_s=retry_s)
                if not self.task.stories:
                    self._studio.maker.expect((story,))
                outcome = film_story(self._studio, story)
                return Ended(worker=self.name, outcome=replace(outcome, fetched=self._turns.fetched) if self._turns else outcome)
            finally:
                self.leave()
        except LeaseLostError as error:
            self._studio.journal.add("lease_lost", story=story.id, reason=str(error))
            return Busy(worker=self.name, story=story.id, retry_s=self.leases.life_s)
        except UserError as error:
            return Refused(worker=self.name, text=str(error), exit_code=error.exit_code)
        except Exception:
            return Refused(worker=self.name, text=traceback.format_exc(), exit_code=None)

    def leave(self) -> None:
        """Give back the story, if it has one, when nothing of it can be published any more."""
        story, self._story = self._story, None
        if self._turns is not None:
            self._turns.leave()
        if story is not None:
            self.leases.release(story)

    def _ensure(self, story: str) -> None:
        self.leases.ensure(story)
        if self._turns is not None:
            self._turns.ensure(story)

    def _beat(self) -> None:
        while not self._over.wait(self.leases.life_s / BEATS):
            if (story := self._story) is not None:
                self.leases.renew(story)


def _method(task: Task) -> Method:
    """The method as this machine has it; an `InvalidRunError` if it could make other pixels than the run's."""
    name, here = task.manifest.method, versions()
    for package in PIXELS:
        if here.get(package) != task.manifest.versions.get(package):
            found, wanted = here.get(package, "none"), task.manifest.versions.get(package, "none")
            raise InvalidRunError(f"this worker has {package} {found}", where=this_machine(), expected=f"{wanted}, as the driver has")
    METHODS.add(name, task.target)
    method = METHODS.get(name).from_options(model=task.manifest.model, options=task.options)
    if task.manifest.model_copy(update={"identity": dict(method.identity())}).identity_digest != task.manifest.identity_digest:
        raise InvalidRunError("this worker has other weights or another version than the run", where=f"method {name}")
    return method


class _Relay(Display):
    """Sends on what a display would show."""

    def __init__(self, worker: str, send: Callable[[Message], None]):
        super().__init__()
        self._worker, self._tell = worker, send

    def _pass_on(self, call: str, story: Story | None = None, shot: Shot | None = None, **facts: Any) -> None:
        self._tell(
            Progress(worker=self._worker, call=call, story=story.id if story else None, shot=shot.index if shot else None, facts=facts)
        )

    def loading(self, method: str, device: str) -> None:
        self._pass_on("loading", method=method, device=device)

    def line(self, text: str) -> None:
        self._pass_on("line", text=text)

    def shot_started(self, story: Story, shot: Shot) -> None:
        self._pass_on("shot_started", story, shot)

    def shot_done(self, story: Story, shot: Shot, *, seconds: float, reused: bool) -> None:
        self._pass_on("shot_done", story, shot, seconds=seconds, reused=reused)

    def failure(self, story: Story, shot: Shot, *, attempt: int, attempts: int, reason: str) -> None:
        self._pass_on("failure", story, shot, attempt=attempt, attempts=attempts, reason=reason)
