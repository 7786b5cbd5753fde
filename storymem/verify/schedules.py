"""Timesteps, sigmas and trajectories of the solvers, on a velocity field that is written in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, get_args

import torch

from stbench.oracle import Check, Unchecked
from storymem import denoise
from storymem.verify.formula import parse
from storymem.verify.models import Models, rel_l2
from storymem.verify.tolerances import tolerance

SOLVERS = get_args(denoise.Solver)


def scheduler(models: Models) -> Iterator[Check | Unchecked]:
    """Checks of scheduler.*: per case the timesteps, the sigmas, the counts above a boundary, and a trajectory or its end."""
    fact, given = models.folder.json("scheduler"), models.folder.tensors("scheduler")
    limit = tolerance("schedule", models.setting)
    for name, case in fact["cases"].items():
        named = re.fullmatch(r"(.+)_(\d+)_([\d.]+)", name)
        if named is None and not {"solver", "steps", "shift"} <= set(case):
            yield Unchecked(name=f"scheduler {name}", reason="no solver, steps and shift in its name or fields")
            continue
        solver, steps, shift = named.groups() if named else (None, None, None)
        arguments = (int(case.get("steps", steps)), float(case.get("shift", shift)), case.get("solver", solver))
        if arguments[2] not in SOLVERS:
            yield Unchecked(name=f"scheduler {name}", reason=f"the solver is none of {', '.join(SOLVERS)}")
            continue
        title = f"scheduler {name}"
        yield Check(name=f"{title} timesteps", measure=partial(_timesteps, arguments, case))
        yield Check(name=f"{title} sigmas", kind="max_abs", tolerance=limit, measure=partial(_sigmas, arguments, case["sigmas"]))
        for what in ("traj", "final"):
            if (key := f"{name}.{what}") in given:
                yield Check(name=f"{title} {what}", kind="rel_l2", tolerance=limit, measure=partial(_trajectory, models, arguments, key))


def _timesteps(arguments: tuple[int, float, Any], case: dict[str, Any]) -> float:
    found = denoise.flow_schedule(*arguments).timesteps.tolist()
    wrong = sum(a != b for a, b in zip(found, case["timesteps"], strict=False)) + abs(len(found) - len(case["timesteps"]))
    for field, count in case.items():
        limit = re.fullmatch(r"n_at_or_above_(\d+)", field)
        wrong += limit is not None and sum(step >= int(limit[1]) for step in found) != count
    return float(wrong)


def _sigmas(arguments: tuple[int, float, Any], expected: list[float]) -> float:
    found = denoise.flow_schedule(*arguments).sigmas.tolist()
    return max(abs(a - b) for a, b in zip(found, expected, strict=True))


def _trajectory(models: Models, arguments: tuple[int, float, Any], key: str) -> float:
    """Error of all states, stored (steps, …) as `<name>.traj`, or of the last one, stored as `<name>.final`."""
    given = models.folder.tensors("scheduler")
    schedule = denoise.flow_schedule(*arguments)
    velocity = parse(models.folder.json("scheduler")["velocity"])
    state, path = given["x_init"], []
    for timestep in schedule.timesteps:
        state = schedule.step(velocity(state, timestep.float())[None], timestep, state[None], return_dict=False)[0][0]
        path.append(state)
    return rel_l2(torch.stack(path) if key.endswith(".traj") else state, given[key])
