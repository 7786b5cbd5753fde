from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stbench.config import RunConfig

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numpy", "pandas", "scipy", "pydantic", "av", "PIL", "matplotlib", "diffusers", "transformers")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )


def test_importing_the_command_line_imports_nothing_heavy():
    done = python(f"import sys, stbench.cli; print([m for m in {HEAVY!r} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_help_imports_nothing_heavy_and_takes_little_cpu():
    code = f"""
import resource, sys
from stbench.cli import main
try:
    main(["--help"])
except SystemExit as stop:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print([m for m in {HEAVY!r} if m in sys.modules], stop.code, file=sys.stderr)
"""
    done = python(code)
    assert done.stderr.strip() == "[] 0"
    for command in ("run", "score", "report", "check", "list", "suite"):
        assert command in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "--method", "storymen"], "unknown method 'storymen'"),
        (["run", "--method", "storymen"], "did you mean 'storymem'?"),
        (["run", "--methd", "storymem"], "--method"),
        (["run"], "Missing option '--method'"),
        (["run", "--method", "fake", "--suite", "world-mni"], "did you mean 'world-mini'?"),
        (["run", "--method", "fake", "--seed", "-1"], "--seed"),
        (["run", "--method", "fake", "--seed", "one"], "should be a valid integer"),
        (["run", "--method", "fake", "--limit", "0"], "--limit"),
        (["run", "--method", "fake", "--set", "strength"], "expected key=value"),
        (["run", "--method", "fake", "--set", "a=1", "--set", "a=2"], "'a' is given twice"),
        (["run", "--method", "fake", "--set", "strenght=2"], "unknown option 'strenght'"),
        (["run", "--method", "fake", "--model", "wrld"], "no model 'wrld'"),
        (["run", "--method", "fake", "--device", "gpu"], "expected auto, cpu, cuda or cuda:N"),
        (["run", "--method", "fake", "--protocol", "wrld"], "unknown protocol 'wrld'"),
        (["score", "nowhere"], "nowhere: does not exist"),
        (["report", "nowhere"], "nowhere: does not exist"),
        (["list", "metods"], "did you mean 'methods'?"),
        (["suite", "show", "none.json"], "none.json"),
        (["suite", "generate", "wrld", "--out", "x"], "expected one of: world"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_bad_words_get_one_clear_line_and_exit_2(film, tmp_path, words, says):
    done = film(*words)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert says in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert done.out == ""
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"story_name": "x"}',
        '{"story_name": "../../x", "scenes": [{"scene_num": 1, "video_prompts": ["a", "b"], "cut": [true]}]}',
        '{"story_name": "x", "scenes": [{"scene_num": 1, "video_prompts": [""], "cut": [true]}]}',
    ],
)
def test_a_bad_script_ends_the_run_before_a_folder_is_made(film, tmp_path, content):
    (tmp_path / "bad.json").write_text(content)
    done = film("run", "--method", "fake", "--suite", "bad.json")
    assert done.code == 2
    assert done.err.startswith("error: bad.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.json", "tales"]


def test_a_hostile_story_name_stays_inside_the_run_folder(film, scripts, tmp_path):
    data = json.loads((scripts / "ant.json").read_text()) | {"story_name": "../../\x1b[31mx\nerror: fake"}
    (tmp_path / "one.json").write_text(json.dumps(data))
    done = film("run", "--method", "fake", "--suite", "one.json", "--out", "deep/run", "--no-score")
    assert done.code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "one.json", "tales"]
    shown = film("suite", "show", "one.json")
    assert "\x1b" not in shown.out
    assert len(shown.out.splitlines()) == 2


def test_lists_say_what_there_is(film):
    done = film("list", "methods")
    assert done.code == 0
    assert {"fake", "frozen", "storymem", "wan-t2v", "world-truth"} <= {line.split()[0] for line in done.out.splitlines()}
    assert all(len(line.split()) > 3 for line in done.out.splitlines())
    assert [entry["name"] for entry in json.loads(film("list", "suites", "--json").out)["suites"]] == [
        "stbench-30",
        "stbench-mini",
        "world",
        "world-mini",
    ]


def test_suite_show_counts(film, scripts):
    data = json.loads(film("suite", "show", scripts, "--json").out)
    assert [(story["id"], story["shots"], story["cuts"]) for story in data["stories"]] == [("ant", 4, 2), ("bee", 3, 2)]


def test_report_puts_runs_side_by_side(film, run_words, tmp_path):
    film(*run_words)
    film(*run_words, "--out", "two", "--seed", "2")
    done = film("report", "run", "two", "--out", "both", "--json")
    assert done.code == 0
    assert json.loads(done.out)["paths"] == {"table": "both/table.md"}
    assert json.loads(done.out)["verdict"] == "complete"
    assert (tmp_path / "both" / "table.md").read_text() == "run\ntwo\n"


def test_the_report_of_a_partial_run_says_partial(film, run_words, fake, monkeypatch):
    def fail(self, request):
        raise RuntimeError("no")

    monkeypatch.setattr(fake.FakeShots, "shot", fail)
    assert film(*run_words).code == 3
    assert json.loads(film("report", "run", "--json").out)["verdict"] == "partial"


def test_the_command_line_has_exactly_these_flags():
    """Scripts depend on them: a flag that goes or is renamed breaks somebody's job."""
    import typer.main

    from stbench.cli import app

    commands = typer.main.get_command(app).commands
    flags = {name: sorted(opt for param in command.params for opt in param.opts) for name, command in commands.items() if name != "suite"}
    assert flags == {
        "run": [
            "--device",
            "--executor",
            "--gpus",
            "--json",
            "--limit",
            "--method",
            "--mirror",
            "--model",
            "--on-error",
            "--out",
            "--protocol",
            "--ray-address",
            "--reference",
            "--repeat",
            "--retries",
            "--score",
            "--score-workers",
            "--seed",
            "--set",
            "--shot-timeout",
            "--suite",
            "--verify",
            "--worker-gpus",
            "--worker-memory",
            "--workers",
        ],
        "status": ["--json", "--metrics-port", "--watch", "run"],
        "score": [
            "--detect-cuts",
            "--device",
            "--frames",
            "--half",
            "--json",
            "--map",
            "--out",
            "--protocol",
            "--shot-frames",
            "--suite",
            "--videos",
            "--workers",
            "--yes",
            "run",
        ],
        "fetch": ["--into", "--json", "--mode", "--part", "--yes", "model"],
        "profile": ["--device", "--json", "--method", "--model", "--out", "--seed", "--set", "--shots", "--suite", "--trace", "run"],
        "trend": ["--floor", "--json", "--of", "--out", "runs"],
        "protocol": ["--json", "name"],
        "validate-metrics": ["--device", "--json", "--metric", "--out", "--protocol", "--shots", "--stories", "--suite", "--videos"],
        "verify": ["--attention", "--device", "--dtype", "--json", "folder"],
        "report": ["--answers", "--by", "--cost", "--embed", "--intervals", "--json", "--out", "--questions", "--study", "runs"],
        "compare": ["--json", "--strict", "base", "new"],
        "method": [],
        "paper": [
            "--also",
            "--device",
            "--jobs",
            "--json",
            "--limit",
            "--model",
            "--out",
            "--protocol",
            "--seeds",
            "--set",
            "--suite",
            "--table",
        ],
        "baseline": ["--aa", "--json", "--out", "--rule", "-o", "run"],
        "gate": ["--annotate", "--baseline", "--interleave", "--json", "--junit", "--markdown", "--rounds", "--rule", "-b", "run"],
        "plan": [
            "--check",
            "--deadline",
            "--device",
            "--frames",
            "--gpus",
            "--json",
            "--like",
            "--limit",
            "--method",
            "--model",
            "--placement",
            "--price",
            "--set",
            "--setup",
            "--size",
            "--suite",
        ],
        "check": ["--json", "run"],
        "list": ["--json", "what"],
    }


def test_the_continue_command_is_the_command(film, run_words):
    config = RunConfig(
        method="fake", suite="a b.json", seed=3, options={"strength": "2"}, out=Path("x"), limit=2, device="cpu", score=False, json=True
    )
    assert config.command() == (
        "stbench run --method fake --suite 'a b.json' --seed 3 --out x --limit 2 --set strength=2 --device cpu --no-score --json"
    )


def test_main_job_in_a_fresh_process_is_not_slowed_by_imports():
    began = time.process_time()
    assert python("import stbench").returncode == 0
    assert time.process_time() - began < 1
