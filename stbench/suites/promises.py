"""What a suite's index promises in `design`, held against what its scripts are. So a suite's own rules are enforced, not only told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stbench.suites.measure import Facts, Range

_RANGES: dict[str, tuple[str, Callable[[Facts], Range]]] = {
    "shots": ("shots per story", lambda facts: facts.shots_per_story),
    "scenes": ("scenes per story", lambda facts: facts.scenes),
    "words": ("words per prompt", lambda facts: facts.words),
    "sentences": ("sentences per prompt", lambda facts: facts.sentences),
    "characters": ("characters per story", lambda facts: facts.characters),
}


def broken_promises(design: Mapping[str, Any], facts: Facts) -> list[str]:
    """What the index promises and the scripts do not keep; a promise that is not understood is broken as well.

    Args:
        design: Of the index: `shots`, `scenes`, `words`, `sentences`, `characters` and `continuations` as [least, most], `clip_tokens` as a
            limit, `stories` and `total_shots` as counts, `gaps` as a list of lengths that must occur, `appearance` as counts,
            `first_frames` and `entities` as true for every shot.
        facts: Of all scripts.
    """
    lines: list[str] = []
    for key, promised in design.items():
        try:
            lines += _broken(key, promised, facts)
        except (TypeError, ValueError):
            lines.append(f"{key}: {promised!r:.40} is not understood")
    return lines


def _broken(key: str, promised: Any, facts: Facts) -> list[str]:
    if key in _RANGES:
        name, find = _RANGES[key]
        low, high = promised
        found = find(facts)
        return [] if found.count and low <= found.low and found.high <= high else [f"{name}: {found.text()}, promised {low}-{high}"]
    if key == "continuations":
        low, high = promised
        return [] if low <= facts.continuations <= high else [f"continuations: {facts.continuations:.1%}, promised {low:.0%}-{high:.0%}"]
    if key == "clip_tokens":
        return (
            [] if facts.clip_tokens.high <= promised else [f"CLIP tokens: up to {facts.clip_tokens.high:.0f}, promised at most {promised}"]
        )
    if key == "gaps":
        missing = [str(gap) for gap in promised if not facts.gaps[gap]]
        return [f"no return after {', '.join(missing)} shots, although promised"] if missing else []
    counts: dict[str, Any] = {
        "stories": facts.stories,
        "total_shots": facts.shots,
        "appearance": dict(facts.appearance),
        "first_frames": facts.first_frames == facts.shots,
        "entities": facts.with_entities == facts.shots,
    }
    if key not in counts:
        return [f"{key}: {promised!r:.40} is not understood"]
    return [] if counts[key] == promised else [f"{key.replace('_', ' ')}: {counts[key]}, promised {promised}"]
