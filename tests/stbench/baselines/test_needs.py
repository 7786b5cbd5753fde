"""What `stbench list methods` and `stbench fetch` say of weights is what the methods ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stbench.catalogue import catalogue
from stbench.cli import main
from stbench.errors import UserError
from stbench.methods import METHODS
from stbench.needs import PUBLISHED, missing, weights_of
from storymem import hub


@pytest.fixture(autouse=True)
def _nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty-cache"))
    for name in (hub.ENVIRONMENT, "STBENCH_EXTERNAL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fetch(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any, str]]:
    """The command: exit code, JSON, what people read."""

    def run(*words: str) -> tuple[int, Any, str]:
        with pytest.raises(SystemExit) as ended:
            main(["fetch", *words, "--json"])
        said = capsys.readouterr()
        return int(str(ended.value.code)), json.loads(said.out), said.err

    return run


@pytest.mark.parametrize("method", [*(name for name in METHODS if weights_of(name) and name != "memory-N"), "memory-3"])
def test_what_is_said_to_be_missing_is_what_the_method_asks_for(method: str) -> None:
    with pytest.raises(UserError) as caught:
        METHODS.get(method).from_options(model=PUBLISHED, options={})
    asked = set(re.findall(r"hf download (\S+)", str(caught.value)))
    assert asked == {need.hub_id for need in missing(method)} == {wanted.hub_id for wanted in weights_of(method).values()}


def test_the_list_names_what_is_missing_once_with_licence_size_and_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["list", "methods"])
    said = capsys.readouterr()
    lines, details = dict(line.split(maxsplit=1) for line in said.out.splitlines()), said.err
    assert lines["storydiffusion"].endswith("(missing here: sdxl, m2v)")
    assert lines["wan-t2v"].endswith("(with --model wan2.2-a14b missing here: t2v)")
    assert "missing" not in lines["world-truth"]
    for line in (
        r"flux +text-to-image base .*black-forest-labs/FLUX.1-dev \(FLUX.1 \[dev\] Non-Commercial License; .*about 34 GB\)",
        r"m2v +image-to-video base, .*Wan-AI/Wan2.2-I2V-A14B-Diffusers \(Apache-2.0; about 126 GB\)",
        r"storymem-upstream lora +.*non-commercial; about 2.5 GB.*; to get it: hf download Kevin-thu/StoryMem",
        r"holocine code +.*git clone https://github.com/yihao-meng/HoloCine",
    ):
        assert len(re.findall(line, details)) == 1
    with pytest.raises(SystemExit):
        main(["list", "methods", "--json"])
    methods = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["methods"]}
    assert [need["part"] for need in methods["ic-lora"]["missing"]] == ["flux", "storyboard", "m2v"]
    assert methods["ic-lora"]["missing"][1]["size_bytes"] == 172_000_000


def test_fetch_takes_a_method_and_downloads_its_own_weights_alone(
    fetch: Callable[..., tuple[int, Any, str]], painters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, found, said = fetch("storydiffusion", "--into", str(tmp_path))
    assert (code, found["ready"], [part["part"] for part in found["parts"]]) == (0, False, ["sdxl", "m2v"])
    assert "CreativeML Open RAIL++-M; about 6.9 GB" in said
    assert f"--include 'unet/*fp16*' --include 'vae/*fp16*' --local-dir {tmp_path}/stable-diffusion-xl-base-1.0" in said

    asked: list[tuple[str, Any]] = []

    def download(hub_id: str, folder: Path, *, only: tuple[str, ...], endpoint: str | None) -> None:
        asked.append((hub_id, only))
        folder.symlink_to(painters["sdxl"])

    monkeypatch.setattr(hub, "download", download)
    for _ in range(2):
        code, found, said = fetch("storydiffusion", "--part", "sdxl", "--into", str(tmp_path), "--yes")
        assert (code, found["ready"]) == (0, True)
        assert f"next: export STBENCH_MODELS={tmp_path} && stbench run --method storydiffusion --model wan2.2-a14b" in said
    assert [hub_id for hub_id, _ in asked] == ["stabilityai/stable-diffusion-xl-base-1.0"]
    assert "unet/*fp16*" in asked[0][1]
    monkeypatch.setenv(hub.ENVIRONMENT, str(tmp_path))
    assert dict(catalogue("methods"))["storydiffusion"].endswith("(missing here: m2v)")


def test_a_download_that_left_something_out_is_not_ready(
    fetch: Callable[..., tuple[int, Any, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "download", lambda _, folder, **__: folder.mkdir(parents=True))
    code, found, _ = fetch("ic-lora", "--part", "storyboard", "--into", str(tmp_path), "--yes")
    assert (code, found["ready"]) == (0, False)
    assert found["parts"][0]["state"] == "incomplete (file is missing)"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["icl-lora"], "no model and no method 'icl-lora'; expected wan2.2-a14b or a method; did you mean 'ic-lora'?"),
        (["holocine"], "there is nothing that could be fetched for it; see `stbench list methods`"),
        (["ic-lora", "--part", "t2v"], "part 't2v'; expected one of: flux, storyboard, m2v"),
    ],
)
def test_slips_of_the_pen_are_one_line(fetch: Callable[..., tuple[int, Any, str]], words: list[str], says: str) -> None:
    code, found, _ = fetch(*words)
    assert code == 2
    assert says in found["error"]
