"""`stbench baseline` and `stbench gate`, end to end on small real runs."""

from __future__ import annotations

import json
import re
import shlex
import time
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from stbench.gating import noise
from stbench.gating.baseline import open_baseline
from stbench.gating.judge import Decision, Verdict
from stbench.gating.output import github, junit, markdown
from stbench.journal import Journal
from stbench.seal import sealed
from stbench.store import RunFolder

RULES = ["--rule", "brightness:1%", "--rule", "denoise.p50:10%"]


@pytest.fixture
def run(film, run_words, tmp_path: Path) -> Path:
    """A finished run of two stories with the fake method."""
    assert film(*run_words).code == 0
    return tmp_path / "run"


def rescore(run: Path, factor: float) -> None:
    """Multiply every score of a run."""
    folder = RunFolder.open(run)
    rows = [row.to_json() | {"value": row.value * factor} for row in folder.scores() if row.value is not None]
    folder.scores_path.write_text("".join(json.dumps(sealed(row)) + "\n" for row in rows))


def respan(run: Path, change) -> None:
    """Write the spans of a run anew, each as `change` returns it."""
    spans = RunFolder.open(run).timings()
    path = run / "timing.jsonl"
    path.unlink()
    with closing(Journal(path, time.time)) as journal:
        for span in spans:
            facts = {name: value for name, value in change(span).items() if name not in ("event", "time")}
            journal.add(span["event"], **facts)


def test_a_run_against_its_own_baseline_passes_and_says_so(film, run, tmp_path) -> None:
    made = film("baseline", run, "-o", "base.json", *RULES)
    assert made.code == 0
    assert "baseline 1 of run" in made.err
    assert (tmp_path / "base.json").stat().st_size < 4000
    done = film("gate", run, "--baseline", "base.json", "--junit", "g.xml", "--markdown", "g.md", "--annotate", "--json")
    assert done.code == 0
    result = json.loads(done.out)
    assert (result["verdict"], result["n_rules"], result["n_failed"]) == ("pass", 2, 0)
    assert "GATE PASS  all 2 rules hold  run against baseline 1 (run)" in done.err
    assert max(len(line) for line in done.err.splitlines() if not line.startswith("::")) <= 80
    assert ET.parse("g.xml").getroot()[0].attrib["failures"] == "0"
    assert Path("g.md").read_text().startswith("### stbench gate passed")
    assert "::notice title=stbench gate::GATE PASS" in done.err


def test_aa_pairs_of_runs_that_were_really_filmed_pass_20_of_20(film, run, run_words, tmp_path) -> None:
    """Filmed and scored twenty times; their own stage has a constant time, so nothing depends on this machine."""
    film("baseline", run, "-o", "base.json", *RULES)
    for number in range(20):
        out = tmp_path / f"again-{number}"
        assert film(*(word if word != str(run) else str(out) for word in run_words)).code == 0
        assert film("gate", out, "-b", "base.json").code == 0


def test_a_drop_and_a_slowdown_fail_with_exit_code_1_everywhere(film, run) -> None:
    film("baseline", run, "-o", "base.json", *RULES)
    rescore(run, 0.95)
    respan(run, lambda span: span | {"seconds": span["seconds"] * 1.2})
    done = film("gate", run, "--baseline", "base.json", "--junit", "g.xml", "--markdown", "g.md", "--annotate", "--json")
    assert done.code == 1
    assert [rule["verdict"] for rule in json.loads(done.out)["rules"]] == ["fail", "fail"]
    assert ET.parse("g.xml").getroot()[0].attrib["failures"] == "2"
    assert Path("g.md").read_text().count("**FAIL**") == 2
    assert re.findall(r"^::error title=gate (\S+)::", done.err, re.M) == ["brightness%3A1%25", "denoise.p50%3A10%25"]


def test_a_run_stands_for_a_baseline(film, run) -> None:
    assert film("gate", run, "-b", run, *RULES).code == 0
    assert "no rules" in film("gate", run, "-b", run).err


@pytest.mark.parametrize("text", ['{"event": "span", "seconds": NaN}\n', '{"event": "span"', "x\n"])
def test_nan_or_damage_among_the_spans_fails(film, run, text) -> None:
    film("baseline", run, "-o", "base.json", *RULES)
    path = run / "timing.jsonl"
    path.write_text(text + path.read_text()) if text.endswith("\n") else path.write_text(path.read_text() + text)
    done = film("gate", run, "-b", "base.json")
    torn_only = not text.endswith("\n")  # a process died while it wrote a line: nothing that was measured is lost
    assert done.code == (0 if torn_only else 1)
    assert torn_only or "times cannot be trusted" in done.err


def test_a_span_without_a_number_fails(film, run) -> None:
    film("baseline", run, "-o", "base.json", *RULES)
    respan(run, lambda span: span | {"seconds": None} if span["stage"] == "denoise" else span)
    done = film("gate", run, "-b", "base.json")
    assert done.code == 1
    assert "took None seconds" in done.err


def test_nan_among_the_scores_fails(film, run) -> None:
    film("baseline", run, "-o", "base.json", *RULES)
    path = run / "scores.jsonl"
    path.write_text(re.sub(r'"value": [\d.]+', '"value": NaN', path.read_text(), count=1))
    done = film("gate", run, "-b", "base.json", "--json")
    assert done.code == 1
    assert "scores cannot be read" in json.loads(done.out)["rules"][0]["reason"]


def test_a_shot_that_was_not_made_fails(film, run, run_words, tmp_path, monkeypatch) -> None:
    film("baseline", run, "-o", "base.json", *RULES)
    monkeypatch.setenv("FAKE_FAIL", "bee 02_01")
    words = [word if word != str(run) else str(tmp_path / "torn") for word in run_words]
    assert film(*words).code == 3
    done = film("gate", tmp_path / "torn", "-b", "base.json")
    assert done.code == 1
    assert "bee 02_01: the shot was not made" in done.err


def test_baselines_are_numbered_in_a_file_and_in_a_folder(film, run) -> None:
    for _ in range(2):
        film("baseline", run, "-o", "base.json", *RULES)
        film("baseline", run, "-o", "bases", *RULES)
    assert open_baseline(Path("base.json")).number == 2
    assert sorted(path.name for path in Path("bases").iterdir()) == ["0001.json", "0002.json"]
    assert open_baseline(Path("bases")).number == 2


def test_a_baseline_diffs_by_metric(film, run) -> None:
    """Committed files are read in diffs: one line per metric and per stage."""
    film("baseline", run, "-o", "base.json", *RULES)
    lines = Path("base.json").read_text().splitlines()
    assert sum('"metric": "brightness"' in line for line in lines) == 1
    assert json.loads("\n".join(lines)) == json.loads(Path("base.json").read_text())


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda text: text.replace('"number": 1', '"number": 7'), "it was altered"),
        (lambda text: text.replace('"rules": ["brightness:1%"', '"rules": ["brightness:90%"'), "it was altered"),
        (lambda text: text[:100], "is not a baseline"),
        (lambda text: "[]", "it has no seal"),
        (lambda text: json.dumps(sealed(json.loads(text) | {"schema": 9})), "its schema is 9"),
        (lambda text: json.dumps(sealed({k: v for k, v in json.loads(text).items() if k != "evidence"})), "field evidence"),
    ],
)
def test_a_baseline_that_was_altered_is_refused(film, run, harm, says) -> None:
    film("baseline", run, "-o", "base.json", *RULES)
    Path("base.json").write_text(harm(Path("base.json").read_text()))
    done = film("gate", run, "-b", "base.json")
    assert done.code == 2
    assert says in done.err
    assert len(done.err.strip().splitlines()) == 1


def in_process(film):
    """Run commands in this process: the fake method is not registered in another."""

    def call(words) -> None:
        done = film(*words[len(noise.PROGRAM) :] if words[:3] == list(noise.PROGRAM) else words[1:])
        assert done.code == 0, done.err

    return call


def test_aa_noise_is_measured_stored_and_limits_below_it_are_refused(film, run, monkeypatch) -> None:
    films, took = in_process(film), iter([1.03, 0.98] * 2)

    def call(words) -> None:
        films(words)
        seconds = next(took)
        respan(Path(words[words.index("--out") + 1]), lambda span: span | {"seconds": seconds})

    monkeypatch.setattr(noise, "call", call)
    respan(run, lambda span: span | {"seconds": 1.0})
    done = film("baseline", run, "-o", "base.json", "--aa", "2", *RULES)
    assert done.code == 0, done.err
    stored = open_baseline(Path("base.json")).noise
    assert stored is not None
    assert (stored.runs, stored.largest["brightness"]) == (3, 0)
    assert stored.share["shot.p50"] == pytest.approx(1.03 / 0.98 - 1)
    done = film("baseline", run, "-o", "other.json", "--aa", "2", "--rule", "shot.p50:5%")
    assert done.code == 2
    assert "the limit shot.p50:5% is below A/A noise: 3 runs of the same command differ by up to 0.05 (5.1%)" in done.err
    assert not Path("other.json").exists()


def test_interleaving_films_base_and_new_in_turns(film, run, monkeypatch) -> None:
    order: list[str] = []
    films = in_process(film)

    def call(words) -> None:
        base = words[0] == "base-stbench"
        order.append("base" if base else "new")
        films(words)
        out = Path(words[words.index("--out") + 1])
        respan(out, lambda span: span | {"seconds": 1.0 if base else 1.2})

    monkeypatch.setattr(noise, "call", call)
    suite = shlex.split(json.loads((run / "events.jsonl").read_text().splitlines()[0])["command"])
    command = " ".join(["base-stbench", *suite[1 : suite.index("--out")], "--out", "{out}", "--no-score"])
    words = ["gate", run, "-b", run, "--interleave", command, "--rounds", "2"]
    done = film(*words, "--rule", "shot.p50:10%", "--rule", "brightness:1%")
    assert done.code == 1
    assert "1 of 2 rules failed" in done.err
    assert order == ["base", "new", "base", "new"]
    assert film(*words, "--rule", "shot.p50:25%").code == 0
    assert "{out}" in film("gate", run, "-b", run, "--rule", "shot.p50:10%", "--interleave", "stbench run").err
    assert "no rule is about time" in film(*words, "--rule", "brightness:1%").err


def test_a_command_that_fails_is_one_clear_line(film, run) -> None:
    done = film("gate", run, "-b", run, "--rule", "shot.p50:10%", "--interleave", "false {out}")
    assert done.code == 2
    assert "ended with 1" in done.err


def test_hostile_text_stays_inside_of_every_format() -> None:
    bad = Verdict(rule="a:1%", kind="quality", passed=False, reason='x|y <b>"&\x1b[31m\n::error::forged')
    decision = Decision(run="run\n::error::forged", base="<script>", verdicts=(bad,))
    assert len(ET.fromstring(junit(decision))[0]) == 1
    assert all(line.startswith("::") and "\n" not in line for line in github(decision))
    assert "<b>" not in markdown(decision)
    assert "x\\|y" in markdown(decision)
