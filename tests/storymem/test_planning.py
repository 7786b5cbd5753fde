"""Work of the StoryMem methods, as `stbench plan` counts it, and the plan held against Wan2.2's published table."""

from __future__ import annotations

import pytest

from stbench.planning.published import MEMORY_WITHIN, TIME_WITHIN, residuals
from stbench.planning.work import Kind, Order, costing
from stbench.story import Shot, Story
from storymem.cost import Work, forward_flops, step_cost
from storymem.sizes import WAN_A14B

TALE = Story(
    id="tale",
    name="tale",
    overview="",
    shots=tuple(Shot(index=k, scene=1, number=k + 1, prompt="p", cut=k % 2 == 0) for k in range(6)),
)


def work(method: str = "wan-t2v", model: str = "a14b", **options: str) -> Order:
    return Order(method=method, model=model, options=options)


def test_the_published_table_is_met_after_calibrating_with_its_first_row_alone() -> None:
    found = residuals()
    assert [residual.calibrated for residual in found] == [True] + [False] * 11
    assert found[0].time_error == pytest.approx(0)
    for residual in found:
        assert abs(residual.time_error) <= TIME_WITHIN, residual
        assert abs(residual.memory_error) <= MEMORY_WITHIN, residual


def test_all_operations_of_the_sampling_loop_are_counted_once() -> None:
    """40 guided steps of text-to-video; the parts add up to the closed form that torch's own counter confirms."""
    denoise = next(stage for stage in costing(work()).stages(Kind(), "resident") if stage.name == "denoise")
    step = step_cost(WAN_A14B, Work(frames=81, height=480, width=832))
    assert denoise.flops == pytest.approx(40 * step.flops)
    assert denoise.flops == pytest.approx(80 * forward_flops(WAN_A14B.t2v, 32760, 512))
    assert denoise.attention_flops == pytest.approx(80 * 4 * 40 * 5120 * 32760 * (32760 + 512))


def test_memory_grows_shot_by_shot_up_to_its_size() -> None:
    kinds = costing(work("storymem", **{"keyframes.max": "2", "memory.size": "5"})).kinds(TALE)
    assert [kind.memory for kind in kinds] == [0, 2, 4, 5, 5, 5]
    assert [kind.known for kind in kinds] == [0, 1, 0, 1, 0, 1]
    assert [kind.known for kind in costing(work("storymem", mode="mm2v")).kinds(TALE)] == [0, 5, 0, 5, 0, 5]
    assert [kind.known for kind in costing(work("wan-i2v-chain")).kinds(TALE)] == [0, 1, 1, 1, 1, 1]
    assert set(costing(work("wan-t2v")).kinds(TALE)) == {Kind()}


@pytest.mark.parametrize(
    ("options", "factor"), [({"steps": "20"}, 0.5), ({"guidance_t2v": "1"}, 0.5), ({"guidance_t2v": "1,3"}, None)], ids=str
)
def test_steps_and_guidance_set_the_passes(options: dict[str, str], factor: float | None) -> None:
    full, less = (
        next(stage for stage in costing(work(**some)).stages(Kind(), "resident") if stage.name == "denoise") for some in ({}, options)
    )
    share = less.matmul_flops / full.matmul_flops
    assert share == pytest.approx(factor) if factor else 0.5 < share < 1


def test_placements_send_what_they_do_not_hold() -> None:
    cost = costing(work())
    stages = {
        place: next(s for s in cost.stages(Kind(), place) if s.name == "denoise") for place in ("resident", "offload", "group-offload")
    }
    expert = 28.6e9
    assert stages["resident"].pageable_bytes == stages["resident"].pinned_bytes == 0
    assert stages["offload"].pageable_bytes == pytest.approx(4 * expert, rel=0.01), "two experts, each in and out"
    assert stages["group-offload"].pinned_bytes == pytest.approx(80 * expert, rel=0.01), "every pass"


def test_the_world_model_is_planned_too() -> None:
    cost = costing(work("storymem", model="world"))
    assert cost.inputs["size"] == "80x48"
    less, more = (sum(stage.flops for stage in cost.stages(Kind(memory=memory), "resident")) for memory in (1, 5))
    assert 1.3 < more / less < 2
