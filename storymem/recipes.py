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
from pathlib import Path
from typing import Any, Literal

from stbench.errors import UserError
from storymem import adapters, lora

Recipe = Literal["exact", "cache", "lightning", "fp8"]
LIGHTNING_ADAPTER = "lightning"
LIGHTNING_SAMPLING = {"steps": 4, "guidance": (1.0, 1.0), "guidance_t2v": (1.0, 1.0), "shift": 5.0, "shift_t2v": 5.0}


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

    Raises:
        UserError: torchao is not installed.
    """
    import torch

    try:
        from torchao.quantization import Float8WeightOnlyConfig, quantize_
    except ImportError as error:
        raise UserError("torchao is not installed", where="recipe=fp8", hint="pip install 'stbench[fp8]'") from error
    chosen = []

    def of_a_block(module: torch.nn.Module, name: str) -> bool:
        wanted = isinstance(module, torch.nn.Linear) and name.startswith("blocks.") and ".lora_" not in name
        if wanted:
            chosen.append(name)
        return wanted

    quantize_(transformer, Float8WeightOnlyConfig(), filter_fn=of_a_block)
    return len(chosen)
