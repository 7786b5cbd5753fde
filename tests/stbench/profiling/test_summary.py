from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stbench.profiling.reading import inside
from stbench.profiling.roofline import Counted, use_rows
from stbench.profiling.summary import memory_rows, quantile, stage_rows, step_rows, throughput


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_are_those_of_numpy(values: list[float], share: float) -> None:
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-9, abs=1e-9)


def test_shares_are_of_the_shots_own_time_and_add_up_to_one(timings) -> None:
    rows = {row.name: row for row in stage_rows(timings(4).shots)}
    assert list(rows) == ["memory_encode", "denoise", "vae_decode", "other", "video_encode"]
    assert {name: row.share for name, row in rows.items()} == {
        "memory_encode": 0.1,
        "denoise": 0.6,
        "vae_decode": 0.2,
        "other": 0.1,
        "video_encode": None,
    }
    assert rows["memory_encode"].median_s == 1.0, "both spans of a stage are one stage of the shot"
    assert rows["video_encode"].median_s == 0.5


def test_a_ninth_tenth_needs_ten_shots(timings) -> None:
    assert all(row.p90_s is None for row in stage_rows(timings(9).shots))
    assert all(row.p90_s is not None for row in stage_rows(timings(10).shots))


def test_a_method_without_stages_has_one_row(shot) -> None:
    assert inside(shot(stages=())) == {"whole shot": 10.0}
    assert [row.name for row in stage_rows([shot(stages=())])] == ["whole shot"]


def test_time_against_memory_frames(shot) -> None:
    shots = [shot(1, memory=0, seconds=10.0), shot(2, memory=3, seconds=12.0), shot(3, memory=3, seconds=14.0)]
    assert [(row.memory, row.n, row.shot_s, row.denoise_s, row.step_s) for row in memory_rows(shots)] == [
        (0, 1, 10.0, 6.0, 2.0),
        (3, 2, 13.0, 6.0, 2.0),
    ]


def test_steps_are_told_apart_by_expert(timings) -> None:
    assert [(row.step, row.expert, row.n, row.median_s) for row in step_rows(timings(3).shots)] == [
        (1, "high", 3, 3.0),
        (2, "high", 3, 2.0),
        (3, "low", 3, 1.0),
    ]


def test_throughput_counts_writing_and_leaves_loading_out(timings) -> None:
    found = throughput(timings(4, facts={"gpu": {"energy_j": 7200.0}}).shots, shots_per_film=8)
    assert found is not None
    assert found.shot_s == 10.0
    assert found.per_video_s == 5.0
    assert found.films_per_day == pytest.approx(86400 / (8 * 10.5))
    assert found.energy_j == 7200.0
    assert found.film_wh == 16.0
    assert throughput((), 8) is None


def test_use_of_the_device_against_its_ceiling(timings) -> None:
    shots = timings(3).shots
    work = [{"denoise": Counted(flops=120e9, moved_bytes=6e9), "vae_decode": Counted(flops=2e9, moved_bytes=4e9)}] * 3
    ceiling = {"flops_per_s": 40e9, "bytes_per_s": 10e9}
    rows = {row.stage: row for row in use_rows(shots, work, ceiling)}
    assert (rows["denoise"].flops_per_s, rows["denoise"].utilisation, rows["denoise"].intensity) == (20e9, 0.5, 20.0)
    assert (rows["denoise"].roof, rows["denoise"].held_by) == (40e9, "compute")
    assert (rows["vae_decode"].roof, rows["vae_decode"].held_by) == (5e9, "memory")
    assert rows["whole shot"].flops_per_s == 12.2e9
    assert rows["whole shot"].roof is None
    assert all(row.utilisation is None for row in use_rows(shots, work, None)), "without a ceiling nothing is claimed"
