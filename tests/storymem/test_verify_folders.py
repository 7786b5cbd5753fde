"""`stbench verify` on folders that it has not seen: other sizes, some files only, broken ones; and that each classic mistake is a miss."""

from __future__ import annotations

import dataclasses
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from made_oracle import Shape, make_generate, make_transformer
from published import FOLDER
from safetensors.torch import load_file, save_file

from stbench.errors import UserError
from stbench.oracle import OracleFolder, Report, Setting, verify
from storymem import condition, denoise, lora, positions
from storymem.verify import checks
from storymem.verify.formula import parse


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_transformer(folder, Shape())
    make_generate(folder, Shape())
    return folder


def some(target: Path, *names: str, of: Path = FOLDER) -> Path:
    """A folder with copies of these files."""
    target.mkdir(exist_ok=True)
    for name in names:
        shutil.copy(of / name, target)
    return target


def errors(report: Report) -> dict[str, float | None]:
    return {case.name: case.error for case in report.cases}


def missed(report: Report) -> set[str]:
    return {case.name for case in report.missed}


def test_other_sizes_against_an_independent_transformer(made: Path) -> None:
    report = verify(made, Setting())
    assert report.verdict == "equal", [case.line() for case in report.missed]
    names = set(errors(report))
    assert {"transformer rope_neg_stride7", "transformer rope_neg_offset4", "lora out_lora_t321"} <= names
    assert {f"generate_m2v {name} final_latent" for name in ("m2v_some", "mi2v_intended")} <= names
    assert {"generate_paper mi2v_short final_latent", "generate_t2v t2v_x final_latent"} <= names
    assert not report.unknown
    assert not report.unchecked


def test_another_seed_and_one_layer(tmp_path: Path) -> None:
    make_transformer(tmp_path, Shape(seed=3, layers=1, heads=1, head_dim=20, rank=1, alpha=2.0, text_len=33, stride=2))
    report = verify(tmp_path, Setting())
    assert report.verdict == "equal", [case.line() for case in report.missed]


def test_an_adapter_of_twice_the_rank_and_the_same_product(tmp_path: Path) -> None:
    folder = some(tmp_path / "o", "transformer_m2v.json", "transformer_m2v.safetensors", "transformer_m2v_lora.safetensors")
    path = folder / "transformer_m2v_lora.safetensors"
    fact, wide = json.loads((folder / "transformer_m2v.json").read_text()), {}
    for key, value in load_file(path).items():
        wide[key] = (
            torch.cat([value, torch.ones_like(value)], 0 if "lora_A" in key else 1) if "lora_" in key and "out" not in key else value
        )
        if "lora_B" in key:
            wide[key][:, value.shape[1] :] = 0
    rank = fact["lora"]["r"]
    fact["lora"] |= {"r": 2 * rank, "lora_alpha": fact["lora"]["lora_alpha"] * 2**0.5}
    save_file(wide, path)
    (folder / "transformer_m2v.json").write_text(json.dumps(fact))
    assert verify(folder, Setting()).verdict == "equal"
    fact["lora"]["use_rslora"] = False
    (folder / "transformer_m2v.json").write_text(json.dumps(fact))
    assert {"lora scale", "lora out_lora_t571", "lora out_lora_t999"} == missed(verify(folder, Setting()))


def test_cases_in_another_order_and_under_other_names(tmp_path: Path) -> None:
    folder = some(tmp_path / "o", "keyframes.json", "scheduler.json", "scheduler.safetensors", "memory_bank.json")
    for name in ("keyframes", "scheduler"):
        fact = json.loads((folder / f"{name}.json").read_text())
        fact["cases"] = dict(reversed(fact["cases"].items()))
        (folder / f"{name}.json").write_text(json.dumps(fact))
    fact = json.loads((folder / "keyframes.json").read_text())
    fact["cases"] = {f"case {number}": case for number, case in enumerate(fact["cases"].values())}
    (folder / "keyframes.json").write_text(json.dumps(fact))
    report = verify(folder, Setting())
    assert report.verdict == "equal"
    assert "keyframes case 0" in errors(report)
    assert "vae.safetensors" in report.absent


def wrong_stride(memory: int, latent_frames: int, *, variant: str = "paper", stride: int = 5) -> list[int]:
    return RIGHT_POSITIONS(memory, latent_frames, variant=variant, stride=stride + 1)  # type: ignore[arg-type]


def memory_last_first(video: torch.Tensor, *, memory_latents: torch.Tensor | None = None, **rest: object) -> torch.Tensor:
    flipped = None if memory_latents is None else memory_latents.flip(-3)
    return RIGHT_CONDITION(video, memory_latents=flipped, **rest)  # type: ignore[arg-type]


def plain_lora(model: object, state: object, spec: lora.LoraSpec, **rest: object) -> object:
    return RIGHT_ATTACH(model, state, dataclasses.replace(spec, rank_stabilised=False), **rest)  # type: ignore[arg-type]


def default_sigmas(steps: int, shift: float, solver: str = "unipc") -> object:
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    scheduler.set_timesteps(steps)
    return scheduler


def no_first_frame(first: object, frames: int, height: int, width: int) -> torch.Tensor:
    return torch.zeros(1, 3, frames, height, width)


RIGHT_POSITIONS, RIGHT_CONDITION, RIGHT_ATTACH = positions.temporal_positions, condition.condition, lora.attach


LATENT = {
    name: f"generate_{name} final_latent"
    for name in ("m2v m2v_some", "m2v mi2v_intended", "paper m2v_long", "paper mi2v_short", "t2v t2v_x")
}
TIMES = 50  # how far from the tolerance a mistake must be


@pytest.mark.parametrize(
    ("where", "wrong", "expected", "untouched"),
    [
        (
            (positions, "temporal_positions"),
            wrong_stride,
            ("transformer rope_neg_stride7", LATENT["paper m2v_long"]),
            "transformer out_t50",
        ),
        ((condition, "condition"), memory_last_first, (LATENT["m2v m2v_some"], LATENT["paper m2v_long"]), LATENT["m2v mi2v_intended"]),
        ((lora, "attach"), plain_lora, ("lora out_lora_t321", LATENT["m2v m2v_some"]), "transformer out_t50"),
        ((denoise, "flow_schedule"), default_sigmas, (LATENT["m2v m2v_some"], LATENT["t2v t2v_x"]), "transformer out_t50"),
        ((condition, "known_video"), no_first_frame, (LATENT["m2v mi2v_intended"], LATENT["paper mi2v_short"]), LATENT["m2v m2v_some"]),
    ],
    ids=["S", "order of memory", "LoRA scale", "sigmas", "first frame forgotten"],
)
def test_a_classic_mistake_is_a_miss(made: Path, monkeypatch: pytest.MonkeyPatch, where, wrong, expected, untouched) -> None:
    monkeypatch.setattr(*where, wrong)
    cases = {check.name: check.run() for check in checks(OracleFolder(made), Setting()) if check.name in (*expected, untouched)}
    assert cases.pop(untouched).passed
    assert set(cases) == set(expected)
    assert all(case.error is None or case.error > TIMES * case.tolerance for case in cases.values())


def test_a_mistake_is_a_miss_of_the_command_too(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = some(tmp_path / "o", *(path.name for path in made.glob("transformer*")), of=made)
    monkeypatch.setattr(lora, "attach", plain_lora)
    assert missed(verify(folder, Setting())) == {"lora out_lora_t321"}


def test_a_truncated_file_is_one_named_miss_and_the_others_go_on(made: Path, tmp_path: Path) -> None:
    folder = some(tmp_path / "o", *(path.name for path in made.glob("transformer*")), of=made)
    path = folder / "transformer_m2v_lora.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    report = verify(folder, Setting())
    assert missed(report) == {"lora"}
    assert "transformer_m2v_lora.safetensors" in str(report.missed[0].reason)


def test_a_missing_weight_is_the_miss_of_what_needs_it(made: Path, tmp_path: Path) -> None:
    folder = some(tmp_path / "o", "generate.json", "generate_t2v.safetensors", of=made)
    state = load_file(folder / "generate_t2v.safetensors")
    del state["high.blocks.1.ffn.0.weight"]
    save_file(state, folder / "generate_t2v.safetensors")
    report = verify(folder, Setting())
    assert missed(report) == {"generate_t2v t2v_x final_latent"}
    assert "weights missing" in str(report.missed[0].reason)


def test_without_the_vae_masks_are_still_checked_and_the_rest_is_named(tmp_path: Path) -> None:
    folder = some(tmp_path / "o", "condition.json", "condition.safetensors", "generate.json", "generate_m2v.safetensors")
    report = verify(folder, Setting())
    assert report.verdict == "equal"
    assert "condition m2v_mem2 mask" in errors(report)
    assert "generate_m2v m2v final_latent" in errors(report)  # its condition is stored
    assert any("VAE" in item.reason for item in report.unchecked)


def test_what_is_not_understood_is_named(made: Path, tmp_path: Path) -> None:
    folder = some(tmp_path / "o", "transformer_m2v.json", "transformer_m2v.safetensors", of=made)
    state = load_file(folder / "transformer_m2v.safetensors")
    save_file({**state, "out_of_the_blue": torch.ones(2)}, folder / "transformer_m2v.safetensors")
    (folder / "surprise.bin").write_bytes(b"1")
    (folder / "README.md").write_text("words")
    report = verify(folder, Setting())
    assert report.verdict == "equal"
    assert report.unknown == ("surprise.bin", "transformer_m2v.safetensors: out_of_the_blue")


def test_a_velocity_is_arithmetic_and_nothing_else() -> None:
    x, t = torch.tensor(2.0), torch.tensor(0.0)
    assert parse("v(x, t) = 1.5 x - cos(t) + 2 (x + 1)")(x, t) == pytest.approx(8.0)
    for text in ("v = __import__('os')", "v = x.shape", "v = (lambda: 1)()", "v = y", "v = 'a'"):
        with pytest.raises(UserError, match="not understood"):
            partial(parse, text)()


def test_a_wider_vae_under_original_names(tmp_path: Path) -> None:
    """Names from the oracle's VAE, weights and widths of a fresh one, answers from diffusers alone."""
    from diffusers import AutoencoderKLWan

    from storymem.layouts import vae_from_original

    fact = json.loads((FOLDER / "vae.json").read_text()) | {"dim": 6}
    old = {key.removeprefix("sd."): value for key, value in load_file(FOLDER / "vae.safetensors").items() if key.startswith("sd.")}
    numbered = {key: torch.tensor(float(at)) for at, key in enumerate(old)}
    names = {ours: list(old)[int(at)] for ours, at in vae_from_original(numbered, num_res_blocks=fact["num_res_blocks"]).items()}
    torch.manual_seed(4)
    settings = {key: fact[key] for key in ("z_dim", "dim_mult", "num_res_blocks", "temperal_downsample", "latents_mean", "latents_std")}
    vae = AutoencoderKLWan(base_dim=6, **settings).eval()
    video, z = torch.randint(0, 256, (3, 5, 16, 24), dtype=torch.uint8), torch.randn(1, 16, 2, 2, 3)
    mean, std = (torch.tensor(fact[key]).reshape(1, -1, 1, 1, 1) for key in ("latents_mean", "latents_std"))
    with torch.no_grad():
        raw = vae.encode((video.float() / 127.5 - 1)[None]).latent_dist.mode()
        decoded = vae.decode(z * std + mean).sample.clamp(-1, 1)
    state = {f"sd.{names[key]}": value.contiguous() for key, value in vae.state_dict().items()}
    given = {"in.video_u8": video, "in.z": z, "out.mu_video": (raw - mean) / std, "out.mu_video_raw": raw, "out.decode": decoded}
    save_file(state | given, tmp_path / "vae.safetensors")
    (tmp_path / "vae.json").write_text(json.dumps(fact))
    report = verify(tmp_path, Setting())
    assert report.verdict == "equal", [case.line() for case in report.missed]
    assert len(report.cases) == 3


def test_a_case_without_its_numbers_is_its_own_miss(tmp_path: Path) -> None:
    folder = some(tmp_path / "o", "condition.json", "condition.safetensors", "vae.json", "vae.safetensors")
    state = load_file(folder / "condition.safetensors")
    del state["mm2v_mem1.y"]
    save_file(state, folder / "condition.safetensors")
    report = verify(folder, Setting())
    assert missed(report) == {"condition mm2v_mem1"}
    assert "mm2v_mem1.y" in str(report.missed[0].reason)


def test_a_broken_file_does_not_take_the_vae_with_it(tmp_path: Path) -> None:
    folder = some(tmp_path / "o", "condition.json", "condition.safetensors", "vae.json", "vae.safetensors")
    (folder / "condition.json").write_text("{")
    report = verify(folder, Setting())
    assert missed(report) == {"condition"}
    assert "vae out.decode" in errors(report)


def test_attention_backends_by_name(made: Path, tmp_path: Path) -> None:
    folder = some(tmp_path / "o", "transformer_m2v.json", "transformer_m2v.safetensors", of=made)
    assert verify(folder, Setting(attention="native")).verdict == "equal"
    assert verify(folder, Setting(attention="_native_math")).verdict == "equal"
    with pytest.raises(UserError, match=r"attention 'flsh' is unknown; expected one of: .*native"):
        verify(folder, Setting(attention="flsh"))
