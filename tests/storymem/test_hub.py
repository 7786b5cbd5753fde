"""Weights that are not here, not whole, or on their way."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_hub import FakeHub
from safetensors.torch import save_file
from tiny_wan import TinyWan

from stbench.catalogue import catalogue
from stbench.cli import main
from stbench.errors import UserError
from storymem import hub
from storymem.profiles import resolve

BIG = bytes(range(256)) * 400


@pytest.fixture(autouse=True)
def _nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty-cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # the hub of these tests is on this machine
    monkeypatch.delenv(hub.ENVIRONMENT, raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with one small and one big file; the client's waiting is left out and its pieces are small."""
    monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=lambda _: None, time=time.time))
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    with FakeHub("someone/Tiny", {"config.json": b"{}", "weights/big.safetensors": BIG}).serve() as running:
        yield running


def repository(**changes: object) -> hub.Repository:
    return hub.Repository(**{"hub_id": "someone/Tiny", "licence": "MIT", "size_bytes": 1, "what": "tiny", **changes})  # type: ignore[arg-type]


def test_a_download_that_broke_off_continues_with_the_same_call(server: FakeHub, tmp_path: Path) -> None:
    server.broken_after = 500  # less than a piece of the big file
    with pytest.raises(UserError, match=r"someone/Tiny: the download broke off .*finished files are kept in .*Tiny"):
        hub.fetch(repository(), tmp_path, endpoint=server.address)
    server.broken_after = None
    folder = hub.fetch(repository(), tmp_path, endpoint=server.address)
    assert (folder / "weights" / "big.safetensors").read_bytes() == BIG
    assert [path for path, _ in server.ranges].count("config.json") == 1  # it was whole the first time
    asked = len(server.ranges)
    assert hub.fetch(repository(), tmp_path, endpoint=server.address) == folder
    assert len(server.ranges) == asked  # what is whole is not asked for again


def test_a_broken_connection_goes_on_at_the_next_byte(server: FakeHub, tmp_path: Path) -> None:
    server.broken_after = 30_000
    folder = hub.fetch(repository(), tmp_path, endpoint=server.address)
    assert (folder / "weights" / "big.safetensors").read_bytes() == BIG
    assert [start for path, start in server.ranges if "big" in path] == [0, 30_000, 60_000, 90_000]


def test_only_the_wanted_files_come(server: FakeHub, tmp_path: Path) -> None:
    folder = hub.fetch(repository(only=("*.json",)), tmp_path, endpoint=server.address)
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == ["config.json"]


def test_what_came_but_is_no_model_is_an_error(server: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the download is not complete: 1 files missing, .* hf download someone/Tiny --local-dir "):
        hub.fetch(repository(), tmp_path, roles=("vae",), endpoint=server.address)


def test_an_unknown_repository_and_a_hub_out_of_reach(server: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="someone/Else: no such repository, or no access to it"):
        hub.fetch(repository(hub_id="someone/Else"), tmp_path, endpoint=server.address)
    hub.fetch(repository(), tmp_path, endpoint=server.address)
    with pytest.raises(UserError, match="broke off"):  # although something is in the folder already
        hub.fetch(repository(), tmp_path, endpoint="http://127.0.0.1:9")


def test_too_little_space_is_said_before_anything_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"GB are free; expected 1000000 GB for someone/Tiny"):
        hub.fetch(repository(size_bytes=10**15), tmp_path, endpoint="http://127.0.0.1:9")


def test_missing_weights_are_one_line_with_licences_sizes_and_commands() -> None:
    with pytest.raises(UserError) as caught:
        resolve("wan2.2-a14b")
    line = str(caught.value)
    for part in ("Apache-2.0", "cc-by-nc-4.0", "126 GB", "272 GB in all", "weights.lora=DIR", "export STBENCH_MODELS=models"):
        assert part in line
    assert line.count("hf download ") == 6  # two bases, adapters, CLIP, HPSv3 and its tokenizer
    assert "hf download Wan-AI/Wan2.2-I2V-A14B-Diffusers --local-dir models/Wan2.2-I2V-A14B-Diffusers" in line
    assert "\n" not in line


def test_a_method_asks_only_for_what_it_uses() -> None:
    with pytest.raises(UserError) as caught:
        resolve("wan2.2-a14b", needs=("t2v",))
    assert "T2V" in str(caught.value)
    assert "I2V" not in str(caught.value)
    assert "StoryMem" not in str(caught.value)
    with pytest.raises(UserError, match=r"Wan2.2-MM2V-A14B"):
        resolve("wan2.2-a14b", {"mode": "mm2v"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Wan-AI/Wan2.2-T2V-A14B", r"hf download Wan-AI/Wan2.2-T2V-A14B --local-dir"),
        ("someone/unknown-model", r"someone/unknown-model: not on this machine; .* hf download someone/unknown-model"),
        ("./nowhere/at-all", "no model './nowhere/at-all'"),
    ],
)
def test_a_hub_id_that_is_not_here(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve(name)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `hf download --local-dir` and `stbench fetch` leave it: one base in each layout, and the adapters."""
    root = tmp_path_factory.mktemp("downloads")
    tiny = TinyWan(layers=1)
    original, in_diffusers = tiny.original(root / "o"), tiny.diffusers(root / "d")
    (original / "t2v").rename(root / "Wan2.2-T2V-A14B")
    (in_diffusers / "i2v").rename(root / "Wan2.2-I2V-A14B-Diffusers")
    adapters = root / "StoryMem" / "Wan2.2-MI2V-A14B"
    adapters.mkdir(parents=True)
    save_file(tiny.adapters["transformer"], adapters / "backbone_high_noise.safetensors")
    shutil.copy(original / "lora" / "backbone_low_noise.pth", adapters)
    shutil.rmtree(original)
    shutil.rmtree(in_diffusers)
    return root


def test_a_folder_of_downloads_is_found_by_path_and_by_environment(downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_path = resolve(str(downloads))
    monkeypatch.setenv(hub.ENVIRONMENT, str(downloads))
    by_name = resolve("wan2.2-a14b")
    assert by_path == by_name
    assert by_name.t2v.name == "Wan2.2-T2V-A14B"
    assert [path.name for path in by_name.lora] == ["backbone_high_noise.safetensors", "backbone_low_noise.pth"]
    assert by_name.profile.name == "wan2.2-a14b"
    by_id = resolve("Wan-AI/Wan2.2-I2V-A14B-Diffusers")
    assert (by_id.t2v, by_id.m2v, by_id.lora) == (by_name.t2v, by_name.m2v, by_name.lora)


def test_one_base_alone_takes_the_other_parts_from_options(downloads: Path) -> None:
    alone = str(downloads / "Wan2.2-T2V-A14B")
    assert resolve(alone, needs=("t2v",)).lora == ()
    with pytest.raises(UserError, match=r"weights are not on this machine: image-to-video base.*weights.m2v=DIR"):
        resolve(alone)
    i2v, lora = downloads / "Wan2.2-I2V-A14B-Diffusers", downloads / "StoryMem"
    model = resolve(alone, {"weights.m2v": str(i2v), "weights.lora": str(lora)})
    assert (model.m2v, model.lora[0].parent.parent) == (i2v, lora)


def test_weights_in_either_place_are_part_of_the_identity(downloads: Path) -> None:
    parts = resolve(str(downloads)).weight_parts(memory=True)
    assert parts[downloads / "Wan2.2-T2V-A14B"] == (
        "google/umt5-xxl",
        "models_t5_umt5-xxl-enc-bf16.pth",
        "Wan2.1_VAE.pth",
        "high_noise_model",
        "low_noise_model",
    )


def test_list_says_which_weights_are_here(downloads: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = dict(catalogue("models"))
    assert lines["world"].endswith("here (embedded)")
    assert "none is here; to get them: stbench fetch wan2.2-a14b" in lines["wan2.2-a14b"]
    broken = Path(shutil.copytree(downloads, tmp_path / "downloads"))
    (broken / "Wan2.2-T2V-A14B" / "low_noise_model" / "diffusion_pytorch_model.safetensors").unlink()
    shutil.rmtree(broken / "StoryMem")
    monkeypatch.setenv(hub.ENVIRONMENT, str(broken))
    line = dict(catalogue("models"))["wan2.2-a14b"]
    assert "t2v incomplete (1 files missing, first low_noise_model/diffusion_pytorch_model.safetensors)" in line
    assert f"m2v here ({broken / 'Wan2.2-I2V-A14B-Diffusers'})" in line
    assert "lora missing, clip missing, hpsv3 missing, qwen2-vl missing" in line
    with pytest.raises(UserError, match="the download is not complete: 1 files missing"):
        resolve("wan2.2-a14b", needs=("t2v",))


def test_fetch_shows_licences_and_downloads_nothing_unasked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hub, "download", lambda *_, **__: pytest.fail("it downloaded"))
    with pytest.raises(SystemExit) as ended:
        main(["fetch", "wan2.2-a14b", "--into", str(tmp_path), "--json"])
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert "cc-by-nc-4.0: non-commercial" in said.err
    assert "add --yes" in said.err
    assert json.loads(said.out)["ready"] is False


def test_fetch_downloads_what_is_missing_once_the_licences_are_accepted(
    downloads: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def download(hub_id: str, folder: Path, **_: object) -> None:
        asked.append(hub_id)
        if hub_id == hub.LORA.hub_id:
            shutil.copytree(downloads / "StoryMem", folder)
        for name in next(wanted.files for wanted in hub.PARTS.values() if wanted.hub_id == hub_id):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()

    root = tmp_path / "models"
    root.mkdir()
    for name in ("Wan2.2-T2V-A14B", "Wan2.2-I2V-A14B-Diffusers"):
        (root / name).symlink_to(downloads / name)
    monkeypatch.setattr(hub, "download", download)
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(["fetch", "wan2.2-a14b", "--into", str(root), "--yes", "--json"])
        assert ended.value.code == 0
        said = capsys.readouterr()
        assert json.loads(said.out)["ready"] is True
        assert f"ready; next: export STBENCH_MODELS={root} && stbench run --method storymem --model wan2.2-a14b" in said.err
    assert asked == ["Kevin-thu/StoryMem", "openai/clip-vit-base-patch32", "MizzenAI/HPSv3", "Qwen/Qwen2-VL-7B-Instruct"]
    with pytest.raises(SystemExit) as ended:
        main(["fetch", "world"])
    assert ended.value.code == 2
