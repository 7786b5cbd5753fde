"""Models without weights for `cost` and `peaks`: a block or two of each, on the meta device, made once.

One block of a transformer is like the other, so a model with one and a model with two say everything about one with forty.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch

from storymem import lora
from storymem.latents import Latents
from storymem.positions import use_explicit_positions
from storymem.sizes import Config, Sizes, bytes_of, on_meta

Which = Literal["t2v", "m2v", "text_encoder"]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A number that grows with the blocks of a model."""

    first: int  # with one block
    block: int  # each further one

    def total(self, blocks: int) -> int:
        """With so many blocks."""
        return self.first + (blocks - 1) * self.block


def blocks_of(sizes: Sizes, which: Which) -> int:
    """How many blocks the real model has."""
    return int(getattr(sizes, which)["num_layers"])


def weights(sizes: Sizes, which: Which, dtype: str, *, with_lora: bool = False) -> Linear:
    """Bytes of its weights, those of its adapter included."""
    first, second = (bytes_of(model(sizes, which, dtype, layers=layers, with_lora=with_lora)) for layers in (1, 2))
    return Linear(first=first, block=second - first)


def model(sizes: Sizes, which: Which, dtype: str, *, layers: int, with_lora: bool = False) -> Any:
    """A transformer or text encoder with a few blocks; an adapter of the model's rank and layers attached if wanted."""
    rank, targets = (sizes.lora_rank, sizes.lora_targets) if with_lora else (0, ())
    return _model("text_encoder" if which == "text_encoder" else "transformer", key(getattr(sizes, which)), dtype, layers, rank, targets)


def latents(sizes: Sizes, dtype: str) -> Latents:
    """The VAE, as a shot uses it."""
    return latents_of(key(sizes.vae), dtype)


def vae_stride(sizes: Sizes) -> int:
    """Pixels per latent pixel, per side."""
    return latents(sizes, "float32").spatial_stride


def key(config: Config) -> str:
    """A config as something that a cache can be asked for."""
    return json.dumps({name: value for name, value in config.items() if not name.startswith("_")}, sort_keys=True)


@lru_cache(maxsize=32)
def _model(kind: str, config: str, dtype: str, layers: int, rank: int, targets: tuple[str, ...]) -> Any:
    made = on_meta(kind, json.loads(config), dtype, layers=layers)
    if kind == "text_encoder":
        return made
    if rank:
        linears = [name for name, module in made.named_modules() if isinstance(module, torch.nn.Linear)]
        wanted = [name for name in linears if name in targets or (name.startswith("blocks.") and name.split(".", 2)[2] in targets)]
        with torch.device("meta"):
            layers_with_it = lora.add_empty(made, wanted, rank=rank, spec=lora.LoraSpec(alpha=rank, rank_stabilised=True))
        for layer in layers_with_it.values():  # peft takes the base's type, but not on the meta device
            for half in (layer.lora_A, layer.lora_B):
                half.to(layer.get_base_layer().weight.dtype)
    use_explicit_positions(made)
    return made


@lru_cache(maxsize=2)
def judge(config: str) -> Any:
    """HPSv3 of a config's `key`, in the type that it is loaded in."""
    from storymem.hpsv3 import empty_net

    with torch.device("meta"):
        net = empty_net(json.loads(config))
    return net.to(torch.bfloat16).requires_grad_(False).eval()


@lru_cache(maxsize=8)
def latents_of(config: str, dtype: str) -> Latents:
    """The VAE of a config's `key`."""
    return Latents(on_meta("vae", json.loads(config), dtype))
