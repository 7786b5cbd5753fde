"""HoloCine's input: one global caption, one caption per shot, and the frames at which shots begin (arXiv 2510.20822).

The model makes a whole film at once, 241 frames at 16 per second, and every shot begins with a cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stbench.dialects.memento import split_prompt

FRAMES = 241
OWN = ("global_caption", "shot_captions", "story_name", "entities")


def recognise(data: Mapping[str, Any]) -> bool:
    """Whether JSON data is an input of HoloCine."""
    return "shot_captions" in data and "scenes" not in data


def read(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One scene in which every shot begins with a cut; its frames are kept as they are."""
    captions = data["shot_captions"]
    shots = len(captions) if isinstance(captions, list) else 0
    scene = {"scene_num": 1, "video_prompts": captions, "cut": [True] * shots}
    extra = {key: value for key, value in data.items() if key not in OWN}
    return {"story_name": data.get("story_name", name), "story_overview": data.get("global_caption", ""), "scenes": [scene], **extra}


def write(script: Mapping[str, Any]) -> dict[str, Any]:
    """A checked script as one film of 241 frames with cuts at equal distances."""
    captions = [split_prompt(prompt)[1] for scene in script["scenes"] for prompt in scene["video_prompts"]]
    frames = script.get("num_frames", FRAMES)
    frames = frames if isinstance(frames, int) else FRAMES
    cuts = script.get("shot_cut_frames", cut_frames(len(captions), frames))
    return {
        "story_name": script["story_name"],
        "global_caption": _caption(script, len(captions)),
        "shot_captions": captions,
        "shot_cut_frames": cuts,
        "num_frames": frames,
    }


def _caption(script: Mapping[str, Any], shots: int) -> str:
    """What holds for the whole film: the overview, who recurs, and how many shots there are."""
    overview = str(script.get("story_overview") or script["story_name"])
    if "shot_cut_frames" in script:
        return overview  # it came from HoloCine and says all this
    people: Sequence[Mapping[str, Any]] = script.get("entities") or ()
    looks = [f"[{entity['id']}]: {entity['description'].rstrip('.')}." for entity in people if entity.get("description")]
    return " ".join([overview, *looks, f"This scene contains {shots} shots."])


def cut_frames(shots: int, frames: int = FRAMES) -> list[int]:
    """First frame of every shot but the first, at equal distances, each of the form 4t + 1.

    Example:
        >>> cut_frames(4), cut_frames(1)
        ([61, 121, 181], [])
    """
    return [4 * round(frames * k / shots / 4) + 1 for k in range(1, shots)]
