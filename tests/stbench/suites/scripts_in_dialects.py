"""Small scripts in the shape of every dialect, written for these tests."""

from __future__ import annotations

import json

LOOK = "a tall woman in a green raincoat with short grey hair"
FOX = "a young fox with a torn left ear"

ST_BENCH = {
    "story_name": "The Ferry",
    "story_overview": "A woman and a fox cross a lake.",
    "scenes": [
        {
            "scene_num": 1,
            "video_prompts": ["Wide shot of a misty lake.", "A woman rows towards a pier."],
            "first_frame_prompt": ["A misty lake.", "A woman in a boat."],
            "cut": [True, False],
        },
        {"scene_num": 2, "video_prompts": ["Close-up of a fox on the pier."], "first_frame_prompt": ["A fox."], "cut": [True]},
    ],
}
WITH_STRINGS = json.loads(json.dumps(ST_BENCH).replace("true", '"True"').replace("false", '"False"'))
ANNOTATED = json.loads(json.dumps(ST_BENCH)) | {
    "entities": [
        {"id": "woman", "kind": "character", "description": LOOK},
        {"id": "fox", "kind": "character", "description": FOX},
        {"id": "boat", "kind": "object", "description": "a flat blue boat"},
        {"id": "lake", "kind": "place", "description": "a round lake between dark pines"},
    ]
}
ANNOTATED["scenes"][0] |= {"entities": [[], ["woman", "boat"]], "places": ["lake", "lake"]}
ANNOTATED["scenes"][1] |= {"entities": [["fox"]], "places": [None]}

ENTITYBENCH_OBJECTS = {
    "episode_id": "ep_001",
    "story_name": "The Ferry",
    "story_overview": "A woman and a fox cross a lake.",
    "entity_registry": {
        "characters": {"woman": {"description": LOOK, "gender": "female"}, "fox": FOX},
        "objects": {"boat": "a flat blue boat"},
        "locations": {"lake": {"prompt": "a round lake between dark pines"}},
    },
    "scenes": [
        {
            "scene_num": 1,
            "video_prompts": ["Wide shot of a misty lake.", "A woman rows towards a pier."],
            "first_frame_prompt": ["A misty lake.", "A woman in a boat."],
            "cut": [True, False],
            "entity_schedule": [
                {"characters": [], "objects": [], "locations": ["lake"]},
                {"characters": ["woman"], "objects": ["boat"], "location": "lake"},
            ],
        },
        {
            "scene_num": 2,
            "video_prompts": ["Close-up of a fox on the pier."],
            "first_frame_prompt": ["A fox."],
            "cut": [True],
            "entity_schedule": [{"characters": ["fox"], "objects": [], "locations": []}],
        },
    ],
}
ENTITYBENCH_LISTS = {
    "story_name": "The Ferry",
    "scenes": [
        {
            "scene_num": 1,
            "video_prompts": ["Wide shot of a misty lake.", "A woman rows towards a pier."],
            "cut": ["True", "False"],
            "characters": [[], ["woman"]],
            "objects": [[], ["boat"]],
            "locations": ["lake", "lake"],
        }
    ],
}
_GLOBAL = f"global caption: [Person A]: {LOOK}; [Animal B]: {FOX}; shot caption: "
MEMENTO = {
    "story_name": "The Ferry",
    "story_overview": "A woman and a fox cross a lake.",
    "reconstruct_target": f"[Person A] {LOOK}",
    "scenes": [
        {
            "scene_num": 1,
            "video_prompts": [_GLOBAL + "[Person A] rows; the mist lifts.", _GLOBAL + "[Person A] meets [Animal B] on the pier."],
            "first_frame_prompt": ["A woman in a boat.", "A woman and a fox."],
            "cut": [True, False],
        }
    ],
}
HOLOCINE = {
    "global_caption": "The scene features [character1], a woman in a green raincoat. This scene contains 3 shots.",
    "shot_captions": ["Wide shot of a lake.", "Medium shot of [character1].", "Close-up of a fox."],
    "shot_cut_frames": [77, 149],
    "num_frames": 241,
}
JSON5 = """// a script with comments
{
  story_name: 'The Ferry',
  "story_overview": "A woman and a fox cross a lake.",
  "scenes": [
    {"scene_num": 1, "video_prompts": ["Wide shot of a misty lake."], "cut": [true],},
  ],
}
"""
YAML = f"""\
title: The Ferry
overview: A woman and a fox cross a lake.
entities:
  woman: {{kind: character, description: {LOOK}}}
  fox: {FOX}
scenes:
  - shots:
      - prompt: Wide shot of a misty lake.
        first_frame: A misty lake.
        where: lake
      - prompt: A woman rows towards a pier.
        continues: true
        who: [woman]
  - number: 7
    shots:
      - prompt: Close-up of a fox on the pier.
        who: [fox]
"""
MARKDOWN = f"""\
# The Ferry

A woman and a fox
cross a lake.

## Cast

- **woman** (character): {LOOK}
- **fox**: {FOX}

## Scene 1: the lake

### Shot 1

Wide shot of a
misty lake.

First frame: A misty lake.
Where: lake

### Shot 2 · continues

A woman rows towards a pier.

Who: woman

## Scene 7

### Shot 1 (cut)

Close-up of a fox on the pier.

Who: fox
"""

FILES: dict[str, str] = {
    "st_bench.json": json.dumps(ST_BENCH),
    "strings.json": json.dumps(WITH_STRINGS),
    "annotated.json": json.dumps(ANNOTATED, indent=1),
    "entitybench.json": json.dumps(ENTITYBENCH_OBJECTS),
    "entitybench_lists.json": json.dumps(ENTITYBENCH_LISTS),
    "memento.json": json.dumps(MEMENTO),
    "holocine.json": json.dumps(HOLOCINE),
    "json5.json": JSON5,
    "yaml.story.yaml": YAML,
    "markdown.story.md": MARKDOWN,
}
