"""`stbench paper`: which runs it makes, what it keeps, and that a method that cannot run costs its own row only."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from stbench import paper
from stbench.display import Display
from stbench.errors import UserError
from stbench.paper import Plan, Wanted

HERE = ("wan-t2v", "storymem", "no-sink")


@pytest.fixture
def few(fake, monkeypatch: pytest.MonkeyPatch):
    """Three methods of the paper are the fake one; another is there and refuses this model; the rest is not installed."""
    from stbench.methods import METHODS

    monkeypatch.setattr(METHODS, "_targets", {**dict.fromkeys(HERE, "fake_methods:Fake"), "ic-lora": "fake_methods:NotHere"})
    monkeypatch.setattr(paper, "is_storymem", lambda name: name != "wan-t2v")
    monkeypatch.setattr(fake, "NotHere", NotHere, raising=False)
    tables: list[tuple[int, list[str], dict[str, str]]] = []

    def write(number, methods, out, *, missing):
        tables.append((number, [f"{title}:{len(runs)}" for title, runs in methods.items()], dict(missing)))
        return {"markdown": out / f"table{number}.md"}, ["The order holds."], ["Steps differ."]

    import stbench.scoring
    from stbench.registry import Registry

    registry = Registry("paper table")
    registry.add("reports", "fake_methods:write_paper")
    monkeypatch.setattr(fake, "write_paper", write, raising=False)
    monkeypatch.setattr(stbench.scoring, "PAPERS", registry)
    return tables


class NotHere:
    @classmethod
    def from_options(cls, *, model, options):
        raise UserError("its weights are not here", where="ic-lora")


def test_runs_are_made_once_and_shared_by_both_tables(few, film, fake, scripts: Path, tmp_path: Path):
    words = ["paper", "--suite", scripts, "--protocol", "world", "--out", "p", "--json"]
    done = film(*words, "--table", 1)
    assert done.code == 0
    assert sorted(path.name for path in (tmp_path / "p" / "runs").iterdir()) == ["storymem-s0", "wan-t2v-s0"]
    number, rows, missing = few[0]
    assert (number, rows) == (1, ["wan-t2v:1", "storymem:1"])
    assert missing["ic-lora"] == "its weights are not here"
    assert missing["holocine"] == "is not part of this installation"
    assert set(missing) == {"wan-i2v-chain", "storydiffusion", "ic-lora", "holocine"}
    made = len(fake.MADE)
    assert made == 14
    done = film(*words)
    assert json.loads(done.out)["table2"]["found"] == ["The order holds."]
    assert "Steps differ." in done.err
    assert len(fake.MADE) == made + 7  # no-sink alone is new
    assert [table[:2] for table in few[1:]] == [(1, ["wan-t2v:1", "storymem:1"]), (2, ["no-sink:1", "storymem:1"])]


def test_further_rows_are_methods_or_runs_and_seeds_are_runs(few, film, run_words, scripts: Path):
    film(*run_words[:2], "no-sink", *run_words[3:])  # a run from elsewhere, in tmp_path/run
    done = film("paper", "--suite", scripts, "--protocol", "world", "--table", 1, "--seeds", "0,3", "--also", "run", "--out", "p")
    assert done.code == 0
    assert few[0][1] == ["wan-t2v:2", "run:1", "storymem:2"]
    assert "The order holds." in done.err


def test_options_are_for_storymem_alone(few, film, scripts: Path, tmp_path: Path):
    film("paper", "--suite", scripts, "--protocol", "world", "--table", 1, "--set", "strength=2", "--out", "p")
    options = {name: json.loads((tmp_path / f"p/runs/{name}-s0/manifest.json").read_text())["options"] for name in ("storymem", "wan-t2v")}
    assert options == {"storymem": {"strength": "2"}, "wan-t2v": {}}


def test_a_shot_that_fails_makes_the_table_partial(few, film, scripts: Path, monkeypatch):
    monkeypatch.setenv("FAKE_FAIL", "ant 01_02")
    assert film("paper", "--suite", scripts, "--protocol", "world", "--table", 1, "--out", "p").code == 3


def test_an_interruption_says_what_is_safe_and_how_to_go_on(few, film, fake, scripts: Path, monkeypatch):
    monkeypatch.setenv("FAKE_INTERRUPT", "bee 01_01")
    done = film("paper", "--suite", scripts, "--protocol", "world", "--table", 1, "--also", "no-sink", "--out", "p")
    assert done.code == 130
    assert "interrupted: 4 of 21 shots are safe in p" in done.err
    command = next(line for line in done.err.splitlines() if line.startswith("continue: ")).removeprefix("continue: ")
    monkeypatch.delenv("FAKE_INTERRUPT")
    made = len(fake.MADE)
    assert film(*shlex.split(command)[1:]).code == 0
    assert len(fake.MADE) == made + 17
    assert few[-1][1] == ["wan-t2v:1", "no-sink:1", "storymem:1"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--table", "3"], "there is no table 3; expected 1 (methods) or 2 (ablations)"),
        (["--seeds", "0,x"], "found '0,x'"),
        (["--seeds", "1,1"], "expected different whole numbers"),
        (["--also", "storymen"], "did you mean 'storymem'?"),
        (["--model", "wrld"], "no model 'wrld'"),
    ],
)
def test_bad_words_are_refused_before_anything_is_filmed(few, film, fake, scripts: Path, words, says):
    done = film("paper", "--suite", scripts, "--protocol", "world", "--out", "p", *words)
    assert (done.code, fake.MADE) == (2, [])
    assert says in done.err


def test_side_by_side_every_run_is_a_process_of_its_own_and_a_bad_one_is_named(tmp_path: Path):
    asked = {"suite": None, "protocol": None, "also": (), "options": {}, "limit": None}
    wanted = Wanted(tables=(1,), model="world", seeds=(0,), device="auto", out=tmp_path, jobs=2, **asked)
    started = []

    def start(words, *, stderr, **_):
        started.append(words)
        if "wan-t2v" in words:
            stderr.write(b"working\nerror: the disk is on fire\n")
            return 2
        return 3

    configs = tuple(wanted.config(name, 0) for name in ("storymem", "wan-t2v"))
    plan = Plan(configs=configs, missing={})
    found = {config.method: problem for config, problem in paper._side_by_side(plan.configs, wanted, Display(), start)}
    assert found == {"storymem": None, "wan-t2v": "the disk is on fire"}
    assert sorted(shlex.join(words[3:]) for words in started) == sorted(shlex.join(shlex.split(config.command())[1:]) for config in configs)
