"""The arithmetic of a plan, by hand; nothing here counts a model."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

import stbench.planning.work
from stbench.errors import UserError
from stbench.planning.calibrate import Calibration, Shot, calibration_of, shots_of
from stbench.planning.devices import CPU, Device, device_named, devices
from stbench.planning.plan import Wishes, gpus_for, make_plan, parse_deadline
from stbench.planning.predict import WHOLE, computed_s, seconds, sent_s, total_s
from stbench.planning.text import lines
from stbench.planning.work import Kind, Order, Room, StageWork
from stbench.store import RunFolder
from stbench.story import Shot as StoryShot
from stbench.story import Story

DEVICE = Device(
    key="toy",
    name="a toy",
    memory_bytes=10 * 2**30,
    matmul_per_s=100.0,
    attention_per_s=50.0,
    conv_per_s=10.0,
    moved_per_s=1000.0,
    pageable_per_s=4.0,
    pinned_per_s=20.0,
    link_per_s=8.0,
    operation_s=0.01,
    source="made up",
)
WORK = StageWork(name="denoise", matmul_flops=300.0, attention_flops=100.0, conv_flops=20.0, moved_bytes=500.0, shared=True)


class Toy:
    """Two seconds of products a shot, one more for each memory frame."""

    inputs: Mapping[str, Any] = {"steps": 4}
    assumed: Sequence[str] = ("toys behave",)

    def kinds(self, story: Story) -> list[Kind]:
        return [Kind(memory=shot.index) for shot in story.shots]

    def stages(self, kind: Kind, placement: str) -> list[StageWork]:
        sent = 40.0 if placement == "offload" else 0.0
        return [StageWork(name="denoise", matmul_flops=200.0 + 100.0 * kind.memory, pageable_bytes=sent)]

    def rooms(self, kind: Kind) -> list[Room]:
        return [
            Room(placement="resident", device_bytes=(9 + kind.memory) * 2**30, at="denoise"),
            Room(placement="offload", device_bytes=(4 + kind.memory) * 2**30, at="denoise"),
        ]


def stories(*lengths: int) -> list[Story]:
    return [
        Story(
            id=f"s{n}",
            name="s",
            overview="",
            shots=tuple(StoryShot(index=k, scene=1, number=k + 1, prompt="p", cut=True) for k in range(length)),
        )
        for n, length in enumerate(lengths)
    ]


ORDER = Order(method="toy", model="toy", options={})
PLAIN = Calibration(factors={WHOLE: 1.0}, device=DEVICE, source="nothing")


def test_seconds_are_the_sum_of_what_each_resource_takes() -> None:
    assert computed_s(WORK, DEVICE) == pytest.approx(300 / 100 + 100 / 50 + 20 / 10 + 500 / 1000)
    assert computed_s(replace(WORK, operations=100), DEVICE) == pytest.approx(7.5 + 1.0)


def test_gpus_share_what_can_be_shared_and_send_the_rest() -> None:
    shared = replace(WORK, exchanged_bytes=16.0)
    assert seconds(shared, DEVICE, {WHOLE: 1.0}, gpus=3) == pytest.approx(7.5 / 3 + 16 / 8)
    assert seconds(replace(shared, shared=False), DEVICE, {WHOLE: 1.0}, gpus=3) == pytest.approx(7.5 + 2)
    with pytest.raises(UserError, match="no link to other GPUs"):
        sent_s(shared, device_named("rtx-4090"))


def test_fetched_weights_hide_behind_arithmetic_until_they_take_longer() -> None:
    assert seconds(replace(WORK, pinned_bytes=20.0), DEVICE, {}) == pytest.approx(7.5)
    assert seconds(replace(WORK, pinned_bytes=400.0), DEVICE, {}) == pytest.approx(20.0)
    assert seconds(replace(WORK, pageable_bytes=4.0), DEVICE, {}) == pytest.approx(8.5)


def test_a_factor_scales_computing_and_not_sending() -> None:
    assert seconds(replace(WORK, pageable_bytes=4.0), DEVICE, {"denoise": 2.0, WHOLE: 9.0}) == pytest.approx(16.0)


def test_a_plan_by_hand() -> None:
    """Shots of 2, 3, 4 s and 2, 3 s; resident needs 11 GiB of 10, so weights come over PCIe: 10 s more each."""
    plan = make_plan(ORDER, Toy(), stories(3, 2), DEVICE, PLAIN, Wishes(price=3.6, deadline_s=30.0))
    assert plan.placement == "offload"
    assert [placed.fits for placed in plan.placements] == [False, True]
    assert [(row.kind.memory, row.shots, row.seconds) for row in plan.rows] == [(0, 2, 12.0), (1, 2, 13.0), (2, 1, 14.0)]
    assert plan.gpu_hours * 3600 == pytest.approx(64.0)
    assert plan.cost == pytest.approx(3.6 * 64 / 3600)
    assert plan.longest_story_s == 39.0
    assert plan.gpus is None, "the longest story alone takes 39 s"
    assert make_plan(ORDER, Toy(), stories(3, 2), DEVICE, PLAIN, Wishes(deadline_s=40.0)).gpus == 2
    assert make_plan(ORDER, Toy(), stories(3, 2), DEVICE, PLAIN, Wishes(placement="resident")).gpu_hours * 3600 == pytest.approx(14.0)
    with pytest.raises(UserError, match="--placement"):
        make_plan(ORDER, Toy(), stories(1), DEVICE, PLAIN, Wishes(placement="moon"))


def test_where_nothing_fits_the_plan_says_so() -> None:
    plan = make_plan(ORDER, Toy(), stories(3), replace(DEVICE, memory_bytes=1.0), PLAIN, Wishes())
    assert not plan.fits
    assert plan.to_json()["verdict"] == "does not fit"
    assert sum("DOES NOT FIT" in line for line in lines(plan)) == 2


def test_the_text_fits_a_terminal_and_calls_itself_a_prediction() -> None:
    text = lines(make_plan(ORDER, Toy(), stories(9, 2), DEVICE, PLAIN, Wishes(price=1, deadline_s=86400, suite="tales")))
    assert text[0].startswith("PREDICTION")
    assert max(map(len, text)) <= 80
    assert {line.split()[0] for line in text if line[:1].isalpha()} >= {"counted", "measured", "assumed", "left", "suite", "cost", "within"}


@pytest.mark.parametrize("seed", range(10))
def test_gpus_for_a_deadline_against_every_assignment(seed: int) -> None:
    """Greedy packing is never better than the best of all assignments, and at most one GPU worse on small cases."""
    import random

    rng = random.Random(seed)
    lengths, deadline = [rng.uniform(1, 5) for _ in range(6)], 6.0

    def possible(gpus: int) -> bool:
        return any(
            all(sum(length for length, at in zip(lengths, places, strict=True) if at == gpu) <= deadline for gpu in range(gpus))
            for places in itertools.product(range(gpus), repeat=6)
        )

    best = next(gpus for gpus in range(1, 7) if possible(gpus))
    found = gpus_for(lengths, deadline)
    assert found is not None
    assert best <= found <= best + 1


@pytest.mark.parametrize("text", ["", "24", "h", "0h", "-1h", "1w", "nanh"])
def test_bad_deadlines(text: str) -> None:
    with pytest.raises(UserError, match="--deadline"):
        parse_deadline(text)


def test_a_calibrated_plan_gives_back_the_shot_that_it_was_calibrated_on() -> None:
    toy = Toy()
    shot = Shot(id="s 1", seconds=11.0, stages={"denoise": 9.0, "video_encode": 5.0}, denoise={"memory": 2, "known": 0}, gpu="", warm=True)
    found = calibration_of(shot, toy, DEVICE, "resident", source="a test")
    assert found.factors["denoise"] == pytest.approx(9.0 / 4.0)
    assert total_s(toy.stages(shot.kind, "resident"), DEVICE, found.factors) + found.other_s == pytest.approx(11.0)


def test_times_of_a_cpu_are_without_what_the_shot_waited_for_a_core(film, run_words, tmp_path) -> None:
    assert film(*run_words, "--no-score").code == 0
    shots = shots_of(RunFolder.open(tmp_path / "run"))
    assert [shot.id for shot in shots][:2] == ["ant 01_01", "ant 01_02"]
    assert all(shot.seconds >= 0 for shot in shots)
    assert [shot.warm for shot in shots][:2] == [False, True]


def test_every_device_has_numbers_with_a_source() -> None:
    assert set(devices()) == {"h100", "h200", "a100-80", "l40s", "rtx-4090", "rtx-5090"}
    for device in devices().values():
        assert device.matmul_per_s > device.conv_per_s > 0
        assert device.memory_bytes is not None
        assert len(device.source) > 60
        assert device.assumed
    assert CPU.operation_s > 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--method", "frozen"], "nobody counts the work of 'frozen'"),
        (["--method", "wan-t2v", "--device", "h10"], "did you mean 'h100'?"),
        (["--method", "wan-t2v", "--size", "big"], "--size"),
        (["--method", "wan-t2v", "--size", "830x480"], "multiples of 16"),
        (["--method", "wan-t2v", "--frames", "80"], "1 + a multiple of 4"),
        (["--method", "wan-t2v", "--gpus", "4"], "--setup wan2.2"),
        (["--method", "wan-t2v", "--setup", "wan"], "--setup"),
        (["--method", "storymem", "--model", "world"], "--like RUN"),
        (["--method", "storymem", "--set", "steps=0"], "steps"),
        (["--method", "storymem", "--set", "recipe=cache"], "recipe=cache is not planned"),
        (["--like", "nowhere"], "nowhere: does not exist"),
    ],
)
def test_bad_words_get_one_clear_line(film, words: list[str], says: str) -> None:
    done = film("plan", *words)
    assert done.code == 2
    last = done.err.strip().splitlines()[-1]  # a tensor library may warn before
    assert last.startswith("error: ")
    assert says in last


def test_the_command_prints_one_json_object(film, monkeypatch) -> None:
    monkeypatch.setattr(stbench.planning.work, "costing", lambda order: Toy())
    monkeypatch.setattr("stbench.commands.plan._measure", lambda like, device, model: (DEVICE, PLAIN))
    done = film("plan", "--suite", "world-mini", "--price", "2", "--json")
    assert done.code == 0
    result = json.loads(done.out)
    assert (result["prediction"], result["suite"]["stories"], result["placement"]) == (True, 3, "offload")
