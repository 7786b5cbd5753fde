"""The workflows and tox environments call this program with words that it knows; a renamed flag fails here, not at night on a runner.

`actionlint` is not among the tests' packages; the workflows were checked with it (docs/ci.md says how).
"""

from __future__ import annotations

import configparser
import itertools
import re
import shlex
from pathlib import Path

import pytest
import typer.main
import yaml

from stbench.cli import app
from stbench.gating.rules import parse_rule
from stbench.scoring import check_protocol

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TOX = configparser.RawConfigParser()
TOX.read(ROOT / "tox.ini")
GUIDE = ROOT / "docs" / "ci.md"


def scripts(path: Path) -> list[str]:
    """The lines of shell of a workflow."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return [line for job in jobs.values() for step in job["steps"] for line in step.get("run", "").splitlines()]


def commands(lines: list[str]) -> list[list[str]]:
    """Commands of `stbench` in lines of shell, as words."""
    found = [re.search(r"\bstbench [a-z].*", line) for line in lines]
    return [shlex.split(match[0].partition(" | ")[0])[1:] for match in found if match]


def all_commands() -> list[list[str]]:
    guide = re.findall(r"```(?:sh|yaml)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    shell = [line.strip().removeprefix("- run: ") for block in guide for line in block.replace("\\\n", " ").splitlines()]
    gate = TOX["testenv:gate"]["commands"].splitlines()
    return commands([*shell, *gate, *(line for path in WORKFLOWS for line in scripts(path))])


@pytest.mark.parametrize("words", all_commands(), ids=lambda words: " ".join(words)[:60])
def test_every_command_has_words_that_the_program_knows(words: list[str]) -> None:
    command = typer.main.get_command(app).commands[words[0]]
    if hasattr(command, "commands"):
        command = command.commands[words[1]]
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= known
    for name, value in itertools.pairwise(words):
        if name == "--rule":
            parse_rule(value)
        if name == "--protocol":
            check_protocol(value)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_ask_for_little_and_end_in_time(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    assert data["permissions"] == {"contents": "read"}
    for job in data["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 720
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    assert not re.search(r"run:.*\$\{\{ *github\.event", text), "text of a stranger must not reach a shell"


def test_environments_of_tox_that_workflows_name_exist() -> None:
    named = {name for path in WORKFLOWS for line in scripts(path) for name in re.findall(r"tox -e (\w+)", line)}
    assert named
    assert all(f"testenv:{name}" in TOX for name in named)


def test_code_of_a_fork_never_runs_on_the_gpu_machine() -> None:
    """A label is all that a pull request needs to be filmed, and labels outlive new commits."""
    job = yaml.safe_load((ROOT / ".github/workflows/gpu.yml").read_text(encoding="utf-8"))["jobs"]["film"]
    assert "self-hosted" in job["runs-on"]
    assert "head.repo.full_name == github.repository" in job["if"]
