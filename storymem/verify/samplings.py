"""Whole samplings: two experts, adapters, memory, known frames, guidance, boundary, solver; latents in each step, videos.

A run's settings are fields of its JSON; its mode, and whether the first frame reaches the condition, is in its name, as in
`mi2v_released`. `generate.json` holds runs of the code as released, `generate_paper.json` runs with the paper's positions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from stbench.errors import UserError
from stbench.oracle import Check, Unchecked, broken
from storymem import condition, conditioning, denoise, positions
from storymem.verify.conditions import Given, channels, known_frames, mode_of, size_of
from storymem.verify.models import Models, max_abs, padded, rel_l2, unequal
from storymem.verify.tolerances import tolerance

M2V, PAPER, T2V = "generate_m2v", "generate_paper", "generate_t2v"
EXPERTS = ("high", "low")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run, settled: what to feed, with which settings, in which files its numbers are."""

    name: str
    file: str  # of the expected numbers
    weights: str  # file of the experts
    fact: Mapping[str, Any]  # the run's own fields
    config: Mapping[str, Any]  # of the transformers
    given: Given | None  # None: text-to-video
    with_lora: bool
    variant: Any
    stride: int
    seed: int
    frames: int
    boundary: float
    shape: tuple[int, ...]  # of the noise

    @property
    def memory(self) -> int:
        """M."""
        return len(self.given.memory) if self.given else 0

    def sampling(self) -> denoise.Sampling:
        """Settings for the loop."""
        guidance = self.fact["guide_scale"]
        low, high = guidance if isinstance(guidance, list) else (guidance, guidance)
        return denoise.Sampling(
            steps=int(self.fact["steps"]),
            shift=float(self.fact["shift"]),
            guidance=(low, high),
            boundary=self.boundary,
            solver=self.fact.get("solver", "unipc"),
        )


@dataclass(kw_only=True)
class Run:
    """What came out."""

    latent: torch.Tensor  # (16, T, h, w), memory slots included
    states: list[torch.Tensor]  # before each step
    experts: list[str]  # in the order of use


def as_released(models: Models) -> Iterator[Check | Unchecked]:
    """Checks of the memory runs of generate.json."""
    fact = models.folder.json("generate")
    given = models.folder.tensors(M2V)
    for name, run in fact["runs"].items():
        if f"{name}.final_latent" in given:
            yield from _checks(models, name, run, M2V)
        elif run.get("n_memory", 0) or not models.folder.has(f"{T2V}.safetensors"):
            yield Unchecked(name=f"generate {name}", reason="its numbers are in no file of this folder")
    if "int_guide_scale" in fact:
        yield from _whole_number_guidance(models)


def as_in_the_paper(models: Models) -> Iterator[Check | Unchecked]:
    """Checks of generate_paper.json: positions with a stride, the first frame kept."""
    if not models.folder.has("generate.json", f"{M2V}.safetensors"):
        yield Unchecked(
            name="generate_paper", reason=f"needs generate.json and {M2V}.safetensors (models and inputs), which are not in this folder"
        )
        return
    for name, run in models.folder.json(PAPER).items():
        if isinstance(run, dict):
            yield from _checks(models, name, run, PAPER)


def text_to_video(models: Models) -> Iterator[Check | Unchecked]:
    """Checks of the runs without memory."""
    if not models.folder.has("generate.json"):
        yield Unchecked(name="generate_t2v", reason="needs generate.json (settings), which is not in this folder")
        return
    given = models.folder.tensors(T2V)
    for name, run in models.folder.json("generate")["runs"].items():
        if f"{name}.final_latent" in given:
            yield from _checks(models, name, run, T2V)


def _checks(models: Models, name: str, fact: Mapping[str, Any], file: str) -> Iterator[Check | Unchecked]:
    title, stored = f"{file} {name}", models.folder.tensors(file)
    try:
        plan = _plan(models, name, fact, file)
    except UserError as why:
        yield Unchecked(name=title, reason=str(why))
        return
    except Exception as why:  # a run that lacks something is its own miss
        yield broken(title, why)
        return
    if plan.given is not None and not models.has_vae and f"{name}.y" not in stored:
        yield Unchecked(name=title, reason="needs the VAE's files, which are not in this folder")
        return
    yield from _of_plan(models, plan, title)


def _of_plan(models: Models, plan: Plan, title: str) -> Iterator[Check | Unchecked]:
    """Noise, condition, latents, which expert when, and videos of one run, as far as they are stored."""
    name, fact, file, stored = plan.name, plan.fact, plan.file, models.folder.tensors(plan.file)

    def run() -> Run:
        return models.keep(("run", file, name), lambda: _sample(models, plan))

    limit = tolerance("sampling", models.setting)
    if f"{name}.noise" in stored:
        yield Check(name=f"{title} noise", measure=lambda: unequal(denoise.draw_noise(plan.shape, plan.seed), stored[f"{name}.noise"]))
    if f"{name}.y" in stored and models.has_vae:
        yield Check(
            name=f"{title} y",
            kind="rel_l2",
            tolerance=tolerance("condition", models.setting),
            measure=lambda: rel_l2(_condition(models, plan), stored[f"{name}.y"]),
        )
    yield Check(
        name=f"{title} final_latent", kind="rel_l2", tolerance=limit, measure=lambda: rel_l2(run().latent, stored[f"{name}.final_latent"])
    )
    if f"{name}.latents_in_each_step" in stored:
        yield Check(
            name=f"{title} latents_in_each_step",
            kind="rel_l2",
            tolerance=limit,
            measure=lambda: _worst(run().states, stored[f"{name}.latents_in_each_step"]),
        )
    if "experts" in fact:
        yield Check(name=f"{title} experts", measure=lambda: float(run().experts != fact["experts"]))
    if "timesteps" in fact:
        yield Check(name=f"{title} timesteps", measure=lambda: _timesteps(plan))
    if "video_shape" in fact and plan.given is not None:
        yield Check(name=f"{title} size", measure=lambda: float(list(fact["video_shape"]) != [3, plan.frames, *plan.given.size]))  # type: ignore[union-attr]
    yield from _decoded(models, plan, title, run)


def _worst(states: list[torch.Tensor], expected: torch.Tensor) -> float:
    """The largest error of the states before each step."""
    return max(rel_l2(state, wanted) for state, wanted in zip(states, expected, strict=True))


def _decoded(models: Models, plan: Plan, title: str, run: Callable[[], Run]) -> Iterator[Check | Unchecked]:
    """The video, and the memory slots decoded one by one."""
    stored, limit = models.folder.tensors(plan.file), tolerance("video", models.setting)

    def error(what: str) -> float:
        latent = run().latent
        if what == "video":
            found = models.latents.decode(latent[None, :, plan.memory :])[0]
        else:
            found = models.latents.decode(latent[:, : plan.memory].transpose(0, 1)[:, :, None])[:, :, 0]
        return max_abs(found, stored[f"{plan.name}.{what}"])

    for what in ("video", "memory_decoded"):
        if f"{plan.name}.{what}" not in stored:
            continue
        if models.has_vae:
            yield Check(name=f"{title} {what}", kind="max_abs", tolerance=limit, measure=partial(error, what))
        else:
            yield Unchecked(name=f"{title} {what}", reason="needs the VAE's files, which are not in this folder")


def _plan(models: Models, name: str, fact: Mapping[str, Any], file: str) -> Plan:
    """Everything that a run needs, from its own fields, from those that all runs share, and from its name."""
    common, released = models.folder.json("generate"), file != PAPER
    sample = common["sample"]
    frames = int(fact.get("frame_num", sample["frame_num"]))
    given = None if file == T2V else _given(models, name, fact, frames, int(fact.get("max_area", sample["max_area"])), released)
    shape = fact.get("noise_shape")
    if shape is None:
        if given is None:
            raise UserError("the shape of its noise is not stated", expected="field noise_shape")
        height, width = (side // models.latents.spatial_stride for side in given.size)
        shape = (condition.LATENT_CHANNELS, len(given.memory) + condition.latent_frames(frames), height, width)
    return Plan(
        name=name,
        file=file,
        weights=T2V if file == T2V else M2V,
        fact=fact,
        config=common["config_t2v" if file == T2V else "config_i2v"],
        given=given,
        with_lora=file != T2V and bool(fact.get("lora", "nolora" not in name)),
        variant="release-2025-12" if released else "paper",
        stride=int(fact.get("S", positions.STRIDE)),
        seed=int(fact.get("seed", sample["cpu_seed"])),
        frames=frames,
        boundary=float(fact.get("boundary", sample["boundary"])),
        shape=tuple(shape),
    )


def _given(models: Models, name: str, fact: Mapping[str, Any], frames: int, area: int, released: bool) -> Given:
    files = [models.folder.tensors(file) for file in (M2V, PAPER) if models.folder.has(f"{file}.safetensors")]
    stored = {key: file for file in files for key in file if key.startswith("in.")}
    wanted = [f"in.mem{index}" for index in fact.get("mem", range(int(fact["n_memory"])))]
    lacking = [key for key in wanted if key not in stored]
    if lacking:
        raise UserError(f"memory images {', '.join(lacking)} are in no file of this folder")
    memory = tuple(stored[key][key] for key in wanted)
    mode = mode_of(name, str(fact.get("mode", "")))
    known = known_frames(mode, files[0])
    as_released = "intended" not in name and (released or "released" in name)
    lost = as_released and known is not None and conditioning.first_is_lost("release-2025-12", len(known))
    return Given(memory=memory, known=known, frames=frames, size=size_of(memory, known, area), lost=lost)


def _condition(models: Models, plan: Plan) -> torch.Tensor | None:
    if plan.given is None:
        return None
    if not models.has_vae:
        return torch.as_tensor(models.folder.tensors(plan.file)[f"{plan.name}.y"])
    known = 0 if plan.given.known is None else len(plan.given.known)
    key = ("y", *(str(id(image)) for image in plan.given.memory), str((known, plan.given.lost, plan.frames, plan.given.size)))
    return torch.as_tensor(models.keep(key, lambda: channels(models, plan.given)))  # type: ignore[arg-type]


def _sample(models: Models, plan: Plan, sampling: denoise.Sampling | None = None) -> Run:
    """Sample as a run does."""
    stored, spec = models.folder.tensors(plan.weights), models.folder.json("generate").get("lora")
    present = [name for name in EXPERTS if any(key.startswith(name + ".") for key in stored)]
    adapters = {name: f"lora_{name}" if plan.with_lora else None for name in present}
    experts = {
        name: models.transformer(
            plan.weights, name, dict(plan.config), adapter=adapters[name] and f"{plan.weights}:{adapters[name]}", spec=spec
        )
        for name in present
    }
    names = {id(model): name for name, model in experts.items()}
    out = Run(latent=torch.empty(0), states=[], experts=[])
    given, length = _condition(models, plan), int(plan.config["text_len"])

    def ready(model: Any) -> Any:
        out.experts.append(names[id(model)])
        return torch.no_grad()

    out.latent = denoise.denoise(
        denoise.Experts(high=experts[present[0]], low=experts.get("low") if len(present) > 1 else None, ready=ready),
        denoise.draw_noise(plan.shape, plan.seed).to(models.device),
        condition=None if given is None else given.to(models.device),
        text=padded(stored["in.context"], length).to(models.device),
        negative=padded(stored["in.context_null"], length).to(models.device),
        positions=positions.temporal_positions(plan.memory, plan.shape[1] - plan.memory, variant=plan.variant, stride=plan.stride),
        sampling=sampling or plan.sampling(),
        on_step=lambda step, steps, state: out.states.append(state.cpu()),
    )
    return out


def _timesteps(plan: Plan) -> float:
    sampling = plan.sampling()
    found = denoise.flow_schedule(sampling.steps, sampling.shift, sampling.solver).timesteps.tolist()
    return float(found != list(plan.fact["timesteps"]))


def _whole_number_guidance(models: Models) -> Iterator[Check | Unchecked]:
    """The published code fails on a guidance that is a whole number; ours has to sample with it."""
    runs = models.folder.json("generate")["runs"]
    name = next((name for name in runs if f"{name}.final_latent" in models.folder.tensors(M2V) and re.match("m2v", name)), None)
    if name is None or not models.has_vae:
        return

    def measure() -> float:
        plan = _plan(models, name, dict(runs[name]) | {"guide_scale": 3, "steps": 1}, M2V)
        return float((~torch.isfinite(_sample(models, plan).latent)).sum())

    yield Check(name=f"{M2V} int_guide_scale", measure=measure)
