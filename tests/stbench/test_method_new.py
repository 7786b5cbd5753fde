"""`stbench method new`: what it writes is installed, tested by its own test, listed and run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from stbench.conformance import BrokenPromiseError, check_method
from stbench.method_template import FOLDER
from stbench.methods import METHODS, ShotResult

ROOT = Path(__file__).resolve().parents[2]


def call(words: list[str], site: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_new_method_is_installed_passes_its_own_test_and_films(film, tmp_path: Path, scripts: Path):
    for tool in ("pip", "setuptools"):  # looked for, not imported: setuptools refuses a process that has distutils already
        if importlib.util.find_spec(tool) is None:
            pytest.skip(f"the package is built and installed with {tool}, and nothing is downloaded")
    done = film("method", "new", "red-fox", "--json")
    assert done.code == 0
    assert [Path(path).name for path in json.loads(done.out)["files"]] == ["red_fox.py", "test_red_fox.py", "pyproject.toml", "README.md"]
    assert "my" + "_method" not in "".join(path.read_text() for path in (tmp_path / "red-fox").rglob("*.*"))
    site = tmp_path / "site"
    install = ["pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(site), "./red-fox"]
    installed = call(["-m", *install], site, tmp_path)
    assert installed.returncode == 0, installed.stderr
    tested = call(["-m", "pytest", "-q", "-p", "no:cacheprovider", "red-fox/tests"], site, tmp_path)
    assert "1 passed" in tested.stdout, tested.stdout
    run = "import sys; from stbench.cli import main; main(sys.argv[1:])"
    listed = call(["-c", run, "list", "methods"], site, tmp_path)
    assert "red-fox" in [line.split()[0] for line in listed.stdout.splitlines()]
    assert "My method: one line for `stbench list methods`." in listed.stdout
    filmed = call(["-c", run, "run", "--method", "red-fox", "--suite", str(scripts), "--no-score", "--json", "--out", "r"], site, tmp_path)
    assert json.loads(filmed.stdout)["verdict"] == "complete"


def test_the_template_is_under_fifty_lines():
    assert len((FOLDER / "my_method.py").read_text().splitlines()) < 50


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["My Method"], "expected small letters, digits and hyphens"),
        (["../x"], "expected small letters"),
        (["class"], "expected small letters"),
        (["storymem"], "there is a method 'storymem' already"),
        (["red-fox", "--out", "tales"], "tales: is not an empty folder"),
    ],
)
def test_bad_names_and_used_folders_are_refused(film, tmp_path: Path, words: list[str], says: str):
    before = sorted(tmp_path.rglob("*"))
    done = film("method", "new", *words)
    assert done.code == 2
    assert says in done.err
    assert sorted(tmp_path.rglob("*")) == before


class Good:
    """A method that keeps its promises; each test breaks one."""

    made = 0

    @classmethod
    def from_options(cls, *, model, options):
        from stbench.errors import UserError

        if options:
            raise UserError("unknown option")
        return cls()

    def identity(self):
        return {"method": "good"}

    def describe(self):
        return "good"

    @contextmanager
    def open(self, device):
        yield self

    def shot(self, request):
        frames = np.random.default_rng(request.seed).integers(0, 255, (4, 16, 16, 3), dtype=np.uint8)
        return ShotResult(frames=frames, fps=8.0)


def noisy(self, request):
    Good.made += 1
    return ShotResult(frames=np.random.default_rng(Good.made).integers(0, 255, (4, 16, 16, 3), dtype=np.uint8), fps=8.0)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({}, None),
        ({"shot": noisy}, "the same seed gives the same frames"),
        ({"identity": lambda self: {"now": object()}}, "its identity is"),
        ({"from_options": classmethod(lambda cls, *, model, options: cls())}, "an option that it does not know is a UserError"),
        ({"shot": lambda self, request: 1 / 0}, "every shot is made"),
    ],
)
def test_a_broken_promise_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: dict, says: str | None):
    monkeypatch.setattr(METHODS, "get", lambda name: type("Method", (Good,), {"name": "good", **broken}))
    monkeypatch.setattr(METHODS, "target", lambda name: "elsewhere:Good")
    if says is None:
        check_method("good", folder=tmp_path)
        return
    with pytest.raises(BrokenPromiseError, match=says):
        check_method("good", folder=tmp_path)
