"""Speed for exactness, by name; part of a run's identity.

    exact      every step of every block, as published (the default)
    cache      FirstBlockCache: where the first block's output hardly changed since the last step, the other blocks' change is used again
    lightning  a few-step adapter beside the memory adapter: 4 steps without guidance (needs --set weights.lightning=…)
    fp8        weights of the blocks in 8-bit floats (torchao): half the bytes of bfloat16

Each expert has a cache of its own, one per pass (with and without the prompt), forgotten when a shot starts: a step counter shared by
two experts would go wrong at their boundary (diffusers#14025).
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from stbench.errors import UserError
from storymem import adapters, lora
from storymem.profiles import LIGHTNING, Model

Recipe = Literal["exact", "cache", "lightning", "fp8"]
LIGHTNING_ADAPTER = "lightning"
LIGHTNING_SAMPLING = {"steps": 4, "guidance": (1.0, 1.0), "guidance_t2v": (1.0, 1.0), "shift": 5.0, "shift_t2v": 5.0}


def check_recipe(recipe: Recipe, model: Model) -> None:
    """What a recipe needs is here, before anything large is loaded.

    Raises:
        UserError: Few-step adapters or torchao are missing.
    """
    if recipe == "lightning":
        for base in LIGHTNING:
            if base in model.needs:
                lightning_of(model, base)
    if recipe == "fp8" and find_spec("torchao") is None:
        raise UserError("torchao is not installed", where="recipe=fp8", hint="pip install 'stbench[fp8]'")


def lightning_of(model: Model, base: str) -> tuple[Path, ...]:
    """The few-step adapters of a base ("t2v" or "m2v"), one per expert; where both bases are one transformer, either will do.

    Raises:
        UserError: None were given.
    """
    found = model.lightning.get(base)
    if found is None and model.shared:
        found = next(iter(model.lightning.values()), None)
    if found is None:
        hint = f"--set weights.{LIGHTNING[base]}=PATH"
        raise UserError(f"recipe=lightning needs the few-step adapters of {base}", where=model.profile.name, hint=hint)
    return found


def attach_lightning(transformer: Any, path: Path, weight: float) -> lora.LoraProof:
    """Put a few-step adapter on an expert, at `weight` times its own scale."""
    state, spec, where = adapters.read_file(path)
    return lora.attach(transformer, state, replace(spec, alpha=weight * spec.alpha), where=where, name=LIGHTNING_ADAPTER)


def cache_blocks(transformer: Any, threshold: float) -> None:
    """Let an expert skip blocks; see `denoise.predict` for how it learns which pass it computes."""
    from diffusers import FirstBlockCacheConfig

    transformer.enable_cache(FirstBlockCacheConfig(threshold=threshold))


def quantise(transformer: Any) -> int:
    """Turn the weights of the blocks' own linear layers into 8-bit floats, in place; returns how many layers.

    Adapters stay in their type, and so does everything outside of the blocks.
    """
    import torch
    from torchao.quantization import Float8WeightOnlyConfig, quantize_

    chosen = []

    def of_a_block(module: torch.nn.Module, name: str) -> bool:
        wanted = isinstance(module, torch.nn.Linear) and name.startswith("blocks.") and ".lora_" not in name
        if wanted:
            chosen.append(name)
        return wanted

    quantize_(transformer, Float8WeightOnlyConfig(), filter_fn=of_a_block)
    return len(chosen)
