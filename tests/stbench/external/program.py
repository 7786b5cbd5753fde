"""A small real program for the tests of `external`: standard library only, run in an environment of its own. It "films" by copying clips.

What it does wrong is the story's name. It proves where it runs by printing its prefix.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

options = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
story = json.loads(Path(options["story"]).read_text(encoding="utf-8"))
name, clips, out = story["story_name"].lower(), Path(options["clips"]), Path(options["out"])
print(f"prefix {sys.prefix} seed {options['seed']} gpus {os.environ.get('CUDA_VISIBLE_DEVICES')} own {os.environ.get('OWN')}", flush=True)
try:
    import numpy  # noqa: F401

    print("numpy is here: this is not the environment of this program")
except ImportError:
    pass

if name == "crash":
    print("about to fail\nout of luck", flush=True)
    sys.exit(7)
if name == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if name == "hang":
    print("I never end", flush=True)
    signal.pause()
if name == "loud":
    for number in range(20_000):
        print(f"step {number} " + "x" * 100)
    print("the last word", flush=True)
if name == "nothing":
    sys.exit(0)
if "shot_captions" in story:
    shutil.copy(clips / ("short.mp4" if name == "frames" else "film.mp4"), out / "film.mp4")
    sys.exit(0)
for scene in story["scenes"]:
    for number in range(1, len(scene["video_prompts"]) + 1):
        if name == "partial" and (scene["scene_num"], number) == (1, 2):
            continue
        clip = "short.mp4" if name == "frames" and number == 2 else "clip.mp4"
        path = out / f"{scene['scene_num']}_{number}.mp4"
        shutil.copy(clips / clip, path)
        if name == "broken" and number == 2:
            os.truncate(path, 100)
(out / "whole story.mp4").write_bytes(b"x")  # a file that belongs to no shot
