from __future__ import annotations

import io

from stbench.display import Display, duration
from stbench.filming import StoryOutcome
from stbench.story import Shot, Story

STORY = Story(id="s", name="S", overview="", shots=tuple(Shot(index=k, scene=1, number=k + 1, prompt="p", cut=True) for k in range(9)))


def test_plain_output_says_at_most_one_progress_line_per_5_s():
    now = [0.0]
    out = io.StringIO()
    display = Display(out, clock=lambda: now[0])
    display._expected = 9
    for shot in STORY.shots:
        display.shot_started(STORY, shot)
        now[0] += 2.0
        display.shot_done(STORY, shot, seconds=2.0, reused=False)
    display.story_done(StoryOutcome(story="s", made=9, reused=0, failed=0, skipped=0))
    lines = out.getvalue().splitlines()
    assert [line.split()[2] for line in lines[:-1]] == ["1/9", "4/9", "7/9"]
    assert lines[1] == "  s shot 4/9   4/9 shots   2.0 s/shot   ETA 10 s"
    assert lines[-1] == "  s: 9/9 shots (9 made, 0 reused)"


def test_reused_shots_are_silent_and_do_not_count_for_the_pace():
    out = io.StringIO()
    display = Display(out, clock=lambda: 0.0)
    display._expected = 9
    for shot in STORY.shots[:8]:
        display.shot_done(STORY, shot, seconds=100.0, reused=True)
    display.shot_done(STORY, STORY.shots[8], seconds=1.0, reused=False)
    assert out.getvalue() == "  s shot 9/9   9/9 shots   1.0 s/shot   ETA 0 s\n"


def test_failures_are_always_shown():
    out = io.StringIO()
    display = Display(out, clock=lambda: 0.0)
    for attempt in (1, 2):
        display.failure(STORY, STORY.shots[0], attempt=attempt, attempts=2, reason="RuntimeError: no")
    assert out.getvalue().splitlines() == [
        "  failed  s shot 01_01 (attempt 1 of 2)  RuntimeError: no -> recorded, retrying",
        "  failed  s shot 01_01 (attempt 2 of 2)  RuntimeError: no -> recorded, given up",
    ]


def test_many_notes_are_cut_short():
    out = io.StringIO()
    Display(out).notes([f"note {k}" for k in range(30)])
    assert len(out.getvalue().splitlines()) == 4
    assert "27 more stories" in out.getvalue()


def test_durations():
    assert [duration(s) for s in (0.2, 59.6, 61, 3600, 90061)] == ["0 s", "1 m 00 s", "1 m 01 s", "1 h 00 m", "25 h 01 m"]
