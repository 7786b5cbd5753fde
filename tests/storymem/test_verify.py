"""StoryMem equals the published code: every number of tests/oracle, one test each, by the checks that `stbench verify` runs."""

from __future__ import annotations

import pytest
from published import FOLDER, ORACLE

from stbench.oracle import Check, Setting, Unchecked, verify
from storymem import keyframes, positions, profiles
from storymem.denoise import Sampling
from storymem.verify import VERIFIER, checks
from storymem.verify.models import Models, rel_l2
from storymem.verify.samplings import M2V, _plan, _sample

ALL = list(checks(ORACLE, Setting()))


@pytest.mark.parametrize("check", [check for check in ALL if isinstance(check, Check)], ids=lambda check: check.name)
def test_equal_to_the_published_code(check: Check) -> None:
    case = check.run()
    assert case.passed, case.line()


def test_nothing_in_the_folder_is_left_out() -> None:
    assert not [check for check in ALL if isinstance(check, Unchecked)]
    names = " ".join(check.name for check in ALL)
    assert all(what in names for what in ("dpm++", "unipc", "mm2v", "mi2v_intended", "guide_tuple", "boundary_eq", "t2v", "t5", "rope_neg"))
    assert len([check for check in ALL if check.name.startswith("memory_bank")]) == len(ORACLE.json("memory_bank")["cases"])
    assert all((FOLDER / name).is_file() for name in VERIFIER.required)


def test_every_stored_result_is_read(tmp_path) -> None:
    for name in ("scheduler", "transformer_m2v", "vae", "condition", "t5", "keyframes_pixels"):
        for path in FOLDER.glob(f"{name}.*"):
            (tmp_path / path.name).symlink_to(path)
    report = verify(tmp_path, Setting())
    assert not report.unknown
    assert report.verdict == "equal"
    assert "generate.json" in report.absent


def test_guidance_in_one_batch_gives_the_same() -> None:
    models = Models(ORACLE, Setting())
    plan = _plan(models, "m2v", ORACLE.json("generate")["runs"]["m2v"], M2V)
    batched = Sampling(**{**plan.sampling().__dict__, "batch_guidance": True})
    assert rel_l2(_sample(models, plan, batched).latent, ORACLE.tensors(M2V)["m2v.final_latent"]) < 2e-5


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_lower_precision_has_wider_limits_and_keeps_them(tmp_path, dtype) -> None:
    for name in ("transformer_m2v.json", "transformer_m2v.safetensors", "transformer_m2v_lora.safetensors", "t5.json", "t5.safetensors"):
        (tmp_path / name).symlink_to(FOLDER / name)
    report = verify(tmp_path, Setting(dtype=dtype))
    assert report.verdict == "equal", [case.line() for case in report.missed]
    worst = max(case.error for case in report.cases if case.name.startswith("transformer"))
    assert worst > 1e-4  # it did run in that dtype
    assert any(dtype in note for note in report.notes)


def test_defaults_are_the_published_settings() -> None:
    """Checks read S, thresholds and scales from the files; what a real run uses must be the same numbers."""
    constants, paper = ORACLE.json("keyframes")["constants"], ORACLE.json("generate_paper")
    assert {run["S"] for run in paper.values()} == {positions.STRIDE} == {profiles.WAN.positions_stride}
    assert (constants["MIN_FRAME_SIMILARITY"], constants["ADAPTIVE_ALPHA"]) == (keyframes.THRESHOLD, keyframes.THRESHOLD_STEP)
    assert keyframes.MAX_KEYFRAMES == profiles.WAN.keyframes_max == constants["MAX_KEYFRAME_NUM"]
    assert profiles.WAN.keyframes_threshold == keyframes.THRESHOLD
    assert profiles.WAN.quality_threshold == constants["HPSV3_QUALITY_THRESHOLD"]
    assert profiles.WAN.lora_rank_stabilised == ORACLE.json("generate")["lora"]["use_rslora"]
    runs = ORACLE.json("generate")["runs"]
    wan = profiles.WAN
    assert (wan.boundary, wan.shift, set(wan.guidance)) == (runs["m2v"]["boundary"], runs["m2v"]["shift"], {runs["m2v"]["guide_scale"]})
    assert (wan.boundary_t2v, wan.shift_t2v) == (runs["t2v"]["boundary"], runs["t2v"]["shift"])
