from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stbench.errors import UserError
from stbench.story import parse_story
from stbench.suites import RunningDigest, find_suite, load_suite, stories_digest
from stbench.suites.generator import WorldPlan, world_script, write_world
from stbench.world.spec import ShotTruth


@st.composite
def plans(draw) -> WorldPlan:
    shots = draw(st.integers(2, 40))
    characters = draw(st.integers(1, 5))
    gap = draw(st.integers(0, shots - 2)) if characters > 1 else 0
    return WorldPlan(stories=3, shots=shots, characters=characters, gap=gap, seed=draw(st.integers(0, 5)))


@settings(max_examples=40, deadline=None)
@given(plans(), st.integers(0, 9999))
def test_every_plan_gives_true_stories_of_its_size(plan: WorldPlan, number: int):
    plan.check()
    script = world_script(plan, number)
    assert script == world_script(plan, number)
    story = parse_story(script, source="x", id="x")
    truths = [ShotTruth.from_json(shot.truth) for shot in story.shots]
    assert len(truths) == plan.shots
    assert max(truth.character for truth in truths) < plan.characters
    looks = {(truth.character, truth.species, truth.colour, truth.accessory) for truth in truths}
    assert len(looks) == len({look[0] for look in looks}) == len({look[1] for look in looks}) == len({look[2] for look in looks})
    if plan.gap:
        first = [k for k, truth in enumerate(truths) if truth.character == 0]
        assert first[0] == 0
        assert {b - a - 1 for a, b in pairwise(first)} <= {plan.gap}
        assert len(first) == 1 + (plan.shots - 1) // (plan.gap + 1)
    for before, after, shot in zip(truths, truths[1:], story.shots[1:], strict=False):
        if not shot.cut:
            rest = before.end()
            assert (after.character, after.place, after.size, after.station) == (rest.character, rest.place, rest.size, rest.station)
        assert shot.cut or shot.number > 1
    assert not any(word in shot.prompt for shot in story.shots for word in ("red", "hat", "scarf", "balloon"))


def test_a_suite_is_written_loaded_and_the_same_bytes_again(tmp_path: Path):
    plan = WorldPlan(stories=11, shots=7, characters=3, gap=2)
    for name in ("a", "b"):
        write_world(plan, tmp_path / name)
    assert [p.read_bytes() for p in sorted((tmp_path / "a").iterdir())] == [p.read_bytes() for p in sorted((tmp_path / "b").iterdir())]
    suite = load_suite(tmp_path / "a")
    assert (suite.name, len(suite.stories), suite.shots) == ("world-11x7-c3-g2-s0", 11, 77)
    assert len({json.dumps(story.to_json()["shots"]) for story in suite.stories}) == 11


def test_stories_are_walked_through_one_at_a_time(tmp_path: Path):
    """A broken last story is met only after all others were given."""
    write_world(WorldPlan(stories=5, shots=3), tmp_path)
    (tmp_path / "world_4.json").write_text("{")
    seen = []
    with pytest.raises(UserError, match="world_4"):
        seen.extend(story.id for story in find_suite(tmp_path).stories())
    walked = find_suite(tmp_path).stories()
    assert [next(walked).id for _ in range(4)] == ["world_0", "world_1", "world_2", "world_3"]


def test_the_running_digest_is_the_digest_of_the_list():
    from stbench.keys import digest

    stories = load_suite("world-mini").stories
    running = RunningDigest()
    for story in stories:
        running.add(story)
    assert running.hex() == stories_digest(stories) == digest([story.content() for story in stories])
    assert RunningDigest().hex() == digest([])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--stories", "0"], "0 stories; expected 1 to 10000"),
        (["--stories", "10001"], "10001 stories"),
        (["--shots", "1"], "1 shots"),
        (["--characters", "6"], "6 characters; expected 1 to 5"),
        (["--gap", "9"], "a gap of 9; expected 0 to 8"),
        (["--characters", "1", "--gap", "2"], "somebody must be seen"),
    ],
)
def test_a_plan_without_stories_is_refused_before_a_folder_is_made(film, tmp_path: Path, words, says):
    done = film("suite", "generate", "--world", "--out", "new", *words)
    assert done.code == 2
    assert says in done.err
    assert not (tmp_path / "new").exists()


def test_generate_on_the_command_line(film, tmp_path: Path):
    done = film("suite", "generate", "--world", "--stories", 4, "--shots", 5, "--gap", 2)
    assert done.code == 0
    assert "wrote world-4x5-c2-g2-s0" in done.err
    assert film("suite", "lint", "world-4x5-c2-g2-s0").code == 0
    assert "nothing was changed" in film("suite", "generate", "--world", "--stories", 4, "--shots", 5, "--gap", 2).err
    assert film("suite", "generate").code == 2
    assert film("suite", "generate", "world", "--world", "--out", "x").code == 2
