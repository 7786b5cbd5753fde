"""`stbench run --model PATH` on tiny checkpoints in every layout that exists: same weights, same frames."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_wan import ORIGINAL_FOLDERS, RES_BLOCKS, TinyWan, copy, write_script

from stbench.cli import main
from stbench.errors import UserError
from storymem import checkpoints
from storymem.generator import Generator
from storymem.profiles import resolve

METHODS = ("storymem", "wan-t2v", "wan-i2v-chain")


@pytest.fixture(scope="module")
def tiny() -> TinyWan:
    return TinyWan()


@pytest.fixture(scope="module")
def in_diffusers(tiny: TinyWan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.diffusers(tmp_path_factory.mktemp("models") / "diffusers", shard=True)


@pytest.fixture(scope="module")
def in_original(tiny: TinyWan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.original(tmp_path_factory.mktemp("models") / "original", shards=3)


def run(model: Path | str, method: str, folder: Path, *more: str) -> int:
    """The real command; its exit code."""
    out = folder / "run"
    arguments = ["run", "--method", method, "--model", str(model), "--suite", str(write_script(folder)), "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--no-score", "--device", "cpu", *more])
    return int(ended.value.code or 0)


def films(folder: Path) -> dict[str, str]:
    """Digest of each shot's video."""
    shots = sorted((folder / "run" / "shots").rglob("*.mp4"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in shots}


@pytest.fixture(scope="module")
def filmed(in_diffusers: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, str]]:
    """What each method films from the diffusers layout, filmed once."""
    made: dict[str, dict[str, str]] = {}

    def film(method: str) -> dict[str, str]:
        if method not in made:
            folder = tmp_path_factory.mktemp("filmed")
            assert run(in_diffusers, method, folder) == 0
            made[method] = films(folder)
        return made[method]

    return film


@pytest.mark.parametrize("method", METHODS)
def test_both_layouts_film_the_same_frames(in_original: Path, filmed: Callable[[str], dict[str, str]], method: str, tmp_path: Path) -> None:
    assert run(in_original, method, tmp_path) == 0
    assert len(films(tmp_path)) == 2
    assert films(tmp_path) == filmed(method)


NAMINGS: dict[str, tuple[Callable[[str], str], str]] = {
    "diffusion_model, safetensors": (lambda key: key.replace("base_model.model.", "diffusion_model."), ".safetensors"),
    "bare, default adapter, pickled": (lambda key: key.removeprefix("base_model.model.").replace(".weight", ".default.weight"), ".pth"),
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_other_namings_of_the_adapters_film_the_same_frames(
    tiny: TinyWan, filmed: Callable[[str], dict[str, str]], naming: str, tmp_path: Path
) -> None:
    rename, suffix = NAMINGS[naming]
    model = tiny.original(tmp_path / "model", rename=rename, suffix=suffix)
    assert run(model, "storymem", tmp_path) == 0
    assert films(tmp_path) == filmed("storymem")


def test_the_adapters_and_their_scale_matter(in_original: Path, filmed: Callable[[str], dict[str, str]], tmp_path: Path) -> None:
    model = copy(in_original, tmp_path / "model")
    path = model / "lora" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_rslora": False}))
    assert run(model, "storymem", tmp_path) == 0
    first, second = films(tmp_path).items()
    expected = filmed("storymem")
    assert first[1] == expected[first[0]]  # text-to-video: no adapter
    assert second[1] != expected[second[0]]


@pytest.mark.parametrize(("layers", "rank"), [(1, 7), (3, 1)])
def test_other_layer_counts_and_ranks(layers: int, rank: int, tmp_path: Path) -> None:
    tiny = TinyWan(layers=layers, rank=rank, bf16=True)
    found = []
    for name, model in (("a", tiny.diffusers(tmp_path / "a")), ("b", tiny.original(tmp_path / "b", shards=2))):
        generator = Generator(resolve(str(model)), "cpu")
        experts = generator._load(False, adapter=True)
        assert [proof.rank for proof in generator.proofs] == [rank, rank], name
        assert [proof.modules for proof in generator.proofs] == [10 * layers] * 2
        assert generator.proofs[0].scale == pytest.approx(2 * rank**0.5)
        text = checkpoints.load_component(generator.model.t2v, "text_encoder", dtype=torch.float32)
        found.append(experts.high.state_dict() | {f"text.{key}": value for key, value in text.state_dict().items()})
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_stored_in_bf16_and_run_in_bf16(tmp_path: Path) -> None:
    """Norms, modulation and time embedding stay float32, as published; the rest is what the file holds."""
    model = TinyWan(bf16=True).original(tmp_path / "model")
    expert = checkpoints.load_component(model / "i2v", "transformer_2", dtype=torch.bfloat16)
    types = {name: value.dtype for name, value in expert.named_parameters()}
    assert types["blocks.0.attn1.to_q.weight"] == types["proj_out.weight"] == torch.bfloat16
    assert types["blocks.0.scale_shift_table"] == types["condition_embedder.time_embedder.linear_1.weight"] == torch.float32
    stored = load_file(model / "i2v" / "low_noise_model" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(expert.get_parameter("blocks.1.attn2.to_k.weight"), stored["blocks.1.cross_attn.k.weight"])
    text = checkpoints.load_component(model / "t2v", "text_encoder", dtype=torch.bfloat16)
    assert {value.dtype for value in text.parameters()} == {torch.bfloat16}


def test_one_base_serves_every_component_as_a_folder_of_its_own(in_diffusers: Path, in_original: Path) -> None:
    for folder, role in (
        (in_diffusers / "t2v" / "vae", "vae"),
        (in_original / "t2v" / "Wan2.1_VAE.pth", "vae"),
        (in_original / "i2v" / "low_noise_model", "transformer_2"),
    ):
        assert next(checkpoints.load_component(folder, role, dtype=torch.float32).parameters()).dtype == torch.float32


def test_sizes_are_read_off_the_weights_where_no_config_says_them(in_original: Path, in_diffusers: Path) -> None:
    for base, role in (("t2v", "vae"), ("t2v", "text_encoder"), ("i2v", "transformer")):
        found, _ = checkpoints.component_config(in_original / base, role)
        expected, _ = checkpoints.component_config(in_diffusers / base, role)
        for key, value in found.items():
            assert (list(value) if isinstance(value, tuple) else value) == expected[key], (role, key)
    assert checkpoints.component_config(in_original / "t2v", "vae")[0]["num_res_blocks"] == RES_BLOCKS


def test_a_part_can_be_somewhere_else(
    in_original: Path, in_diffusers: Path, filmed: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    """Bases and adapters from three folders; the paths are no part of what the run is."""
    places = {"t2v": in_original / "t2v", "m2v": in_diffusers / "i2v", "lora": in_original / "lora"}
    options = [word for part, path in places.items() for word in ("--set", f"weights.{part}={path}")]
    assert run(in_diffusers, "storymem", tmp_path, *options) == 0
    assert films(tmp_path) == filmed("storymem")
    identity = json.dumps(json.loads((tmp_path / "run" / "manifest.json").read_text())["identity"])
    assert str(tmp_path) not in identity
    assert "original" not in identity


def spoil_pickle(model: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return (print, ("pwned",))

    torch.save({"conv1.weight": Payload()}, model / "t2v" / "Wan2.1_VAE.pth")


def spoil_adapter_pickle(model: Path) -> None:
    import collections

    torch.save({"a": collections.Counter({"x": Path("/")})}, model / "lora" / "backbone_low_noise.pth")


def truncate_pickle(model: Path) -> None:
    path = model / "t2v" / "models_t5_umt5-xxl-enc-bf16.pth"
    path.write_bytes(path.read_bytes()[:5000])


def no_pickle(model: Path) -> None:
    (model / "lora" / "backbone_high_noise.pth").write_bytes(b"<html>not found</html>")


def list_in_pickle(model: Path) -> None:
    torch.save([torch.ones(1)], model / "lora" / "backbone_high_noise.pth")


def number_in_pickle(model: Path) -> None:
    path = model / "lora" / "backbone_high_noise.pth"
    torch.save(torch.load(path, weights_only=True) | {"epoch": 3}, path)


def lose_shard(model: Path) -> None:
    (model / "i2v" / "low_noise_model" / "diffusion_pytorch_model-00002-of-00003.safetensors").unlink()


def truncate_shard(model: Path) -> None:
    path = model / "i2v" / "high_noise_model" / "diffusion_pytorch_model-00003-of-00003.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def bad_header(model: Path) -> None:
    path = model / "i2v" / "high_noise_model" / "diffusion_pytorch_model-00001-of-00003.safetensors"
    path.write_bytes((5).to_bytes(8, "little") + b"{bad}" + path.read_bytes()[8:])


def edit_shard(model: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = model / "i2v" / ORIGINAL_FOLDERS["transformer"] / "diffusion_pytorch_model-00001-of-00003.safetensors"
    state = {name: value.clone() for name, value in load_file(path).items()}
    change(state)
    save_file(state, path)


def drop_key(model: Path) -> None:
    edit_shard(model, lambda state: state.__delitem__("blocks.0.cross_attn.norm_q.weight"))


def wrong_shape(model: Path) -> None:
    edit_shard(model, lambda state: state.update({"blocks.0.cross_attn.o.bias": torch.ones(7)}))


def extra_key(model: Path) -> None:
    edit_shard(model, lambda state: state.update({"img_emb.proj.0.weight": torch.ones(7)}))


def edit_config(model: Path, **changes: Any) -> None:
    path = model / "i2v" / "high_noise_model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_pickle, "Wan2.1_VAE.pth: refused: it holds .*print, which is code to run"),
        (spoil_adapter_pickle, "backbone_low_noise.pth: refused: it holds .*which is code to run"),
        (truncate_pickle, "models_t5_umt5-xxl-enc-bf16.pth: not a whole file of tensors"),
        (no_pickle, "backbone_high_noise.pth: "),
        (list_in_pickle, "backbone_high_noise.pth: holds a list; expected tensors by name"),
        (number_in_pickle, "backbone_high_noise.pth: 1 entries are not named tensors: epoch"),
        (lose_shard, r"index.json: diffusion_pytorch_model-00002-of-00003.safetensors: file is missing \(1 of 3 shards are"),
        (truncate_shard, "00003-of-00003.safetensors: not a whole safetensors file"),
        (bad_header, "00001-of-00003.safetensors: not a whole safetensors file"),
        (drop_key, "00001-of-00003.safetensors: 1 tensors of the index are not in it: blocks.0.cross_attn.norm_q.weight"),
        (wrong_shape, r"index.json: blocks.0.cross_attn.o.bias has shape \(7,\); expected \(24,\)"),
        (extra_key, "index.json: 1 weights left over: img_emb.proj.0.weight"),
        (lambda model: edit_config(model, num_layers=40), "config.json: the weights have num_layers 2; expected 40"),
        (lambda model: edit_config(model, num_heads=7), "config.json: field 'num_heads' is 7; expected a divisor of dim 24"),
        (lambda model: (model / "i2v" / "high_noise_model" / "config.json").unlink(), "no num_heads is stated"),
        (lambda model: (model / "t2v" / "Wan2.1_VAE.pth").unlink(), "t2v/Wan2.1_VAE.pth: file or folder is missing"),
        (lambda model: (model / "lora" / "adapter_config.json").unlink(), "backbone_high_noise.pth: the scale of the adapter is unknown"),
        (lambda model: (model / "lora" / "backbone_low_noise.pth").unlink(), "lora/backbone_low_noise: file is missing"),
    ],
)
def test_damaged_weights_are_one_line(in_original: Path, spoil: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    model = copy(in_original, tmp_path / "model")
    spoil(model)
    with pytest.raises(UserError, match=message) as caught:
        Generator(resolve(str(model)), "cpu")._load(False, adapter=True)
    assert "\n" not in str(caught.value)


def test_a_malicious_pickle_ends_the_command_with_one_line(in_original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = copy(in_original, tmp_path / "model")
    spoil_pickle(model)
    assert run(model, "wan-t2v", tmp_path) == 2
    said = capsys.readouterr()
    assert "pwned" not in said.out
    assert said.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in said.err


def test_an_adapter_that_fits_nothing_lists_what_was_left_over(in_original: Path, tmp_path: Path) -> None:
    model = copy(in_original, tmp_path / "model")
    path = model / "lora" / "backbone_high_noise.pth"
    torch.save({key.replace("blocks", "layers"): value for key, value in torch.load(path, weights_only=True).items()}, path)
    with pytest.raises(UserError, match=r"20 keys fit no layer of the transformer: layers.0.self_attn.q, .* \(16 more\)"):
        Generator(resolve(str(model)), "cpu")._load(False, adapter=True)
