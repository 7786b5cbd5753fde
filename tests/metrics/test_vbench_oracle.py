"""Equal to VBench's own numbers, computed by its code with seeded random weights (tests/oracle_metrics/PROVENANCE.md)."""

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from metrics.base import NoValueError
from metrics.encoders.sampling import midpoints
from metrics.subject_consistency import frame_consistency
from metrics.temporal_flickering import frame_differences, steadiness
from stbench.video import read_mp4

FOLDER = Path(__file__).parent.parent / "oracle_metrics"
ORACLE = json.loads((FOLDER / "oracle.json").read_text())
FEATURES = load_file(FOLDER / "features.safetensors")
TOLERANCE = 1e-6  # VBench computes cosines in float32


def values(result):
    return [row["video_results"] for row in ORACLE["results"][result]["per_video"]]


@pytest.mark.parametrize(("result", "kind"), [("subject.dino_tiny", "dino_tiny"), ("subject.linear", "linear_dino")])
@pytest.mark.parametrize("video", [0, 1, 2])
def test_subject_consistency(result, kind, video):
    assert frame_consistency(FEATURES[f"video{video}.{kind}"]) == pytest.approx(values(result)[video], abs=TOLERANCE)


@pytest.mark.parametrize("video", [0, 1, 2])
def test_temporal_flickering(video):
    frames, _ = read_mp4(FOLDER / f"video{video}.mp4")
    assert steadiness(frame_differences(frames)) == pytest.approx(values("flicker")[video], abs=TOLERANCE)


def test_the_aggregate_over_videos_is_the_mean():
    rows = values("flicker")
    assert sum(rows) / len(rows) == pytest.approx(ORACLE["results"]["flicker"]["aggregate"], abs=TOLERANCE)


@pytest.mark.parametrize(("length", "expected"), ORACLE["sampling_middle8"].items())
def test_frame_sampling(length, expected):
    assert midpoints(int(length), 8) == expected


def test_one_frame_is_a_reason_where_vbench_divides_by_zero():
    assert "ZeroDivisionError" in ORACLE["edge"]["subject_1frame"]
    with pytest.raises(NoValueError, match="one frame"):
        frame_consistency(FEATURES["video0.dino_tiny"][:1])
