"""What one shot costs the storage: requests by kind and bytes of journal, counted while the real code films with the fake method."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_runs import PLUGINS, write_suite

AUDITED = {"open": "open", "os.rename": "rename", "os.remove": "remove", "os.mkdir": "mkdir", "os.utime": "utime"}
STORIES, SHOTS = 8, 10


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Per shot; that of taking and giving back the story is shared out. Looks (stat) are not counted: clients cache them."""

    requests: dict[str, float]
    journal_bytes: float
    timing_bytes: float


def measure() -> Cost:
    """Film some stories with a worker in this process and count."""
    sys.path.insert(0, str(PLUGINS))
    import fake_methods

    from stbench.config import RunConfig
    from stbench.executors.fleet import Task
    from stbench.executors.worker import Worker
    from stbench.journal import segment_path
    from stbench.methods import METHODS
    from stbench.runner import prepare

    fake_methods.install()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "run"
        suite = write_suite(Path(folder) / "tales", [SHOTS] * STORIES)
        _, _, manifest, _ = prepare(RunConfig(method="fake", suite=str(suite), out=root, device="cpu"))
        root.mkdir()
        task = Task(
            run=root,
            manifest=manifest,
            target=METHODS.target("fake"),
            options={},
            stories=(),
            device="cpu",
            attempts=2,
            on_error="skip-story",
        )
        counting, real = False, os.fsync

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if counting and event in AUDITED and isinstance(arguments[0], str | os.PathLike) and str(arguments[0]).startswith(folder):
                counts[AUDITED[event]] += 1

        def fsync(descriptor: int) -> None:
            counts["fsync"] += counting
            real(descriptor)

        sys.addaudithook(hook)
        os.fsync = fsync  # type: ignore[assignment]
        with Worker(task, "w0-cost", lambda _: None) as worker:
            worker.film(manifest.stories[0])  # makes folders, loads libraries
            sizes = [segment_path(root / name, "w0-cost").stat().st_size for name in ("events.jsonl", "timing.jsonl")]
            counting = True
            for story in manifest.stories[1:]:
                worker.film(story)
            counting = False
        os.fsync = real
        after = [segment_path(root / name, "w0-cost").stat().st_size for name in ("events.jsonl", "timing.jsonl")]
    shots = SHOTS * (STORIES - 1)
    return Cost(
        requests={name: round(count / shots, 2) for name, count in sorted(counts.items())},
        journal_bytes=(after[0] - sizes[0]) / shots,
        timing_bytes=(after[1] - sizes[1]) / shots,
    )


if __name__ == "__main__":
    print(measure())
