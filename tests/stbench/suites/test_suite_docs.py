"""docs/suites.md shows what the program says."""

from __future__ import annotations

from pathlib import Path

from stbench.suites import find_suite
from stbench.suites.measure import Facts
from stbench.suites.rules import RULES
from stbench.suites.stats import measure, story_table

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "suites.md").read_text(encoding="utf-8")


def test_the_design_matrix_is_that_of_the_suite():
    assert "\n".join(story_table(find_suite("stbench-30"))) in PAGE


def test_the_share_of_continuations_is_that_of_the_suite():
    facts: Facts = measure(find_suite("stbench-30"))
    assert f"{facts.continuations:.0%} of all shots go on" in PAGE


def test_every_rule_is_in_the_table():
    assert all(f"| `{rule}` | {finds} |" in PAGE for rule, finds in RULES.items())


def test_the_storyboard_on_the_page_is_a_script(tmp_path: Path):
    from stbench.story import load_story

    board = PAGE.partition("```markdown\n")[2].partition("```")[0]
    (tmp_path / "lamp.story.md").write_text(board, encoding="utf-8")
    story = load_story(tmp_path / "lamp.story.md")
    assert [(shot.cut, shot.entities, shot.place) for shot in story.shots] == [(True, ("mara",), "tower"), (False, (), None)]


def test_the_problems_on_the_page_are_found(film, tmp_path: Path):
    """The script is the one of the page's example."""
    (tmp_path / "bad.json").write_text(BAD, encoding="utf-8")
    assert film("suite", "lint", "bad.json").out.strip() in PAGE


BAD = """\
{
  "story_name": "A robot by the sea",
  "story_overview": "A robot walks on the beach and remembers the city.",
  "entities": [{"id": "robot", "kind": "character", "description": "a rusty robot"}],
  "scenes": [
    {
      "scene_num": 1,
      "video_prompts": [
        "Wide shot of a rusty robot on the beach at noon.",
        "Close-up of the robot. It remembers the sound of the city."
      ],
      "first_frame_prompts": ["A rusty robot on a beach.", "The face of a robot."],
      "cut": [true, false],
      "entities": [["robot"], ["robt"]]
    }
  ]
}
"""
