"""Each rule has a run that passes and one that fails; one failed rule takes the headline away."""

from __future__ import annotations

from typing import Any

import pytest

from stbench.profiling.reading import Timings
from stbench.profiling.validity import validity

CEILINGS = ({"flops_per_s": 100.0}, {"flops_per_s": 91.0})


def test_a_quiet_run_is_valid(timings) -> None:
    found = validity(Timings(shots=timings(5).shots, ceilings=CEILINGS))
    assert found.word == "VALID"
    assert found.reasons == ()


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"clock_drift_s": 3600.0}, "clock jump: the time of day moved by +3600.00 s during 6 shots"),
        ({"clock_drift_s": -0.3}, "clock jump: the time of day moved by -0.30 s"),
        ({"cpu_wait_s": 0.6}, "busy CPU: the shots waited 6% of their time for a core"),
        ({"gpu": {"slowed": ["hardware thermal slowdown"]}}, "throttled: hardware thermal slowdown during 6 of 6 shots"),
        ({"gpu": {"other_processes": 2}}, "shared GPU: up to 2 other processes on it"),
    ],
)
def test_a_rule_that_fails_is_named(timings, facts: dict[str, Any], says: str) -> None:
    found = validity(timings(6, facts=facts))
    assert found.word == "INVALID"
    assert len(found.reasons) == 1
    assert says in found.reasons[0]
    assert ": " in found.reasons[0], "what to do"


@pytest.mark.parametrize(
    "facts", [{"clock_drift_s": 0.2}, {"cpu_wait_s": 0.4}, {"gpu": {"slowed": [], "other_processes": 0, "power_capped": True}}]
)
def test_what_is_within_its_limit_passes(timings, facts: dict[str, Any]) -> None:
    assert validity(timings(6, facts=facts)).valid


def test_a_power_limit_is_remarked_and_not_punished(timings) -> None:
    found = validity(timings(6, device="cuda", facts={"gpu": {"power_capped": True}}))
    assert found.valid
    assert "power limit during 6 of 6" in found.remarks[0]


def test_without_nvml_a_gpus_profile_says_what_is_not_known(timings) -> None:
    assert "NVML was not there" in validity(timings(6, device="cuda")).remarks[0]


def test_a_load_counts_where_the_system_does_not_count_waiting(timings, shot) -> None:
    facts = {key: value for key, value in shot().facts.items() if key != "cpu_wait_s"} | {"load_1m": 3.0}
    busy = Timings(shots=tuple(shot(place, facts={}) for place in range(1, 7)))
    busy = Timings(shots=tuple(type(one)(**{**vars(one), "facts": facts}) for one in busy.shots))
    assert "a load of 1.5 per core" in validity(busy).reasons[0]


def test_cold_shots_are_no_samples(timings, shot) -> None:
    found = validity(Timings(shots=(*timings(4).shots, *(shot(place, warm=False) for place in range(5, 9)))))
    assert found.reasons == ("too few samples: 4 warm shots, at least 5 are needed: film more shots",)


def test_older_runs_that_do_not_say_how_busy_the_machine_was_are_not_believed(timings, shot) -> None:
    old = tuple(type(one)(**{**vars(one), "facts": {}}) for one in timings(6).shots)
    assert "6 of 6 shots do not say how busy the machine was" in validity(Timings(shots=old)).reasons[0]


def test_a_run_over_two_machines_has_no_one_latency(timings, shot) -> None:
    mixed = (*timings(4).shots, shot(5, facts={"processor": "Other CPU"}))
    assert "made on 2 kinds of device" in validity(Timings(shots=mixed)).reasons[0]


def test_a_device_whose_speed_changed_while_it_ran_is_not_believed(timings) -> None:
    changed = Timings(shots=timings(5).shots, ceilings=({"flops_per_s": 100.0}, {"flops_per_s": 80.0}))
    assert "changed by 20%" in validity(changed).reasons[0]


def test_damaged_spans_are_a_reason(timings) -> None:
    assert "2 damaged lines" in validity(Timings(shots=timings(5).shots, damaged=2)).reasons[0]
