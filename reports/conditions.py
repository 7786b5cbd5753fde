"""Under which conditions each method of a table filmed, and in what they differ: a number means something only beside others made alike.

What can be read from the films is read from their records (frames, rate, size, seeds); what only the method knows (base model, parameters,
licence, steps) is what it said when it ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from reports.costs import seconds_per_shot
from reports.tables import RunScores

UNKNOWN = "–"


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """One method's row; every field is text, "–" where nobody told.

    Attributes:
        method: Title of the row.
        base_model: What it is built on.
        parameters: Of what makes the pictures.
        licence: Of the weights.
        steps: Of sampling.
        frames: Of a shot; shots that continue another have fewer where the shared frame is dropped.
        fps: Frames per second.
        size: Width and height in pixels.
        seeds: Of the runs.
        stories: Suite, and the digest of the stories that were asked for, prompts included.
        device: What it ran on.
        seconds: Per shot.
    """

    method: str
    base_model: str
    parameters: str
    licence: str
    steps: str
    frames: str
    fps: str
    size: str
    seeds: str
    stories: str
    device: str
    seconds: str


COMPARED = {  # field → what it is called in a sentence; seconds are a result, not a condition
    "base_model": "base model",
    "parameters": "parameters",
    "licence": "licence",
    "steps": "steps",
    "frames": "frames of a shot",
    "fps": "frames per second",
    "size": "picture size",
    "seeds": "seeds",
    "stories": "stories and prompts",
    "device": "device",
}


def conditions(title: str, runs: Sequence[RunScores]) -> Conditions:
    """The conditions of the runs of one method (one per seed)."""
    records = [record for run in runs for part in run.parts for record in part.records]
    manifests = [run.run.manifest for run in runs]
    card: dict[str, Any] = manifests[0].card
    steps = card.get("steps", _option(manifests[0].identity, "steps"))
    seconds = seconds_per_shot(runs)
    return Conditions(
        method=title,
        base_model=_text(card.get("base_model", manifests[0].model)),
        parameters=number_text(card.get("parameters")),
        licence=_text(card.get("licence")),
        steps=_text(steps),
        frames=_span([record.n_frames for record in records]),
        fps=_each(f"{record.fps:g}" for record in records),
        size=_each(f"{record.width}x{record.height}" for record in records),
        seeds=_each(str(m.seed) for m in manifests),
        stories=_each(f"{m.suite.name} {_stories_digest(m.stories)[:8]}, {m.counts.expected} shots" for m in manifests),
        device=_each(m.device for m in manifests),
        seconds=UNKNOWN if not seconds else f"{seconds:.2f}",
    )


ALWAYS = ("method", "base_model", "parameters", "licence", "steps", "seconds")


def conditions_table(rows: Sequence[Conditions]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of plain text: what tells methods apart, and whatever else is not the same for all (see `differences`)."""
    names = [field.name for field in fields(Conditions) if field.name in ALWAYS or len({getattr(row, field.name) for row in rows}) > 1]
    heads = [{"base_model": "base model", "seconds": "s / shot"}.get(name, name) for name in names]
    return heads, [[getattr(row, name) for name in names] for row in rows]


def differences(rows: Sequence[Conditions]) -> list[str]:
    """Lines under a table: first what is the same for all methods, then a line for each condition in which they differ."""
    same, differ = [], []
    for name, word in COMPARED.items():
        groups: dict[str, list[str]] = {}
        for row in rows:
            groups.setdefault(getattr(row, name), []).append(row.method)
        if len(groups) == 1:
            value = next(iter(groups))
            same += [] if value == UNKNOWN else [f"{word} {value}"]
        else:
            differ.append(
                f"{word} {'differ' if word.endswith('s') or name == 'frames' else 'differs'}: "
                + "; ".join(f"{value} in {', '.join(names)}" for value, names in groups.items())
            )
    return ([f"The same for all: {'; '.join(same)}."] if same else []) + [f"{line[0].upper()}{line[1:]}." for line in differ]


def number_text(value: Any) -> str:
    """A count as people say it.

    Example:
        >>> number_text(8531264), number_text(28_600_000_000), number_text(None)
        ('8.5 M', '28.6 B', '–')
    """
    if not isinstance(value, int) or isinstance(value, bool):
        return UNKNOWN
    for size, word in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f} {word}"
    return str(value)


def _option(identity: Any, name: str) -> Any:
    options = identity.get("options") if isinstance(identity, dict) else None
    return options.get(name) if isinstance(options, dict) else None


def _stories_digest(stories: Any) -> str:
    from stbench.suites import stories_digest

    return stories_digest(tuple(stories))


def _text(value: Any) -> str:
    return UNKNOWN if value in (None, "") else str(value)


def _each(values: Any) -> str:
    return ", ".join(dict.fromkeys(values)) or UNKNOWN


def _span(values: Sequence[int]) -> str:
    if not values:
        return UNKNOWN
    return str(values[0]) if min(values) == max(values) else f"{min(values)} to {max(values)}"
