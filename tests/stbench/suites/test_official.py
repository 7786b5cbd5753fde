"""Official suites, with a stand-in of the same shape: no script of theirs is here, and nothing is fetched."""

from __future__ import annotations

import hashlib
import json
import urllib.error
from pathlib import Path

import pytest
import scripts_in_dialects as D

from stbench.errors import UserError
from stbench.suites import load_suite, official

SCRIPTS = {"one.json": D.ST_BENCH, "two.json": D.WITH_STRINGS, "short.json": D.ENTITYBENCH_LISTS}
LICENCE = b"# A licence\n\nFor tests only.\n"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STBENCH_SUITES", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """A folder like a copy of the repository, and facts about it under the name `tales`."""
    folder = tmp_path / "repository"
    (folder / "story").mkdir(parents=True)
    (folder / "LICENSE.md").write_bytes(LICENCE)
    files = []
    for name, script in SCRIPTS.items():
        data = json.dumps(script).encode()
        (folder / "story" / name).write_bytes(data)
        cuts = [str(cut) == "True" for scene in script["scenes"] for cut in scene["cut"]]
        files.append({"file": name, "sha256": sha(data), "shots": len(cuts), "cuts": sum(cuts)})
    known = tmp_path / "known"
    known.mkdir()
    facts = {
        "name": "tales",
        "title": "Tales",
        "repository": "some/where",
        "commit": "0123456789abcdef",
        "folder": "story",
        "licence": {"name": "Test licence", "summary": "for tests", "file": "LICENSE.md", "sha256": sha(LICENCE)},
        "files": files,
    }
    (known / "tales.json").write_text(json.dumps(facts))
    monkeypatch.setattr(official, "KNOWN", known)
    return folder


def test_the_facts_of_st_bench():
    suite = official.official("st-bench")
    rows = suite.files
    assert len(rows) == 30
    assert (sum(row["shots"] for row in rows), sum(row["cuts"] for row in rows)) == (300, 176)
    assert {row["shots"] for row in rows} == set(range(7, 13))
    assert all(len(row["sha256"]) == 64 and row["file"].endswith(".json") for row in rows)
    assert suite.url("story/cat.json").startswith("https://raw.githubusercontent.com/Kevin-thu/StoryMem/e027735")


@pytest.mark.parametrize("below", [".", "story"])
def test_a_folder_is_taken_verified_and_known_by_name_afterwards(repository: Path, home: Path, film, below: str):
    done = film("suite", "add", "tales", "--from", repository / below, "--accept-licence")
    assert done.code == 0
    assert "licence: Test licence" in done.err
    assert ("For tests only." in done.err) == (below == ".")
    suite = load_suite("tales")
    assert (suite.version, len(suite.stories), suite.shots, suite.cuts) == ("0123456", 3, 8, 5)
    assert sorted(path.name for path in home.iterdir()) == ["tales"]
    assert "is there already" in film("suite", "add", "tales").err
    assert "tales" in film("suite", "list").out
    assert film("suite", "lint", "tales").code == 0


def test_without_acceptance_nothing_is_added(repository: Path, home: Path, film):
    done = film("suite", "add", "tales", "--from", repository)
    assert done.code == 2
    assert "--accept-licence" in done.err
    assert not home.exists()


def test_a_changed_script_is_refused_and_nothing_is_left(repository: Path, home: Path, film):
    path = repository / "story" / "two.json"
    path.write_bytes(path.read_bytes() + b"\n")
    done = film("suite", "add", "tales", "--from", repository, "--accept-licence")
    assert done.code == 2
    assert "two.json has sha256" in done.err
    assert list(home.iterdir()) == []


def test_a_missing_script_says_which_folder_is_expected(repository: Path, home: Path, film):
    (repository / "story" / "short.json").unlink()
    done = film("suite", "add", "tales", "--from", repository, "--accept-licence")
    assert "there is no short.json; expected the folder 'story' of some/where" in done.err


def test_a_damaged_copy_is_noticed_and_added_anew(repository: Path, home: Path, film):
    film("suite", "add", "tales", "--from", repository, "--accept-licence")
    (home / "tales" / "one.json").write_text("{}")
    assert film("suite", "show", "tales").code == 2
    assert film("suite", "add", "tales", "--from", repository, "--accept-licence").code == 0
    assert load_suite("tales").shots == 8


def test_another_licence_text_is_not_shown_as_the_known_one(repository: Path, home: Path, film):
    (repository / "LICENSE.md").write_text("Anything goes.")
    done = film("suite", "add", "tales", "--from", repository, "--accept-licence")
    assert "Anything goes" not in done.err
    assert "is not the text that is known" in done.err


def test_files_are_fetched_from_the_one_commit(repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def fetch(url: str, timeout: float):
        asked.append(url)
        return (repository / url.partition("0123456789abcdef/")[2]).open("rb")

    monkeypatch.setattr("urllib.request.urlopen", fetch)
    suite = official.official("tales")
    official.add(suite, official.from_home(suite))
    assert asked == [f"https://raw.githubusercontent.com/some/where/0123456789abcdef/story/{name}" for name in SCRIPTS]
    assert official.is_added(suite)


def test_no_internet_says_what_to_do_instead(repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch):
    def fetch(url: str, timeout: float):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("urllib.request.urlopen", fetch)
    suite = official.official("tales")
    with pytest.raises(UserError, match=r"cannot be fetched \(no route\); without internet: .* --from DIR"):
        official.add(suite, official.from_home(suite))
    assert list(home.iterdir()) == []


def test_a_suite_that_was_not_added_is_named_in_the_error(home: Path):
    with pytest.raises(UserError, match="fetch it first: stbench suite add st-bench"):
        load_suite("st-bench")
