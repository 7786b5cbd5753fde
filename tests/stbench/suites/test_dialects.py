from __future__ import annotations

import json
from pathlib import Path

import pytest
import scripts_in_dialects as D
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stbench.dialects import NAMES, read_source
from stbench.dialects.convert import SUFFIX, checked, convert, differences
from stbench.dialects.holocine import cut_frames
from stbench.errors import UserError
from stbench.story import load_story
from stbench.suites import load_suite


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in D.FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


COUNTS = {  # file → dialect, scenes, shots, cuts, first-frame prompts, entities, shots with someone, shots with a place
    "st_bench.json": ("st-bench", 2, 3, 2, 3, 0, 0, 0),
    "strings.json": ("st-bench", 2, 3, 2, 3, 0, 0, 0),
    "annotated.json": ("st-bench", 2, 3, 2, 3, 4, 2, 2),
    "entitybench.json": ("entitybench", 2, 3, 2, 3, 4, 2, 2),
    "entitybench_lists.json": ("entitybench", 1, 2, 1, 0, 3, 1, 2),
    "memento.json": ("memento", 1, 2, 1, 2, 2, 2, 0),
    "holocine.json": ("holocine", 1, 3, 3, 0, 0, 0, 0),
    "json5.json": ("st-bench", 1, 1, 1, 0, 0, 0, 0),
    "yaml.story.yaml": ("yaml", 2, 3, 2, 1, 2, 2, 1),
    "markdown.story.md": ("markdown", 2, 3, 2, 1, 2, 2, 1),
}


@pytest.mark.parametrize("name", COUNTS)
def test_every_dialect_loads_with_its_counts(folder: Path, name: str):
    story = load_story(folder / name)
    shots = story.shots
    assert COUNTS[name] == (
        read_source(folder / name).dialect,
        len({shot.scene for shot in shots}),
        len(shots),
        story.cuts,
        sum(bool(shot.first_frame_prompt) for shot in shots),
        len(story.entities),
        sum(bool(shot.entities) for shot in shots),
        sum(bool(shot.place) for shot in shots),
    )
    assert story.id == name.partition(".")[0]


def test_a_folder_may_mix_dialects(folder: Path):
    assert {story.id for story in load_suite(folder).stories} == {name.partition(".")[0] for name in COUNTS}


def test_booleans_and_their_names_are_the_same_story(folder: Path):
    one, two = (load_story(folder / name) for name in ("st_bench.json", "strings.json"))
    assert one.shots == two.shots


def test_a_schedule_of_objects_says_what_the_annotations_say(folder: Path):
    one, two = (load_story(folder / name) for name in ("annotated.json", "entitybench.json"))
    assert one.shots == two.shots
    assert {(e.id, e.kind, e.description) for e in one.entities} == {(e.id, e.kind, e.description) for e in two.entities}
    assert two.extra == {"episode_id": "ep_001"}


def test_yaml_and_markdown_storyboards_say_the_same(folder: Path):
    one, two = (load_story(folder / name) for name in ("yaml.story.yaml", "markdown.story.md"))
    for name in ("shots", "entities", "name", "overview"):
        if name == "shots":
            assert [(s.prompt, s.cut, s.id, s.entities, s.place) for s in one.shots] == [
                (s.prompt, s.cut, s.id, s.entities, s.place) for s in two.shots
            ]
        else:
            assert getattr(one, name) == getattr(two, name)


def test_a_memento_prompt_stays_whole_for_the_model_and_its_people_become_entities(folder: Path):
    story = load_story(folder / "memento.json")
    assert story.shots[0].prompt == D.MEMENTO["scenes"][0]["video_prompts"][0]
    assert [shot.entities for shot in story.shots] == [("Person A",), ("Person A", "Animal B")]
    assert [entity.description for entity in story.entities] == [D.LOOK, D.FOX]
    assert story.extra["reconstruct_target"] == f"[Person A] {D.LOOK}"


MOVED = "global captions stand beside the prompts, under 'global_caption', where most readers do not look (2 of 2 shots)"
LOSSES = {  # (file, dialect) → what it says; every pair that is not here loses nothing
    ("yaml.story.yaml", "entitybench"): ("entities that were not there before: lake",),
    ("markdown.story.md", "entitybench"): ("entities that were not there before: lake",),
    ("memento.json", "markdown"): ("the key 'reconstruct_target'",),
    ("memento.json", "st-bench"): (MOVED,),
    ("entitybench.json", "markdown"): ("entities: woman", "the key 'episode_id'"),
    ("holocine.json", "markdown"): ("the keys 'num_frames', 'shot_cut_frames'",),
}


@pytest.mark.parametrize("to", [name for name in NAMES if name not in ("memento", "holocine")])
@pytest.mark.parametrize("name", COUNTS)
def test_converting_loses_nothing_or_says_what(folder: Path, name: str, to: str):
    done = convert(folder / name, to)
    assert done.losses == LOSSES.get((name, to), ())
    out = folder / f"out{SUFFIX.get(to, '.json')}"
    out.write_text(done.text, encoding="utf-8")
    before, after = load_story(folder / name), load_story(out)
    if not done.losses:
        assert (after.shots, after.name, after.overview, after.extra) == (before.shots, before.name, before.overview, before.extra)
        assert set(after.entities) == set(before.entities)


@pytest.mark.parametrize(("name", "over"), [("memento.json", "st-bench"), ("holocine.json", "st-bench"), ("holocine.json", "yaml")])
def test_there_and_back_gives_the_same_file(folder: Path, name: str, over: str):
    between = folder / f"between{SUFFIX.get(over, '.json')}"
    between.write_text(convert(folder / name, over).text, encoding="utf-8")
    back = json.loads(convert(between, name.partition(".")[0]).text)
    original = json.loads((folder / name).read_text())
    assert {key: back.get(key) for key in original if key != "scenes"} == {key: original[key] for key in original if key != "scenes"}
    for one, two in zip(back.get("scenes", []), original.get("scenes", []), strict=True):
        assert {key: one[key] for key in two} == two


def test_holocine_says_everything_that_it_cannot_hold(folder: Path):
    done = convert(folder / "annotated.json", "holocine")
    assert done.losses == (
        "the overview",
        "entities: woman, fox, boat, lake",
        "the 2 scenes and their numbers",
        "continuations (a cut instead): 1 of 3 shots",
        "first-frame prompts: 3 of 3 shots",
        "who appears: 2 of 3 shots",
        "where it is: 2 of 3 shots",
    )
    data = json.loads(done.text)
    assert data["shot_captions"] == [shot.prompt for shot in load_story(folder / "annotated.json").shots]
    assert data["global_caption"].endswith("This scene contains 3 shots.")
    assert D.LOOK in data["global_caption"]


def test_memento_puts_the_looks_in_front(folder: Path):
    data = json.loads(convert(folder / "annotated.json", "memento").text)
    caption = f"[woman]: {D.LOOK}; [fox]: {D.FOX}"
    assert data["scenes"][1]["video_prompts"] == [f"global caption: {caption}; shot caption: Close-up of a fox on the pier."]
    assert data["reconstruct_target"] == f"[woman]: {D.LOOK}"


@given(st.integers(1, 40), st.integers(0, 100).map(lambda t: 41 + 4 * t))
def test_holocine_cuts_are_frames_of_the_form_4t_plus_1_in_order(shots: int, frames: int):
    cuts = cut_frames(shots, frames)
    assert len(cuts) == shots - 1
    assert all(cut % 4 == 1 for cut in cuts)
    assert cuts == sorted(cuts)


words = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=30)
prompts = words.filter(lambda text: bool(text.strip()))
ids = st.from_regex(r"\A[A-Za-z][A-Za-z0-9 _-]{0,10}[A-Za-z0-9]\Z")


@st.composite
def any_script(draw) -> dict:
    cast = draw(st.lists(ids, min_size=1, max_size=3, unique=True))
    entities = [{"id": name, "kind": draw(st.sampled_from(["character", "object", "place"])), "description": draw(words)} for name in cast]
    scenes = []
    for number in draw(st.lists(st.integers(1, 9999), min_size=1, max_size=3, unique=True)):
        shots = draw(st.integers(1, 3))
        several = lambda strategy, shots=shots: draw(st.lists(strategy, min_size=shots, max_size=shots))  # noqa: E731
        scene = {"scene_num": number, "video_prompts": several(prompts), "cut": several(st.booleans())}
        if draw(st.booleans()):
            scene["first_frame_prompt"] = several(words)
        if draw(st.booleans()):
            scene["entities"] = several(st.lists(st.sampled_from(cast), max_size=2, unique=True))
        if draw(st.booleans()):
            scene["places"] = several(st.none() | ids)
        scenes.append(scene)
    scenes[0]["cut"][0] = True
    script = {"story_name": draw(words), "story_overview": draw(words), "scenes": scenes}
    return script | ({"entities": entities} if draw(st.booleans()) else {})


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=any_script(), to=st.sampled_from(["st-bench", "entitybench", "yaml"]))
def test_any_script_survives_the_lossless_dialects(tmp_path: Path, script: dict, to: str):
    path = tmp_path / "tale.json"
    path.write_text(json.dumps(script), encoding="utf-8")
    losses = convert(path, to).losses
    allowed = {"who appears"} if to == "entitybench" else set()  # the order of kinds, and ids that name a place, are not a schedule's
    assert {line.partition(":")[0] for line in losses} <= allowed | {"entities that were not there before"}, losses


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=any_script())
def test_markdown_never_loses_a_prompt_in_silence(tmp_path: Path, script: dict):
    path = tmp_path / "tale.json"
    path.write_text(json.dumps(script), encoding="utf-8")
    try:
        done = convert(path, "markdown")
    except UserError:
        return  # text that looks like a heading: refused, and nothing is written
    out = tmp_path / "tale.story.md"
    out.write_text(done.text, encoding="utf-8")
    same = [a.prompt == b.prompt for a, b in zip(load_story(path).shots, load_story(out).shots, strict=False)]
    assert all(same) or any(line.startswith("prompts") for line in done.losses)


BROKEN = {
    "bad.story.yaml": ("title: [", "is not YAML (line "),
    "word.story.yaml": ("title: A\nscenes:\n- shots:\n  - promt: x\n", "unknown word 'promt'"),
    "hint.story.yaml": ("title: A\nscenes:\n- shots:\n  - promt: x\n", "did you mean 'prompt'?"),
    "alias.story.yaml": ("title: &a x\noverview: *a\nscenes: []\n", "aliases are not used"),
    "empty.story.yaml": ("title: A\nscenes:\n- shots:\n  - prompt: ''\n", "line 4: scenes[0].video_prompts[0]: the prompt is empty"),
    "first.story.yaml": ("title: A\nscenes:\n- shots:\n  - prompt: x\n    continues: true\n", "line 5: scenes[0].cut[0]"),
    "kind.story.yaml": ("title: A\nentities:\n  a: {kind: ghost}\nscenes:\n- shots:\n  - prompt: x\n", "line 3: entities[0].kind"),
    "list.story.yaml": ("- x\n", "holds no mapping"),
    "none.story.md": ("", "has no title"),
    "stray.story.md": ("# A\n\n## Scene 1\n\nstray\n", "line 5: text outside of a shot"),
    "head.story.md": ("# A\n\n## Chapter 1\n", "line 3: heading 'Chapter 1'"),
    "number.story.md": (f"# A\n\n## Scene {'9' * 5001}\n", "line 3: heading 'Scene 999"),
    "how.story.md": ("# A\n\n## Scene 1\n\n### Shot 1 · fades\n", "line 5: a shot that 'fades'"),
    "empty.story.md": ("# A\n\n## Scene 1\n\n### Shot 1\n", "line 5: scenes[0].video_prompts[0]: the prompt is empty"),
    "cut.story.md": ("# A\n\n## Scene 1\n\n### Shot 1 · continues\nx\n", "line 5: scenes[0].cut[0]"),
    "cast.story.md": ("# A\n\n## Cast\n\nmara\n", "line 5: found 'mara'"),
    "holo.json": ('{"global_caption": "x", "shot_captions": []}', "scenes[0].video_prompts"),
    "lines.json": ('{"story_name": "A",\n "scenes": [{"scene_num": 1,\n "video_prompts": ["a",\n ""],\n "cut": [true, true]}]}', "line 4"),
    "near.json": ('{"story_name": "A", "scenes": [{"scene_num": 1, "video_prompt": ["a"], "cut": [true]}]}', "is it 'video_prompt'?"),
    "five.json5": ("{story_name: NaN, scenes: []}", "is not JSON"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_script_says_where(tmp_path: Path, name: str):
    text, says = BROKEN[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_story(tmp_path / name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yaml_dates_and_long_text_stay_text(tmp_path: Path):
    (tmp_path / "a.story.yaml").write_text("title: 2026-01-02\nscenes:\n- shots:\n  - prompt: >\n      one\n      two\n")
    story = load_story(tmp_path / "a.story.yaml")
    assert (story.name, story.shots[0].prompt) == ("2026-01-02", "one two\n")


def test_differences_are_found_in_every_field():
    script = checked(read_source_of(D.ANNOTATED), "x", "x")
    for change in ("story_name", "story_overview"):
        assert differences(script, {**script, change: "other"})
    for name in ("video_prompts", "cut", "first_frame_prompt", "entities", "places"):
        other = json.loads(json.dumps(script))
        other["scenes"][0][name] = list(reversed(other["scenes"][0][name]))
        if other != script:
            assert len(differences(script, other)) == 1


def read_source_of(data):
    from stbench.dialects import from_json

    return from_json(data, name="x")


def test_convert_writes_a_file_and_says_what_is_not_kept(film, tmp_path: Path):
    (tmp_path / "memento.json").write_text(json.dumps(D.MEMENTO))
    done = film("suite", "convert", "memento.json", "board.story.md")
    assert done.code == 0
    assert "does not keep: the key 'reconstruct_target'" in done.err
    assert load_story(tmp_path / "board.story.md").shots[1].cut is False
    again = film("suite", "convert", "memento.json", "board.story.md")
    assert (again.code, again.out) == (2, "")
    assert "exists already" in again.err


def test_convert_takes_a_folder_and_writes_nothing_if_one_script_is_bad(film, scripts: Path, tmp_path: Path):
    done = film("suite", "convert", scripts, "boards", "--to", "yaml", "--json")
    assert [Path(entry["path"]).name for entry in json.loads(done.out)["files"]] == ["ant.story.yaml", "bee.story.yaml"]
    assert load_suite(tmp_path / "boards").shots == load_suite(scripts).shots
    (scripts / "cow.json").write_text("{}")
    assert film("suite", "convert", scripts, "more", "--to", "yaml").code == 2
    assert not (tmp_path / "more").exists()
    assert "did you mean 'memento'?" in film("suite", "convert", scripts, "more", "--to", "momento").err
