"""Metrics equal VBench's own code: every number of tests/oracle_metrics, one test each, by the checks that `stbench verify` runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from metrics import aesthetic_quality, aggregates, subject_consistency
from metrics.base import NoValueError
from metrics.encoders import clip_tokens, dino_vit, sampling, vbench_transforms
from metrics.verify import VERIFIER, checks
from stbench.oracle import Check, OracleFolder, Report, Setting, Unchecked, verify

FOLDER = Path(__file__).parent.parent / "oracle_metrics"
ALL = list(checks(OracleFolder(FOLDER), Setting()))
CLIP_WEIGHTS = "its encoder in stub_weights.safetensors"


@pytest.mark.parametrize("check", [check for check in ALL if isinstance(check, Check)], ids=lambda check: check.name)
def test_equal_to_vbench(check: Check) -> None:
    case = check.run()
    assert case.passed, case.line()


def test_only_what_was_left_out_is_unchecked() -> None:
    left_out = [check for check in ALL if isinstance(check, Unchecked)]
    assert all(CLIP_WEIGHTS in check.reason or check.name == "videos" for check in left_out)
    assert {name for name in VERIFIER.required if not (FOLDER / name).is_file()} == {"videos.safetensors"}


def some(target: Path, *names: str) -> Path:
    target.mkdir(exist_ok=True)
    for name in names or [path.name for path in FOLDER.iterdir()]:
        shutil.copy(FOLDER / name, target)
    return target


def missed(report: Report) -> set[str]:
    return {case.name for case in report.missed}


def change(folder: Path, edit) -> None:
    fact = json.loads((folder / "oracle.json").read_text())
    edit(fact)
    (folder / "oracle.json").write_text(json.dumps(fact))


def test_other_videos_lengths_and_prompts(tmp_path: Path) -> None:
    """A folder made here: five videos of other sizes and lengths, values by a few lines of numpy from other linear weights."""
    draw = np.random.default_rng(5)
    lengths, names = (4, 9, 12, 2, 6), [f"text {number % 2}-{number}.mp4" for number in range(5)]
    videos = {f"video{n}": draw.integers(0, 256, (length, 40, 72, 3), dtype=np.uint8) for n, length in enumerate(lengths)}
    weight, rows, features = draw.normal(size=(5, 27)).astype(np.float32), [], {}
    for n, frames in enumerate(videos.values()):
        images = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
        small = torch.nn.functional.interpolate(images, size=(224, 403), mode="bilinear", align_corners=False) / 255
        mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        pooled = torch.nn.functional.adaptive_avg_pool2d((small - mean) / std, 3).flatten(1).numpy()
        x = pooled @ weight.T
        features[f"video{n}.linear_dino"] = torch.from_numpy(x)
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        scores = [(max(0, x[i] @ x[i - 1]) + max(0, x[i] @ x[0])) / 2 for i in range(1, len(x))]
        rows.append({"video_path": names[n], "video_results": float(np.mean(scores)), "cnt_per_video": len(scores)})
    counts = [row["cnt_per_video"] for row in rows]
    values = [row["video_results"] for row in rows]
    result = {
        "per_video": rows[::-1],  # another order than the videos
        "aggregate": float(np.average(values, weights=counts)),
        "multi_rank_aggregate": float(np.mean(values)),
    }
    fact = {"stub_config": {"linear": "adaptive_avg_pool2d(x,3).flatten(1) @ W.T", "names": names}, "results": {"subject.linear": result}}
    fact["sampling_middle4"] = {"8": [0, 2, 4, 6], "3": [0, 1, 2, 2]}
    (tmp_path / "oracle.json").write_text(json.dumps(fact))
    save_file({key: torch.from_numpy(value) for key, value in videos.items()}, tmp_path / "videos.safetensors")
    save_file({"linear.W": torch.from_numpy(weight)}, tmp_path / "stub_weights.safetensors")
    save_file(features, tmp_path / "features.safetensors")
    report = verify(tmp_path, Setting())
    assert report.verdict == "equal", [case.line() for case in report.missed]
    assert len(report.cases) == 2 + 5 + 5 + 5 + 5 + 2
    assert not report.unknown
    change(tmp_path, lambda fact: fact["results"]["subject.linear"]["per_video"][0].update(video_results=0.5))
    assert missed(verify(tmp_path, Setting())) == {"scores subject.linear video4", "scores subject.linear video4 of stored features"}


def not_clamped(feats: np.ndarray) -> float:
    if len(feats) < 2:
        raise NoValueError("one frame")
    x = feats / np.linalg.norm(feats, axis=1, keepdims=True)
    return float((((x[1:] * x[:-1]).sum(1) + x[1:] @ x[0]) / 2).mean())


RIGHT_CLIP, RIGHT_TOKENS = vbench_transforms.clip_input, clip_tokens.token_ids


@pytest.mark.parametrize(
    ("where", "wrong", "expected"),
    [
        ((sampling, "midpoints"), lambda n, wanted: [min(i * n // wanted, n - 1) for i in range(wanted)], "sampling 8 of 17"),
        ((subject_consistency, "frame_consistency"), not_clamped, "scores subject.linear video2"),
        (
            (vbench_transforms, "clip_input"),
            lambda images, side=224: RIGHT_CLIP(images.float(), side),
            "preprocess portrait_up_101x77.clip.u8.stride7",
        ),
        ((clip_tokens, "token_ids"), lambda text, context=32: (RIGHT_TOKENS(text, 77))[:context], "viclip token_ids"),
        ((aggregates, "over_frames"), lambda values, counts: float(np.mean(values)), "scores subject.linear aggregate"),
        ((aesthetic_quality, "SCALE"), 1.0, "scores aesthetic.linear video0"),
    ],
    ids=["sampling", "negative cosines", "bytes read as floats", "end token", "averaging", "scale"],
)
def test_a_quirk_forgotten_is_a_miss(monkeypatch: pytest.MonkeyPatch, where, wrong, expected: str) -> None:
    monkeypatch.setattr(*where, wrong)
    assert [check.run().passed for check in checks(OracleFolder(FOLDER), Setting()) if check.name == expected] == [False]


def test_positions_resized_to_a_target_size_are_a_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    def positions(self, height: int, width: int) -> torch.Tensor:
        grid, patch = self.config.image // self.config.patch, self.config.patch
        places = self.pos_embed[:, 1:].unflatten(1, (grid, grid)).permute(0, 3, 1, 2)
        resized = torch.nn.functional.interpolate(places, size=(height // patch, width // patch), mode="bicubic", align_corners=False)
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)

    monkeypatch.setattr(dino_vit.DinoVit, "positions", positions)
    wanted = ("features dino_224x388.in_seed12", "features dino_224x388.pos", "features dino_sq224.in_seed11")
    cases = {check.name: check.run().passed for check in checks(OracleFolder(FOLDER), Setting()) if check.name in wanted}
    assert cases == {wanted[0]: False, wanted[1]: False, wanted[2]: True}


def test_a_truncated_file_is_a_named_miss(tmp_path: Path) -> None:
    folder = some(tmp_path / "o", "oracle.json", "viclip_tiny_weights.safetensors", "viclip_tiny_io.safetensors", "video0.mp4")
    change(folder, lambda fact: fact["tokenizer"].update(cases=[]))
    change(
        folder,
        lambda fact: fact.update(results={"overall.viclip_tiny": {"per_video": fact["results"]["overall.viclip_tiny"]["per_video"][:1]}}),
    )
    path = folder / "viclip_tiny_weights.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    report = verify(folder, Setting())
    assert {"viclip vision_embed", "scores overall.viclip_tiny video0"} <= missed(report)
    assert all("viclip_tiny_weights.safetensors" in str(case.reason) for case in report.missed)
    (folder / "oracle.json").write_text("{")
    report = verify(folder, Setting())
    assert missed(report)
    assert all(case.reason for case in report.missed)


def test_some_files_only(tmp_path: Path) -> None:
    report = verify(some(tmp_path / "o", "oracle.json", "video0.mp4", "video1.mp4", "video2.mp4"), Setting())
    assert report.verdict == "equal"
    assert {"scores flicker aggregate", "edge subject_1frame"} <= {case.name for case in report.cases}
    assert "viclip_tiny_io.safetensors" in report.absent


def test_an_unknown_result_is_named(tmp_path: Path) -> None:
    folder = some(tmp_path / "o", "oracle.json")
    change(folder, lambda fact: fact.update(results={"dynamic.raft": {"per_video": []}}, mystery=1))
    report = verify(folder, Setting())
    assert {item.name for item in report.unchecked} == {"scores dynamic.raft", "oracle.json mystery", "edge aesthetic_1frame"} | {
        item.name for item in report.unchecked if item.name.startswith(("preprocess", "viclip", "features"))
    }


def test_encoders_in_bfloat16_have_wider_limits_and_keep_them(tmp_path: Path) -> None:
    folder = some(tmp_path / "o", "oracle.json", "features.safetensors", "stub_weights.safetensors", "video0.mp4")
    change(folder, lambda fact: fact.update(results={}))
    stored = load_file(folder / "features.safetensors")
    save_file({key: value for key, value in stored.items() if not key.startswith(("video1", "video2"))}, folder / "features.safetensors")
    report = verify(folder, Setting(dtype="bfloat16"))
    assert report.verdict == "equal", [case.line() for case in report.missed]
    assert max(case.error or 0 for case in report.cases if case.name.startswith("features")) > 1e-4


@pytest.mark.parametrize("frames", [0, 1])
def test_nothing_to_compare_is_a_reason_where_vbench_divides_by_zero(frames: int) -> None:
    with pytest.raises(NoValueError, match=r"one frame|no frame"):
        subject_consistency.frame_consistency(np.ones((1, 4))) if frames else aesthetic_quality.aesthetic_quality(np.empty(0))
    with pytest.raises(NoValueError, match="nothing to average"):
        aggregates.over_videos([])
    with pytest.raises(NoValueError, match="nothing to average"):
        aggregates.over_frames([0.5], [0])


def test_weights_of_the_whole_oracle_that_are_here_are_the_same_names() -> None:
    assert {key.partition(".")[0] for key in load_file(FOLDER / "stub_weights.safetensors")} == {"aes16", "aes32", "dino", "linear"}
