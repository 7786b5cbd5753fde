from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import scripts_in_dialects as D

from metrics.encoders.clip_tokens import whole
from stbench.story import parse_story
from stbench.suites import find_suite, load_suite
from stbench.suites.index import entry_row, write_index
from stbench.suites.lint import lint
from stbench.suites.measure import Facts, gaps, sentences
from stbench.suites.promises import broken_promises
from stbench.suites.rules import RULES
from stbench.suites.stats import diff, measure
from stbench.suites.tokens import clip_ids, clip_lengths, umt5_estimate


def script(**changes) -> dict:
    """Eight clean shots with one character in one place; each change replaces a field."""
    prompts = [f"Wide shot of a grey harbour number {word}. A sailor {act}." for word, act in zip(WORDS, ACTS, strict=True)]
    scene = {
        "scene_num": 1,
        "video_prompts": prompts,
        "first_frame_prompt": [f"A grey harbour, {word}." for word in WORDS],
        "cut": [True, False] * 4,
        "entities": [["sailor"]] * 8,
        "places": ["harbour"] * 8,
    }
    entities = [
        {"id": "sailor", "kind": "character", "description": "a sailor in a striped shirt"},
        {"id": "harbour", "kind": "place", "description": "a grey harbour"},
    ]
    data = {"story_name": "Harbour", "story_overview": "A sailor works.", "entities": entities, "scenes": [scene]}
    for key, value in changes.items():
        (scene if key in scene else data)[key] = value
    return data


WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
ACTS = (
    "coils a rope",
    "mends a net",
    "paints the hull red",
    "climbs a mast slowly",
    "eats an apple",
    "sleeps on a crate",
    "waves to gulls above",
    "rows away",
)


def found(tmp_path: Path, data: dict) -> list[tuple[str, str, int | None, str]]:
    path = tmp_path / "tale.json"
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")
    return [(p.rule, p.level, p.line, p.field) for p in lint(find_suite(path)).problems]


def test_a_clean_script_has_no_problems(tmp_path: Path):
    assert found(tmp_path, script()) == []


def changed(name: str, place: int, value: object) -> list:
    entries = list(script()["scenes"][0][name])
    entries[place] = value
    return entries


LONG = "Wide shot of a grey harbour. " + "A sailor coils one more rope on the pier. " * 9
PROMPTS = script()["scenes"][0]["video_prompts"]
SAILOR, HARBOUR = script()["entities"]
GULL = {"id": "gull", "kind": "character", "description": "a gull"}


def prompt(place: int, text: str) -> dict:
    return script(video_prompts=changed("video_prompts", place, text))


CASES = {  # rule → (script, level, field)
    "place-kind": (script(places=changed("places", 3, "sailor")), "error", "scenes[0].places[3]"),
    "unknown-field": (script(story_overveiw="x"), "warning", "story_overveiw"),
    "overview-missing": (script(story_overview=" "), "warning", "story_overview"),
    "repeated-prompt": (prompt(5, PROMPTS[1].upper()), "warning", "scenes[0].video_prompts[5]"),
    "too-long": (prompt(2, LONG), "warning", "scenes[0].video_prompts[2]"),
    "too-short": (prompt(2, "A ship."), "warning", "scenes[0].video_prompts[2]"),
    "non-visual": (prompt(4, "A sailor on a pier remembers his youth."), "warning", "scenes[0].video_prompts[4]"),
    "several-shots": (prompt(4, "A sailor rows, then cut to a gull."), "warning", "scenes[0].video_prompts[4]"),
    "first-frame-missing": (
        script(first_frame_prompt=changed("first_frame_prompt", 6, "")),
        "warning",
        "scenes[0].first_frame_prompt[6]",
    ),
    "entity-unused": (script() | {"entities": [SAILOR, HARBOUR, GULL]}, "warning", "entities[2].id"),
    "entity-undescribed": (script() | {"entities": [SAILOR | {"description": ""}, HARBOUR]}, "note", "entities[0].description"),
}


@pytest.mark.parametrize("rule", CASES)
def test_each_rule_finds_its_problem_and_names_field_and_line(tmp_path: Path, rule: str):
    data, level, field = CASES[rule]
    problems = found(tmp_path, data)
    assert [(r, lv, f) for r, lv, _, f in problems] == [(rule, level, field)]
    line = problems[0][2]
    text = json.dumps(data, indent=1).splitlines()
    assert line is not None
    last = field.rpartition(".")[2]
    expected = data["scenes"][0][last.partition("[")[0]][int(last[:-1].rpartition("[")[2])] if last.endswith("]") else None
    assert (json.dumps(expected) in text[line - 1]) if expected is not None else (line <= len(text))


def test_unknown_entities_and_empty_shots_are_found(tmp_path: Path):
    data = script(places=[None, *["harbour"] * 7])
    data["scenes"][0]["entities"] = [[], *[["sailor"]] * 6, ["sailr"]]
    rules = found(tmp_path, data)
    assert [(r, level, f) for r, level, _, f in rules] == [
        ("shot-empty", "note", "scenes[0].entities[0]"),
        ("entity-unknown", "error", "scenes[0].entities[7]"),
    ]


def test_scenes_out_of_order_or_without_a_cut_and_short_stories_are_found(tmp_path: Path):
    data = script()
    first = data["scenes"][0]
    second = {key: value[4:] if isinstance(value, list) else value for key, value in first.items()}
    data["scenes"] = [
        {key: value[:3] if isinstance(value, list) else value for key, value in first.items()} | {"scene_num": 4},
        second | {"scene_num": 2, "cut": [False, True, True, True]},
    ]
    assert [(r, level, f) for r, level, _, f in found(tmp_path, data)] == [
        ("length", "note", "scenes"),
        ("scene-order", "warning", "scenes[1].scene_num"),
        ("scene-start", "warning", "scenes[1].cut[0]"),
    ]


def test_a_near_duplicate_is_found_between_any_two_shots(tmp_path: Path):
    text = "A sailor in a striped shirt coils a long wet rope on the pier in the grey morning light while gulls circle above"
    data = script(video_prompts=changed("video_prompts", 1, text))
    data["scenes"][0]["video_prompts"][7] = text + " him."
    assert [(r, f) for r, _, _, f in found(tmp_path, data)] == [("near-duplicate", "scenes[0].video_prompts[7]")]


def test_bad_scripts_are_problems_and_the_rest_is_still_checked(tmp_path: Path):
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text(json.dumps(script(story_overview="")))
    (tmp_path / "c.json").write_text(json.dumps(script(cut=[True]), indent=1))
    report = lint(find_suite(tmp_path))
    assert [(Path(p.file).name, p.rule, p.field) for p in report.problems] == [
        ("a.json", "script", ""),
        ("b.json", "overview-missing", "story_overview"),
        ("c.json", "script", "scenes[0]"),
    ]
    assert report.problems[2].line is not None
    assert report.facts.stories == 1
    assert not report.clean()


def test_every_rule_is_described():
    assert set(CASES) <= set(RULES)


@pytest.mark.parametrize("suite", ["stbench-30", "stbench-mini"])
def test_our_own_suites_are_clean(suite: str):
    report = lint(find_suite(suite))
    assert (report.counts["error"], report.counts["warning"]) == (0, 0)
    assert report.by_rule.keys() <= {"length"}
    assert report.shared_prompts == 0


def test_the_suite_is_what_its_design_says():
    """Counted here again, without the code that lint uses."""
    stories = load_suite("stbench-30").stories
    shots = [shot for story in stories for shot in story.shots]
    assert (len(stories), len(shots)) == (30, 300)
    assert all(8 <= len(story.shots) <= 12 and 1 <= len({s.scene for s in story.shots}) <= 4 for story in stories)
    assert 105 <= sum(not shot.cut for shot in shots) <= 135
    assert all(25 <= len(shot.prompt.split()) <= 60 for shot in shots)
    assert max(clip_lengths([shot.prompt for shot in shots])) <= 77
    assert all(shot.first_frame_prompt and shot.place for shot in shots)
    away = set()
    for story in stories:
        people = [entity.id for entity in story.entities if entity.kind == "character"]
        assert 1 <= len(people) <= 4
        for name in people:
            places = [shot.index for shot in story.shots if name in shot.entities]
            assert places, (story.id, name)
            away |= {b - a - 1 for a, b in pairwise(places)}
    assert away == set(range(9))
    assert sorted(story.extra["design"]["appearance"] for story in stories) == ["once"] * 15 + ["repeated"] * 15


def test_a_look_is_told_once_or_in_every_shot_as_the_design_says():
    for story in load_suite("stbench-30").stories:
        style = story.extra["design"]["style"]
        for entity in (e for e in story.entities if e.kind == "character"):
            look = entity.description.partition(" ")[2]
            told = [shot.index for shot in story.shots if look in shot.prompt]
            if story.extra["design"]["appearance"] == "once":
                assert len(told) == 1, (story.id, entity.id, told)
            else:
                assert set(told) <= {shot.index for shot in story.shots if entity.id in shot.entities}
                assert len(told) >= 0.6 * sum(entity.id in shot.entities for shot in story.shots), (story.id, entity.id, told)
        said = [shot.index for shot in story.shots if style in shot.prompt]
        assert said == ([0] if story.extra["design"]["appearance"] == "once" else list(range(len(story.shots))))


PROMISES = {
    "shots": [9, 12],
    "scenes": [2, 4],
    "words": [20, 60],
    "sentences": [3, 4],
    "characters": [2, 4],
    "continuations": [0.1, 0.2],
    "clip_tokens": 10,
    "gaps": [1],
    "stories": 2,
    "total_shots": 9,
    "appearance": {"once": 1},
    "first_frames": False,
    "entities": False,
    "colour": "red",
    "broken": 3,
}


@pytest.mark.parametrize("key", PROMISES)
def test_a_broken_promise_of_the_index_is_an_error(tmp_path: Path, key: str):
    data = json.dumps(script()).encode()
    (tmp_path / "tale.json").write_bytes(data)
    head = {"name": "x", "version": 1, "design": {key: PROMISES[key]}}
    write_index(tmp_path, head, [entry_row("tale.json", data, script()["scenes"][0]["cut"])])
    report = lint(find_suite(tmp_path))
    assert [(p.rule, p.level, Path(p.file).name) for p in report.problems] == [("promise", "error", "suite.json")]


def test_a_promise_that_cannot_be_read_is_broken():
    assert broken_promises({"shots": "many"}, Facts()) == ["shots: 'many' is not understood"]


TEXTS = ("a cat plays", "", "  A\n\tCAT's 3.5 m ", "naïve café — 日本語 🦊!!", "x" * 300, "don't I'LL we've", "<|endoftext")


@pytest.mark.parametrize("text", TEXTS)
def test_clip_tokens_are_those_of_the_metric(text: str):
    assert clip_ids(text) == whole(text)[1:-1]
    assert clip_lengths([text]) == [len(whole(text))]


def test_clip_tokens_of_the_suite_are_those_of_the_metric():
    for shot in load_suite("stbench-30").stories[3].shots:
        assert clip_ids(shot.prompt) == whole(shot.prompt)[1:-1]


def test_estimates_grow_with_the_text():
    assert umt5_estimate("") == 1
    assert umt5_estimate("four" * 100) == 101
    assert umt5_estimate("猫" * 600) > 512


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("A cat", 1), ("A cat.", 1), ("A cat. It runs!", 2), ("2.5 m up. Why?", 2), ("Wait… now", 2)]
)
def test_sentences_are_counted_by_their_marks(text: str, count: int):
    assert sentences(text) == count


def test_gaps_are_the_shots_between():
    data = json.loads(json.dumps(script()))
    data["scenes"][0]["entities"] = [["sailor"], [], [], ["sailor"], ["sailor"], [], ["sailor"], []]
    assert gaps(parse_story(data, source="x", id="x")) == [2, 1]


def test_stats_count_what_a_plain_loop_counts():
    facts = measure(find_suite("world-mini"))
    stories = load_suite("world-mini").stories
    prompts = [shot.prompt for story in stories for shot in story.shots]
    assert (facts.stories, facts.shots, facts.cuts) == (3, 18, sum(story.cuts for story in stories))
    assert facts.words.mean == pytest.approx(sum(len(p.split()) for p in prompts) / 18)
    assert facts.cut_prompts["ViCLIP"] == sum(len(whole(p)) > 32 for p in prompts)
    long = measure(find_suite("stbench-mini"))
    lengths = [len(whole(shot.prompt)) for story in load_suite("stbench-mini").stories for shot in story.shots]
    assert long.unread_share("ViCLIP") == pytest.approx(sum(max(0, n - 32) for n in lengths) / sum(lengths))


def test_diff_says_what_changed_and_from_where_a_run_films_again(tmp_path: Path):
    for name, data in (("old", script()), ("new", script())):
        (tmp_path / name).mkdir()
        if name == "new":
            data["scenes"][0]["video_prompts"][4] = "A gull."
            data["scenes"][0]["cut"][6] = False
            (tmp_path / name / "more.json").write_text(json.dumps(D.ST_BENCH))
        else:
            (tmp_path / name / "gone.json").write_text(json.dumps(D.ST_BENCH))
        (tmp_path / name / "tale.json").write_text(json.dumps(data))
    changes = diff(find_suite(tmp_path / "old"), find_suite(tmp_path / "new"))
    assert [(c.story, c.lines, c.refilm_from) for c in changes] == [
        ("more", ("added, 3 shots",), 1),
        ("tale", ("shot 5: prompt", "shot 7: cut"), 5),
        ("gone", ("removed, 3 shots",), None),
    ]
    assert diff(find_suite("world-mini"), find_suite("world-mini")) == []


def test_lint_on_the_command_line(film, tmp_path: Path):
    (tmp_path / "tale.json").write_text(json.dumps(script(story_overview=""), indent=1))
    done = film("suite", "lint", "tale.json")
    assert done.code == 0
    assert done.out.splitlines()[0] == "tale.json:3: warning: story_overview: the story has no overview  [overview-missing]"
    assert film("suite", "lint", "tale.json", "--strict").code == 1
    data = json.loads(film("suite", "lint", "tale.json", "--strict", "--json").out)
    assert (data["verdict"], data["warnings"], data["problems"][0]["line"]) == ("failed", 1, 3)
    shown = film("suite", "lint", "tale.json", "--max", "0")
    assert "… and 1 more" in shown.out
    assert film("suite", "lint", "stbench-mini", "--strict").code == 0
    assert film("suite", "lint", "stbench-31").code == 2


def test_show_prints_a_storyboard_of_eighty_columns(film):
    done = film("suite", "show", "stbench-mini", "--story", "red_umbrella")
    assert "girl (back after 1), dog, umbrella, at park" in done.out
    assert max(len(line) for line in done.out.splitlines()) <= 80
    assert film("suite", "show", "stbench-mini", "--full").out.count("scene 1") == 3
    assert "did you mean 'red_umbrella'?" in film("suite", "show", "stbench-mini", "--story", "red_umbrela").err


def test_stats_and_diff_on_the_command_line(film):
    done = film("suite", "stats", "stbench-mini", "world-mini")
    assert done.out.splitlines()[0].split() == ["stbench-mini", "world-mini"]
    assert max(len(line) for line in done.out.splitlines()) <= 80
    data = json.loads(film("suite", "stats", "stbench-mini", "--json").out)["suites"][0]
    assert (data["name"], data["shots"], data["readers"]["umT5"]["estimated"]) == ("stbench-mini", 12, True)
    assert json.loads(film("suite", "diff", "world-mini", "world-mini", "--json").out) == {"changes": []}
