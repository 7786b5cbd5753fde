"""Filming every shot again and measuring the spread: same manifest, same machine, same frames; or the run says how far apart they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from stbench.errors import InvalidRunError
from stbench.files import loud, make_folder
from stbench.manifest import Repeat
from stbench.store import RunFolder


def repeat_folder(folder: RunFolder, number: int) -> Path:
    """Where the copy number `number` is filmed; removed when it has been compared."""
    return folder.path / f".repeat-{number}"


def measure(folder: RunFolder, times: int, film: Callable[[RunFolder], None]) -> Repeat:
    """Film a finished run `times` more times and compare frame by frame.

    Args:
        folder: A run with every shot.
        times: How often each shot is filmed again, ≥ 1.
        film: Films all stories of the run into another folder; an interrupted copy is continued.

    Returns:
        How many shots were equal every time, and the differences of those that were not.

    Raises:
        InvalidRunError: A shot could not be made again.
    """
    import numpy as np

    equal: dict[tuple[str, str], bool] = {}
    largest, total, values = 0, 0.0, 0
    for number in range(1, times + 1):
        path = repeat_folder(folder, number)
        make_folder(path)
        copy = RunFolder(path, folder.manifest)
        film(copy)
        for part, again in zip(folder.story_records(), copy.story_records(), strict=True):
            if len(part.records) != len(again.records):
                raise InvalidRunError(f"{len(again.missing)} shots could not be made again", where=f"story {part.story.id}")
            for first, second in zip(part.records, again.records, strict=True):
                name, same = (first.story, first.shot), first.video.sha256 == second.video.sha256
                frames = folder.read_frames(first)
                values += frames.size
                if not same:
                    difference = np.abs(frames.astype(np.int16) - copy.read_frames(second))
                    largest, total = max(largest, int(difference.max())), total + float(difference.sum())
                    same = not difference.any()
                equal[name] = equal.get(name, True) and same
        with loud(path):
            shutil.rmtree(path)
    return Repeat(times=times, shots=len(equal), equal=sum(equal.values()), largest=largest, mean=total / values if values else 0.0)


def in_words(found: Repeat) -> str:
    """One line for people."""
    again = "once more" if found.times == 1 else f"{found.times} times more"
    if found.equal == found.shots:
        return f"filmed {again}: all {found.shots} shots are the same, bit for bit"
    spread = f"values differ by at most {found.largest} of 255, {found.mean:.4f} on average"
    return f"filmed {again}: {found.equal} of {found.shots} shots are the same; {spread}"
