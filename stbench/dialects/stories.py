"""From a parsed story back to a script, so that it can be written in any dialect."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from stbench.story import Story


def script_of(story: Story) -> dict[str, Any]:
    """A story in the one shape of scripts (`stbench.script`); lists that no shot fills are left out. Reference pictures are not in it.

    Example:
        >>> from stbench.story import Shot
        >>> cat = Shot(index=0, scene=1, number=1, prompt="A cat.", cut=True)
        >>> script_of(Story(id="c", name="Cat", overview="", shots=(cat,)))["scenes"]
        [{'scene_num': 1, 'video_prompts': ['A cat.'], 'cut': [True]}]
    """
    scenes = []
    for number, group in groupby(story.shots, key=lambda shot: shot.scene):
        shots = list(group)
        scene: dict[str, Any] = {
            "scene_num": number,
            "video_prompts": [shot.prompt for shot in shots],
            "first_frame_prompt": [shot.first_frame_prompt or "" for shot in shots],
            "cut": [shot.cut for shot in shots],
            "entities": [list(shot.entities) for shot in shots],
            "places": [shot.place for shot in shots],
        }
        scenes.append({name: value for name, value in scene.items() if name in ("scene_num", "cut") or any(value)})
    entities = [{"id": one.id, "kind": one.kind, "description": one.description} for one in story.entities]
    script = {"story_name": story.name, "story_overview": story.overview, "entities": entities, **story.extra, "scenes": scenes}
    return script if entities else {name: value for name, value in script.items() if name != "entities"}
