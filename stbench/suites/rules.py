"""Rules for one script: what a program can see wrong in it. Each gives problems with the field that they are about.

Levels: an *error* makes numbers wrong or a run fail; a *warning* is probably not meant; a *note* is worth knowing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from stbench.errors import did_you_mean
from stbench.story import Story
from stbench.suites.tokens import CLIP, UMT5, umt5_estimate

ERROR, WARNING, NOTE = "error", "warning", "note"
RULES = {  # rule → what it finds
    "script": "the file is no valid script",
    "promise": "the suite is not what its index promises",
    "entity-unknown": "a shot names an entity that is not declared",
    "place-kind": "a shot is at an entity that is no place",
    "unknown-field": "a field that nearly has a known name",
    "overview-missing": "no overview: metrics that compare the whole film with it have nothing to read",
    "scene-start": "a scene whose first shot is no cut",
    "scene-order": "scene numbers that do not rise",
    "repeated-prompt": "two shots of a story with the same prompt",
    "near-duplicate": "two shots of a story whose prompts share most of their words in order",
    "too-long": "a prompt beyond what a text encoder reads",
    "too-short": "a prompt of fewer than four words",
    "non-visual": "wording that no picture can show",
    "several-shots": "wording that asks for more than one shot",
    "first-frame-missing": "first-frame prompts for some shots only",
    "entity-unused": "an entity that is in no shot",
    "entity-undescribed": "an entity without a description",
    "shot-empty": "a shot of an annotated story with neither entity nor place",
    "length": "a number of shots outside of ST-Bench's 8 to 12",
}
NEAR = 0.8  # share of common word triples from which two prompts count as near-duplicates
MAX_PAIRS_OF = 60  # beyond so many shots, near-duplicates are looked for among neighbours only
TOP = ("story_name", "story_overview", "scenes", "entities", "references", "reconstruct_target")
SCENE = ("scene_num", "video_prompts", "first_frame_prompt", "cut", "entities", "places", "global_caption", "truth")

_NON_VISUAL = re.compile(
    r"\b(?:remember(?:s|ed|ing)?|reali[sz](?:es|ed|ing)|think(?:s|ing)? (?:of|about|that)|wonder(?:s|ed) (?:if|whether|what)"
    r"|hopes? (?:that|to|for)|decid(?:es|ed) (?:to|that)|symboli[sz](?:es|ing|e)|represent(?:s|ing) (?:the|his|her|their|a)"
    r"|smells? (?:of|like)|scent of|sound of|can be heard|(?:is|are) heard|hears?|whispers?|voice-?over|narrat(?:es|or|ion)"
    r"|background music|soundtrack|melody|says|said|knows? that|feel(?:s|ing) (?:that|a sense|lonely|happy|sad|sure)"
    r"|sense of|years? (?:later|ago)|meanwhile|once upon a time)\b",
    re.IGNORECASE,
)
_SEVERAL = re.compile(
    r"\b(?:cuts? to|next shot|then we see|the scene (?:changes|shifts)|smash cut|montage|cross-?cut(?:s|ting)?"
    r"|series of (?:shots|quick cuts))\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One problem of one script; `field` as in error messages."""

    level: str
    rule: str
    field: str
    message: str


def shot_fields(data: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(place of its scene, place in the scene) of every shot, in order."""
    return [(i, k) for i, scene in enumerate(data["scenes"]) for k in range(len(scene["video_prompts"]))]


def findings(data: Mapping[str, Any], story: Story, clip_tokens: Sequence[int]) -> Iterator[Finding]:
    """Everything that the rules find in one valid script.

    Args:
        data: The script in the one shape (`stbench.dialects`).
        story: What was made of it.
        clip_tokens: Lengths of its prompts.
    """
    fields = [f"scenes[{i}].{{}}[{k}]" for i, k in shot_fields(data)]
    yield from _fields(data)
    yield from _structure(data, story)
    yield from _prompts(story, fields, clip_tokens)
    yield from _repeats(story, fields)
    yield from _first_frames(story, fields)
    if story.entities:
        yield from _entities(story, fields)


def _fields(data: Mapping[str, Any]) -> Iterator[Finding]:
    parts: list[tuple[str, Mapping[str, Any], tuple[str, ...]]] = [("", data, TOP)]
    parts += [(f"scenes[{i}].", scene, SCENE) for i, scene in enumerate(data["scenes"])]
    for place, part, known in parts:
        for key in part:
            question = did_you_mean(key, known, cutoff=0.8) if key not in known else None
            if question:
                yield Finding(level=WARNING, rule="unknown-field", field=f"{place}{key}", message=f"unknown field {key!r}; {question}")


def _structure(data: Mapping[str, Any], story: Story) -> Iterator[Finding]:
    if not story.overview.strip():
        yield Finding(level=WARNING, rule="overview-missing", field="story_overview", message="the story has no overview")
    if not 8 <= len(story.shots) <= 12:
        message = f"{len(story.shots)} shot{'s' if len(story.shots) != 1 else ''}; ST-Bench has 8 to 12 in a story"
        yield Finding(level=NOTE, rule="length", field="scenes", message=message)
    numbers = [scene["scene_num"] for scene in data["scenes"]]
    for i, (before, after) in enumerate(pairwise(numbers), start=1):
        if after < before:
            message = f"scene {after} comes after scene {before}"
            yield Finding(level=WARNING, rule="scene-order", field=f"scenes[{i}].scene_num", message=message)
    for shot, (i, k) in zip(story.shots, shot_fields(data), strict=True):
        if k == 0 and not shot.cut:
            message = "the scene goes on from the last one without a cut"
            yield Finding(level=WARNING, rule="scene-start", field=f"scenes[{i}].cut[0]", message=message)


def _prompts(story: Story, fields: Sequence[str], clip_tokens: Sequence[int]) -> Iterator[Finding]:
    for shot, field, clip in zip(story.shots, fields, clip_tokens, strict=True):
        place = field.format("video_prompts")
        if clip > CLIP.tokens:
            message = f"{clip} tokens; {CLIP.name} reads {CLIP.tokens}"
            yield Finding(level=WARNING, rule="too-long", field=place, message=message)
        if (needed := umt5_estimate(shot.prompt)) > UMT5.tokens:
            message = f"about {needed} tokens (estimated); {UMT5.name} reads {UMT5.tokens}"
            yield Finding(level=WARNING, rule="too-long", field=place, message=message)
        if len(shot.prompt.split()) < 4 and len(shot.prompt) < 16:
            yield Finding(level=WARNING, rule="too-short", field=place, message=f"{len(shot.prompt.split())} words do not describe a shot")
        for rule, pattern in (("non-visual", _NON_VISUAL), ("several-shots", _SEVERAL)):
            if match := pattern.search(shot.prompt):
                what = "cannot be seen" if rule == "non-visual" else "asks for more than one shot"
                yield Finding(level=WARNING, rule=rule, field=place, message=f"{match[0]!r} {what}")


def _repeats(story: Story, fields: Sequence[str]) -> Iterator[Finding]:
    sets = [_triples(shot.prompt) for shot in story.shots]
    seen: dict[str, int] = {}
    for k, shot in enumerate(story.shots):
        text = " ".join(shot.prompt.lower().split())
        if text in seen:
            message = f"the prompt of shot {seen[text] + 1} again"
            yield Finding(level=WARNING, rule="repeated-prompt", field=fields[k].format("video_prompts"), message=message)
        seen.setdefault(text, k)
    reach = len(sets) if len(sets) <= MAX_PAIRS_OF else 10
    for a, b in combinations(range(len(sets)), 2):
        if b - a < reach and sets[a] != sets[b] and len(sets[a]) > 7 and len(sets[b]) > 7:
            share = len(sets[a] & sets[b]) / len(sets[a] | sets[b])
            if share >= NEAR:
                message = f"shares {share:.0%} of its word triples with shot {a + 1}"
                yield Finding(level=WARNING, rule="near-duplicate", field=fields[b].format("video_prompts"), message=message)


def _triples(text: str) -> frozenset[tuple[str, str, str]]:
    words = _WORD.findall(text.lower())
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def _first_frames(story: Story, fields: Sequence[str]) -> Iterator[Finding]:
    missing = [k for k, shot in enumerate(story.shots) if not (shot.first_frame_prompt or "").strip()]
    if len(missing) == len(story.shots):
        yield Finding(level=NOTE, rule="first-frame-missing", field="scenes[0]", message="no first-frame prompts")
        return
    for k in missing:
        message = "no first-frame prompt, although other shots have one"
        yield Finding(level=WARNING, rule="first-frame-missing", field=fields[k].format("first_frame_prompt"), message=message)


def _entities(story: Story, fields: Sequence[str]) -> Iterator[Finding]:
    kinds = {entity.id: entity.kind for entity in story.entities}
    used = {name for shot in story.shots for name in (*shot.entities, shot.place) if name}
    for shot, field in zip(story.shots, fields, strict=True):
        for name in shot.entities:
            if name not in kinds:
                yield _unknown(name, field.format("entities"), kinds)
        if shot.place is not None and shot.place not in kinds:
            yield _unknown(shot.place, field.format("places"), kinds)
        elif shot.place is not None and kinds[shot.place] != "place":
            message = f"{shot.place!r} is a {kinds[shot.place]}, not a place"
            yield Finding(level=ERROR, rule="place-kind", field=field.format("places"), message=message)
        if not shot.entities and shot.place is None:
            message = "nobody and no place is said to be in this shot"
            yield Finding(level=NOTE, rule="shot-empty", field=field.format("entities"), message=message)
    for k, entity in enumerate(story.entities):
        if entity.id not in used:
            yield Finding(level=WARNING, rule="entity-unused", field=f"entities[{k}].id", message=f"{entity.id!r} is in no shot")
        if not entity.description.strip():
            message = f"{entity.id!r} has no description"
            yield Finding(level=NOTE, rule="entity-undescribed", field=f"entities[{k}].description", message=message)


def _unknown(name: str, field: str, kinds: Mapping[str, str]) -> Finding:
    question = did_you_mean(name, kinds)
    message = f"{name!r} is not declared among the entities" + (f"; {question}" if question else "")
    return Finding(level=ERROR, rule="entity-unknown", field=field, message=message)
