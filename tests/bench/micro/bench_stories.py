"""Reading scripts and planning."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from stbench.keys import story_keys
from stbench.story import parse_story
from stbench.suites import load_suite

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

SCENES = [
    {"scene_num": scene, "video_prompts": [f"Wide shot of a cat, {k}." for k in range(4)], "cut": [True, False, True, False]}
    for scene in (1, 2, 3)
]
SCRIPT = {"story_name": "A long way home", "story_overview": "A cat walks home.", "scenes": SCENES}


def test_parse_a_script_of_12_shots(benchmark: BenchmarkFixture) -> None:
    text = json.dumps(SCRIPT)
    assert len(benchmark(lambda: parse_story(json.loads(text), source="bench", id="bench")).shots) == 12


def test_load_the_suite_of_300_shots(benchmark: BenchmarkFixture) -> None:
    assert benchmark.pedantic(lambda: load_suite("world"), rounds=5, warmup_rounds=1).shots == 300


def test_keys_of_12_shots(benchmark: BenchmarkFixture) -> None:
    story = parse_story(SCRIPT, source="bench", id="bench")
    assert len(benchmark(lambda: story_keys(identity={"method": "bench"}, story=story, run_seed=0))) == 12
