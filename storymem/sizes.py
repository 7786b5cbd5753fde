"""How large a model is: the configs of its components, and models built from them on the meta device, without weights.

The numbers of Wan2.2 A14B are stated here, since its weights are seldom at hand; those of any other model are read from its folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from storymem import checkpoints, lora
from storymem.folders import EXPERTS
from storymem.lora import TARGETS
from storymem.stored import open_weights

if TYPE_CHECKING:
    from storymem.profiles import Model

Config = Mapping[str, Any]

_A14B = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 40,
    "attention_head_dim": 128,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 13824,
    "num_layers": 40,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "eps": 1e-6,
    "rope_max_seq_len": 1024,
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The components of a model, in diffusers' (or transformers') terms.

    Attributes:
        t2v: Of each expert of the text-to-video base.
        m2v: Of each expert of the base of memory shots.
        shared: Whether both are the same transformer.
        experts: 1 or 2.
        lora_rank: Of the memory adapters; 0: none.
        lora_targets: Linear layers of a block that have one, by diffusers' names.
        judge: Of HPSv3, where it judges keyframes.
    """

    t2v: Config
    m2v: Config
    vae: Config
    text_encoder: Config
    shared: bool
    experts: int
    lora_rank: int
    lora_targets: tuple[str, ...] = TARGETS
    judge: Config | None = None


_HPSV3 = {  # Qwen2-VL-7B, with one token more
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 151658,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "vision_config": {"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "num_heads": 16, "mlp_ratio": 4},
}

WAN_A14B = Sizes(
    t2v={**_A14B, "in_channels": 16},
    m2v={**_A14B, "in_channels": 36},
    vae={"base_dim": 96, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "temperal_downsample": [False, True, True]},
    text_encoder={
        "vocab_size": 256384,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "relative_attention_num_buckets": 32,
        "feed_forward_proj": "gated-gelu",
    },
    shared=False,
    experts=2,
    lora_rank=128,
    judge=_HPSV3,
)


def sizes_of(model: Model) -> Sizes:
    """The sizes of a model on this machine, from configs and shapes; no weights are read."""
    rank, targets = 0, TARGETS
    if model.lora:
        stored = open_weights(model.lora[0])
        shapes = {name: shape for name, shape in stored.shapes.items() if not name.endswith(".alpha")}
        pairs = lora.pair_up({name: torch.empty(shape, device="meta") for name, shape in shapes.items()}, stored.where)
        rank = next(iter(pairs.values()))[0].shape[0]
        targets = tuple(sorted({name.split(".", 2)[2] for name in pairs}))
    return Sizes(
        t2v=checkpoints.component_config(model.t2v, EXPERTS[0])[0],
        m2v=checkpoints.component_config(model.m2v, EXPERTS[0])[0],
        vae=checkpoints.component_config(model.t2v, "vae")[0],
        text_encoder=checkpoints.component_config(model.t2v, "text_encoder")[0],
        shared=model.shared,
        experts=model.profile.experts,
        lora_rank=rank,
        lora_targets=targets,
        judge=_HPSV3 if model.profile.quality == "hpsv3" and "lora" in model.needs else None,
    )


def on_meta(kind: str, config: Config, dtype: str, *, layers: int | None = None) -> Any:
    """A component without weights: every parameter in the type that a loaded one would have.

    Args:
        kind: "transformer", "vae" or "text_encoder".
        config: Of the component.
        dtype: Of its weights, by torch's name; those that the class keeps in float32 stay so.
        layers: Build only so many blocks of a transformer.
    """
    wanted = dict(config) | ({} if layers is None else {"num_layers": layers})
    with torch.device("meta"):
        model = checkpoints.build_empty(kind, wanted)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    for name, value in model.named_parameters():
        value.data = value.data.to(checkpoints.stored_dtype(model, name, getattr(torch, dtype)))
    return model.requires_grad_(False).eval()


def bytes_of(module: Any) -> int:
    """Bytes of all parameters and buffers, each once."""
    tensors = {id(value): value for value in (*module.parameters(), *module.buffers())}
    return sum(value.numel() * value.element_size() for value in tensors.values())
