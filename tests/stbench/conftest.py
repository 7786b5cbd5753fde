from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

PLUGINS = Path(__file__).parent / "plugins"
ROOT = Path(__file__).resolve().parents[2]
DRIVER = "import sys; sys.path.insert(0, {plugins!r}); import fake_methods; fake_methods.install(); from stbench.cli import main; main()"


def make_script(name: str = "A story", shots: tuple[int, ...] = (2, 2)) -> dict:
    scenes = [
        {
            "scene_num": s,
            "video_prompts": [f"{name}, scene {s}, shot {k}." for k in range(1, n + 1)],
            "cut": [k == 1 for k in range(1, n + 1)],
        }
        for s, n in enumerate(shots, start=1)
    ]
    return {"story_name": name, "story_overview": f"{name} in short.", "scenes": scenes}


def write_script(path: Path, script: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(script), encoding="utf-8")
    return path


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A suite of two scripts with 4 and 3 shots."""
    folder = tmp_path / "tales"
    write_script(folder / "ant.json", make_script("Ant"))
    write_script(folder / "bee.json", make_script("Bee", (1, 2)))
    return folder


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch):
    """The fake method, scorer and reporter, registered for one test; its counters start empty."""
    import stbench.scoring
    from stbench.methods import METHODS

    monkeypatch.syspath_prepend(str(PLUGINS))
    import fake_methods

    for name in ("SCORERS", "REPORTERS", "PROTOCOLS"):
        monkeypatch.setattr(stbench.scoring, name, getattr(stbench.scoring, name))
    monkeypatch.setattr(METHODS, "_targets", dict(METHODS._targets))
    fake_methods.install()
    for counter in (fake_methods.OPENED, fake_methods.MADE, fake_methods.SCORED):
        counter.clear()
    return fake_methods


@pytest.fixture
def film(fake, scripts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Call the command line in this process: film("run", …) → exit code, stdout, stderr."""
    from stbench.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a power loss is not tested here, and a busy disk is slow

    def call(*words: object) -> SimpleNamespace:
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        text = capsys.readouterr()
        return SimpleNamespace(code=stop.value.code, out=text.out, err=text.err)

    return call


@pytest.fixture
def run_words(scripts: Path, tmp_path: Path) -> list[str]:
    """The command that films the two scripts with the fake method into tmp_path/run."""
    return ["run", "--method", "fake", "--suite", str(scripts), "--out", str(tmp_path / "run"), "--device", "cpu"]


@pytest.fixture
def process(tmp_path: Path):
    """Call the command line in its own process, with extra environment variables."""

    def call(words: list[str], **extra: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **extra}
        code = DRIVER.format(plugins=str(PLUGINS))
        return subprocess.run(
            [sys.executable, "-c", code, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return call
