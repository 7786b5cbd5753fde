from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from stbench.check import RULES, check_run


def change_json(path: Path, change) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def broken(folder: Path) -> set[str]:
    result = check_run(folder)
    assert (result.verdict == "invalid") == bool(result.problems)
    return {problem.rule for problem in result.problems}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves a copy of its run for the others."""
    return tmp_path_factory.mktemp("template") / "run"


@pytest.fixture
def folder(film, run_words, template: Path, tmp_path: Path) -> Path:
    if template.exists():
        shutil.copytree(template, tmp_path / "run")
    else:
        film(*run_words)
        shutil.copytree(tmp_path / "run", template)
    return tmp_path / "run"


def test_a_finished_run_is_valid_and_can_be_moved(folder, tmp_path, film):
    shutil.move(folder, tmp_path / "elsewhere")
    done = film("check", tmp_path / "elsewhere", "--json")
    assert done.code == 0
    data = json.loads(done.out)
    assert data["verdict"] == "valid"
    assert data["n"] == {"done": 7, "expected": 7}
    assert set(data["rules"].values()) == {"ok"}
    assert set(data["rules"]) == set(RULES)


@pytest.mark.parametrize(
    ("file", "change", "rule"),
    [
        ("shots/ant/01_02.json", lambda d: d.update(seed=1), "seeds"),
        ("shots/ant/01_02.json", lambda d: d.update(shot_key="0" * 64), "key-chain"),
        ("shots/ant/01_02.json", lambda d: d.update(inputs=[]), "key-chain"),
        ("shots/ant/01_02.json", lambda d: d.update(story="bee"), "records"),
        ("shots/ant/01_02.json", lambda d: d.update(n_frames=7), "decode"),
        ("shots/ant/01_02.json", lambda d: d.update(fps=9), "decode"),
        ("shots/ant/01_02.json", lambda d: d["video"].update(name="../../manifest.json"), "records"),
        ("shots/ant/01_02.json", lambda d: d.pop("seed"), "records"),
        ("shots/ant/01_02.json", lambda d: d.update(schema=99), "records"),
        ("manifest.json", lambda d: d["counts"].update(done=6), "counts"),
        ("manifest.json", lambda d: d.update(status="partial"), "counts"),
        ("manifest.json", lambda d: d.update(seed=5), "seeds"),
        ("manifest.json", lambda d: d["identity"].update(version=2), "key-chain"),
        ("manifest.json", lambda d: d["stories"][0]["shots"][1].update(prompt="x"), "manifest"),
        ("manifest.json", lambda d: d.pop("stories"), "manifest"),
        ("manifest.json", lambda d: d.update(schema=99), "manifest"),
    ],
)
def test_altered_facts_break_a_named_rule(folder, film, file, change, rule):
    change_json(folder / file, change)
    assert rule in broken(folder)
    assert film("check", folder).code == 4


@pytest.mark.parametrize("name", ["01_02.mp4", "01_02.key0.png", "01_02.tail0.png"])
@pytest.mark.parametrize("how", ["altered", "lost"])
def test_altered_or_lost_files_break_the_digests(folder, name, how):
    path = folder / "shots" / "ant" / name
    if how == "lost":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b"x")
    assert broken(folder) == {"digests"}


def test_swapped_shots_are_seen(folder):
    one, two = folder / "shots/bee/02_01.json", folder / "shots/bee/02_02.json"
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)
    assert "records" in broken(folder)


def test_a_missing_last_record_contradicts_the_manifest(folder):
    (folder / "shots" / "bee" / "02_02.json").unlink()
    assert "counts" in broken(folder)


def test_altered_films_scores_and_journals_are_seen(folder):
    film_path = folder / "films" / "ant.mp4"
    film_path.write_bytes(film_path.read_bytes() + b"x")
    scores = folder / "scores.jsonl"
    lines = scores.read_text().splitlines()
    scores.write_text("\n".join([*lines, lines[0], lines[1].replace('"ant"', '"cow"')]) + "\n")
    (folder / "events.jsonl").write_text("not json\n")
    assert broken(folder) == {"films", "scores", "journal"}


def test_a_torn_journal_is_a_remark(folder):
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"event"')
    result = check_run(folder)
    assert result.verdict == "valid"
    assert "torn" in result.remarks[0]


def test_what_is_not_a_run_folder_is_a_usage_error(film, tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        done = film("check", path)
        assert done.code == 2
        assert "expected a run folder" in done.err


def test_check_says_what_is_missing_why_and_what_to_do(film, run_words, tmp_path, monkeypatch, fake):
    plain = fake.FakeShots.shot

    def fail(self, request):
        if (request.story.id, request.shot.id) == ("ant", "01_02"):
            raise RuntimeError("out of luck")
        return plain(self, request)

    monkeypatch.setattr(fake.FakeShots, "shot", fail)
    film(*run_words)
    done = film("check", tmp_path / "run")
    assert done.code == 3
    assert "miss  ant 01_02: RuntimeError: out of luck\n" in done.err
    assert "miss  ant 02_01: left out: an earlier shot of the story failed\n" in done.err
    assert "miss  bee" not in done.err
    assert "next  repeat the command that made it" in done.err
    assert f"\n        {shlex.join(['stbench', *map(str, run_words)])}" in done.err
    data = json.loads(film("check", tmp_path / "run", "--json").out)
    assert [part["shot"] for part in data["missing"]] == ["01_02", "02_01", "02_02"]
    (tmp_path / "run" / "events.jsonl").unlink()
    assert "miss  ant 01_02: not made yet" in film("check", tmp_path / "run").err
