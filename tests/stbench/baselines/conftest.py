"""Tiny painters and a tiny Wan2.2 for all tests of keyframed methods, written once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "storymem"))  # tiny_wan
sys.path.insert(0, str(Path(__file__).parent))  # tiny_painters

from tiny_painters import SMALL, make_tiny_adapter, make_tiny_flux, make_tiny_sdxl
from tiny_wan import TinyWan

from stbench.cli import main
from stbench.story import Shot, Story

WORDS = ("a cat sits in the park", "a dog runs on snow", "a fox sits", "a red dog", "a blue fox runs")


@pytest.fixture(scope="session")
def painters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Part → folder, as `--set weights.PART=` takes them."""
    folder = tmp_path_factory.mktemp("painters")
    flux = make_tiny_flux(folder / "flux")
    make_tiny_adapter(folder / "adapters" / "film-storyboard.safetensors", flux)
    return {"sdxl": make_tiny_sdxl(folder / "sdxl"), "flux": flux, "storyboard": folder / "adapters"}


@pytest.fixture(scope="session")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TinyWan().diffusers(tmp_path_factory.mktemp("wan") / "tiny")


@pytest.fixture
def story() -> Callable[..., Story]:
    """A story of so many shots, or with some prompts changed."""

    def make(shots: int = 3, **prompts: str) -> Story:
        texts = [prompts.get(f"shot{index}", WORDS[index]) for index in range(shots)]
        return Story(
            id="walk",
            name="Walk",
            overview="a walk",
            shots=tuple(
                Shot(index=i, scene=1, number=i + 1, prompt=text, cut=True, first_frame_prompt=f"{text}, seen from afar")
                for i, text in enumerate(texts)
            ),
        )

    return make


@pytest.fixture
def filming(painters: dict[str, Path], wan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The real command on the tiny models: method, folder of the run, more words → exit code, records, spans, stderr."""
    script = {
        "story_name": "Walk",
        "story_overview": "a walk",
        "scenes": [
            {
                "scene_num": 1,
                "video_prompts": list(WORDS[:4]),
                "first_frame_prompt": [f"{text}, seen from afar" for text in WORDS[:4]],
                "cut": [True, False, True, True],
            }
        ],
    }

    def film(method: str, out: Path, *more: str) -> SimpleNamespace:
        path = tmp_path / "walk.json"
        path.write_text(json.dumps(script))
        parts = {"storydiffusion": ("sdxl",), "ic-lora": ("flux", "storyboard")}[method]
        options = SMALL | {f"weights.{part}": str(painters[part]) for part in parts}
        words = [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
        command = ["run", "--method", method, "--model", str(wan), "--suite", str(path), "--out", str(out), "--device", "cpu"]
        with pytest.raises(SystemExit) as stop:
            main([*command, "--no-score", *words, *more])
        records = [json.loads(part.read_text()) for part in sorted((out / "shots" / "walk").glob("*.json"))]
        shots = {one["shot"]: one for one in records}
        lines = (out / "timing.jsonl").read_text().splitlines() if shots else []
        spans = [(one["shot"], one["stage"]) for one in map(json.loads, lines) if one.get("event") == "span"]
        return SimpleNamespace(code=stop.value.code or 0, shots=shots, spans=spans, err=capsys.readouterr().err)

    return film
