"""Spans, held against clocks and devices that the tests turn by hand."""

# ruff: noqa: N802 — the fakes have the names of NVML and of torch.cuda

from __future__ import annotations

from types import SimpleNamespace

import pytest

from stbench.machine import Gpu, Watch
from stbench.methods import Span
from stbench.publish import as_facts
from stbench.timing import Stopwatch


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


class FakeCuda:
    """Memory and a stream: work that is queued takes time only when it is waited for."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.queued, self.stream_ms, self.held, self.most, self.waits = clock, 0.0, 0.0, 0, 0, 0

    def work(self, seconds: float) -> None:
        self.queued += seconds
        self.stream_ms += 1000 * seconds

    def allocate(self, count: int) -> None:
        self.held += count
        self.most = max(self.most, self.held)

    def synchronize(self, device: object) -> None:
        self.clock.pass_(self.queued)
        self.queued = 0.0
        self.waits += 1

    def reset_peak_memory_stats(self, device: object) -> None:
        self.most = self.held

    def max_memory_allocated(self, device: object) -> int:
        return self.most

    def max_memory_reserved(self, device: object) -> int:
        return 2 * self.most

    def memory_allocated(self, device: object) -> int:
        return self.held

    def Event(self, enable_timing: bool) -> SimpleNamespace:
        event = SimpleNamespace(at=0.0)
        event.record = lambda: setattr(event, "at", self.stream_ms)
        event.elapsed_time = lambda other: other.at - event.at
        return event


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cuda(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda(clock)
    monkeypatch.setitem(__import__("sys").modules, "torch", SimpleNamespace(cuda=fake))
    return fake


def test_stages_do_not_contain_one_another_and_add_up_to_the_whole(clock: Clock) -> None:
    watch = Stopwatch("cpu", clock)
    with watch.time("keyframes"):
        clock.pass_(3)
        for _ in range(4):
            with watch.time("quality_filter"):
                clock.pass_(0.5)
                with watch.time("deeper"):
                    clock.pass_(0.25)
        clock.pass_(1)
    found = {span.stage: span for span in watch.spans}
    assert {name: span.seconds for name, span in found.items()} == {"keyframes": 4.0, "quality_filter": 2.0, "deeper": 1.0}
    assert sum(span.seconds for span in watch.spans) == clock.now - 100
    assert found["quality_filter"].detail["calls"] == 4
    assert found["quality_filter"].start_s == 103


def test_steps_are_laps_of_their_stage_and_say_which_expert_made_them(clock: Clock) -> None:
    watch = Stopwatch("cpu", clock)
    with watch.time("denoise", steps=3):
        clock.pass_(0.5)  # before the first step
        for expert, seconds in (("high", 2.0), ("high", 1.0), ("low", 4.0)):
            watch.lap(expert)
            clock.pass_(seconds)
    (span,) = watch.spans
    assert span.seconds == 7.5
    assert span.detail["steps_s"] == [2.0, 1.0, 4.0]
    assert span.detail["experts"] == ["high", "high", "low"]


def test_work_that_was_only_queued_on_the_gpu_is_waited_for(clock: Clock, cuda: FakeCuda) -> None:
    watch = Stopwatch("cuda:0", clock)
    cuda.work(9)  # of somebody before: not of this stage
    with watch.time("denoise"):
        watch.lap("only")
        cuda.work(2)
        watch.lap("only")
        cuda.work(3)
    (span,) = watch.spans
    assert span.seconds == 5
    assert span.detail["steps_s"] == [2.0, 3.0]
    assert cuda.waits == 2, "nothing waits between two steps"


def test_the_most_memory_of_a_stage_counts_what_a_stage_inside_of_it_held(clock: Clock, cuda: FakeCuda) -> None:
    watch = Stopwatch("cuda", clock)
    cuda.allocate(10)
    with watch.time("outer"):
        cuda.allocate(50)
        cuda.allocate(-50)
        with watch.time("inner"):
            cuda.allocate(5)
        cuda.allocate(-5)
    peaks = {span.stage: (span.detail["peak_bytes"], span.detail["peak_reserved_bytes"]) for span in watch.spans}
    assert peaks == {"outer": (60, 120), "inner": (15, 30)}
    assert watch.spans[0].detail["device_bytes"] == 10


def test_a_stage_that_fails_leaves_no_span(clock: Clock) -> None:
    watch = Stopwatch("cpu", clock)
    with pytest.raises(RuntimeError), watch.time("denoise"):
        raise RuntimeError("out of memory")
    with watch.time("denoise"):
        clock.pass_(1)
    assert [(span.stage, span.seconds) for span in watch.spans] == [("denoise", 1.0)]


def test_stored_spans_start_at_the_shot() -> None:
    facts = as_facts([Span(stage="denoise", seconds=1 / 3, start_s=102.5), Span(stage="old", seconds=1.0)], began=100.0)
    assert [(fact.stage, fact.start_s, fact.seconds) for fact in facts] == [("denoise", 2.5, 0.333333), ("old", None, 1.0)]


def test_a_watch_notices_a_clock_that_was_set_while_a_shot_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from stbench import machine

    walls = iter([1000.0, 4600.0])
    monkeypatch.setattr(machine.time, "time", lambda: next(walls))
    with Watch("cpu") as watch:
        pass
    assert watch.facts()["clock_drift_s"] == pytest.approx(3600, abs=5)
    assert watch.facts()["host_bytes"] > 1_000_000
    assert watch.facts()["cores"] >= 1


class FakeNvml:
    NVML_TEMPERATURE_GPU = NVML_CLOCK_SM = 0

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.energy, self.reasons = iter([5000, 9000]), iter([0x4, 0x40])

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: object) -> int:
        return next(self.energy)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: object) -> int:
        return next(self.reasons)

    def nvmlDeviceGetTemperature(self, gpu: object, which: int) -> int:
        return 71

    def nvmlDeviceGetClockInfo(self, gpu: object, which: int) -> int:
        return 1400

    def nvmlDeviceGetMaxClockInfo(self, gpu: object, which: int) -> int:
        raise self.NVMLError("not supported")

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: object) -> list[int]:
        return [1, 2, 3]

    def nvmlDeviceGetName(self, gpu: object) -> bytes:
        return b"NVIDIA H100 80GB HBM3"


def test_what_the_gpus_driver_says_becomes_facts_and_what_it_does_not_know_is_left_out() -> None:
    gpu = Gpu(FakeNvml(), object())
    assert gpu.between(gpu.read(), gpu.read()) == {
        "name": "NVIDIA H100 80GB HBM3",
        "temperature_c": 71,
        "clock_mhz": 1400,
        "energy_j": 4.0,
        "slowed": ["hardware thermal slowdown"],
        "power_capped": True,
        "other_processes": 2,
    }
