"""Speed recipes: what each changes, that it is not more than that, and which combinations are refused."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_method import SHORT, STORY, film, storymem
from tiny_wan import TinyWan

from stbench.errors import UserError
from stbench.methods import ShotRequest
from storymem import checkpoints, denoise, lora, recipes
from storymem.generator import Generator
from storymem.method import StoryMem
from storymem.profiles import resolve
from storymem.recipes import LIGHTNING_ADAPTER

FOUR_STEPS = {"steps": "4"}


def calls_of(block: int, maker: Any) -> list[int]:
    """Counts, from now on, how often a block of the first expert computes."""
    expert = next(iter(maker.generator._experts.values()))[0]
    seen: list[int] = []
    expert.blocks[block].attn1.to_q.register_forward_hook(lambda *_: seen.append(1))
    return seen


@pytest.fixture(scope="module")
def two_experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TinyWan(layers=3).diffusers(tmp_path_factory.mktemp("wan") / "model")


def test_a_cache_that_never_skips_is_exact_and_one_that_always_skips_is_not(tiny_model: Path, tmp_path: Path) -> None:
    exact, none, all_of_it = (
        film(storymem(tiny_model, **FOUR_STEPS, **options), tmp_path, SHORT)
        for options in ({}, {"recipe": "cache", "cache__threshold": "1e-9"}, {"recipe": "cache", "cache__threshold": "1"})
    )
    assert all(np.array_equal(one.frames, other.frames) for one, other in zip(exact, none, strict=True))
    assert not np.array_equal(exact[1].frames, all_of_it[1].frames)


def test_a_cache_skips_the_later_blocks_and_forgets_at_the_next_shot(tiny_model: Path) -> None:
    request = ShotRequest(story=STORY, shot=STORY.shots[0], seed=0)
    with storymem(tiny_model, recipe="cache", cache__threshold="1", **FOUR_STEPS).open("cpu") as maker:
        first = maker.shot(request)
        calls = calls_of(1, maker)
        again = maker.shot(request)
        assert len(calls) == 1  # of four steps; both passes are one batch in the tiny model
    assert np.array_equal(first.frames, again.frames)


def test_each_expert_and_each_pass_has_a_cache_of_its_own(two_experts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step of an expert, and the first with and without the prompt, must be computed in full: diffusers#14025."""
    options = {"recipe": "cache", "cache.threshold": "1", "steps": "6"}
    method = StoryMem.from_options(model=str(two_experts), options=options)
    profile = method.model.profile.model_copy(update={"batch_guidance": False, "keyframe_encoder": "thumbnail"})
    method.model = replace(method.model, profile=profile)
    passes: list[tuple[int, str]] = []
    real = denoise.predict

    def watched(transformer: Any, *args: Any, which: str = "given") -> Any:
        passes.append((id(transformer), which))
        return real(transformer, *args, which=which)

    monkeypatch.setattr(denoise, "predict", watched)
    request = ShotRequest(story=STORY, shot=STORY.shots[0], seed=0)
    with method.open("cpu") as maker:
        maker.shot(request)
        experts = maker.generator._experts[(method.model.t2v, False)]
        counts = [[] for _ in experts]
        for expert, seen in zip(experts, counts, strict=True):
            expert.blocks[2].attn1.to_q.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        maker.shot(request)
    assert {which for _, which in passes} == {"given", "free"}
    assert {expert for expert, _ in passes} == {id(expert) for expert in experts}  # both experts had steps
    assert [len(seen) for seen in counts] == [2, 2]  # one full step per expert and pass


def lightning(folder: Path, of: Path, rank: int = 2) -> Path:
    """A few-step adapter as trainers write it: lora_down, lora_up and alpha under diffusion_model."""
    expert = Generator(resolve(str(of)), "cpu")._load(False, adapter=False).high
    state = {}
    for name, module in expert.named_modules():
        if name.startswith("blocks.") and "lora_A" in dict(module.named_children()) and name.endswith("attn1.to_q"):
            state[f"diffusion_model.{name}.lora_down.weight"] = torch.randn(rank, module.in_features)
            state[f"diffusion_model.{name}.lora_up.weight"] = torch.randn(module.out_features, rank)
            state[f"diffusion_model.{name}.alpha"] = torch.tensor(float(rank))
    folder.mkdir(exist_ok=True)
    save_file(state, folder / "lora.safetensors")
    return folder / "lora.safetensors"


def test_lightning_is_a_second_adapter_at_its_own_weight(tiny_model: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = lightning(tmp_path, tiny_model)
    options = {"recipe": "lightning", "weights.lightning": str(path), "lightning.weight": "0.6"}
    method = StoryMem.from_options(model=str(tiny_model), options=options)
    assert (method.options.steps, method.options.guidance, method.options.shift) == (4, (1.0, 1.0), 5.0)
    made = film(method, tmp_path, SHORT)
    with method.open("cpu") as maker:
        for from_text, wanted in ((True, {LIGHTNING_ADAPTER}), (False, {LIGHTNING_ADAPTER, lora.ADAPTER}), (True, {LIGHTNING_ADAPTER})):
            layer = maker.generator._load(from_text, adapter=not from_text).high.blocks[0].attn1.to_q
            assert set(layer.active_adapters) == wanted
            assert not layer.disable_adapters
            assert layer.scaling == pytest.approx({lora.ADAPTER: 4 / 2**0.5, LIGHTNING_ADAPTER: 0.6})  # rsLoRA; 0.6 of alpha / r
    plain = film(storymem(tiny_model, steps="4", guidance="1", shift="5", shift_t2v="5", guidance_t2v="1"), tmp_path, SHORT)
    assert not np.array_equal(made[0].frames, plain[0].frames)
    other = StoryMem.from_options(model=str(tiny_model), options=options | {"lightning.weight": "1"})
    assert other.identity() != method.identity()
    assert str(path) not in str(method.identity())


def test_what_a_recipe_needs_is_asked_for_before_anything_is_loaded(
    tiny_model: Path, two_experts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "load_component", lambda *_, **__: pytest.fail("it loaded"))
    monkeypatch.setattr(recipes, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--set weights\.lightning"), storymem(tiny_model, recipe="lightning").open("cpu"):
        pass
    with pytest.raises(UserError, match=r"pip install 'stbench\[fp8\]'"), storymem(tiny_model, recipe="fp8").open("cpu"):
        pass
    bases = replace(resolve(str(two_experts)), t2v=tmp_path)  # two bases: adapters of one are not enough
    assert not bases.shared
    with pytest.raises(UserError, match=r"few-step adapters of t2v.*weights\.lightning_t2v"):
        recipes.check_recipe("lightning", replace(bases, lightning={"m2v": (tmp_path,)}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "lightning", "guidance": "3.5"}, "without guidance"),
        ({"recipe": "lightning", "steps": "40"}, "4 steps"),
        ({"recipe": "lightning", "lightning__weight": "0.3"}, "greater than or equal to 0.6"),
        ({"recipe": "fp8", "placement": "group-offload"}, "use placement=offload"),
        ({"recipe": "cache", "compile": "true"}, "leave one out"),
        ({"recipe": "fast"}, "exact"),
    ],
)
def test_combinations_that_are_known_to_be_wrong_are_refused(tiny_model: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        storymem(tiny_model, **options)


def test_the_recipe_is_part_of_the_identity(tiny_model: Path) -> None:
    identities = [storymem(tiny_model, recipe=name).identity() for name in ("exact", "cache", "fp8")]
    assert len({str(identity) for identity in identities}) == 3


@pytest.mark.skipif(find_spec("torchao") is None, reason="torchao is an extra (fp8)")
def test_fp8_halves_the_blocks_and_stays_near(tiny_model: Path, tmp_path: Path) -> None:
    with storymem(tiny_model, recipe="fp8").open("cpu") as maker:
        expert = maker.generator._load(False, adapter=True).high
    kinds = {name: type(value).__name__ for name, value in expert.named_parameters()}
    assert "Float8" in kinds["blocks.0.attn1.to_q.base_layer.weight"]
    assert "Float8" in kinds["blocks.1.ffn.net.2.base_layer.weight"]
    assert "Float8" not in kinds["proj_out.weight"] + kinds["blocks.0.attn1.to_q.lora_A.memory.weight"]
    exact, eight = (film(storymem(tiny_model, recipe=name), tmp_path, SHORT)[1].frames.astype(float) for name in ("exact", "fp8"))
    assert 0 < np.abs(exact - eight).mean() < 40
