"""Each encoder that needs no download, on one shot of the world; the published ones are in bench_metrics.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import metrics.protocols  # noqa: F401  registers the encoders
from stbench.encoders import ENCODERS

if TYPE_CHECKING:
    import numpy as np
    from pytest_benchmark.fixture import BenchmarkFixture

CALLS = (
    ("world-dino", "encode_frames"),
    ("world-clip", "encode_frames"),
    ("world-clip", "encode_video"),
    ("block-flow", "flow"),
)


@pytest.mark.parametrize(("name", "call"), CALLS, ids=["-".join(pair) for pair in CALLS])
def test_encode_a_shot(benchmark: BenchmarkFixture, frames: np.ndarray, name: str, call: str) -> None:
    encoder: Any = ENCODERS.get(name).load("cpu")  # type: ignore[attr-defined]
    made = benchmark.pedantic(lambda: getattr(encoder, call)(frames), rounds=5, warmup_rounds=1)
    assert made.size


def test_encode_a_text(benchmark: BenchmarkFixture) -> None:
    encoder: Any = ENCODERS.get("world-clip").load("cpu")  # type: ignore[attr-defined]
    assert benchmark.pedantic(lambda: encoder.encode_texts(["A cat on the beach."]), rounds=5, warmup_rounds=1).shape[0] == 1
