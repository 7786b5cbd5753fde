"""Configs of models in the original layout, from their `config.json` and from the shapes of their weights.

The authors' transformer has a `config.json`; their VAE and text encoder are bare files of weights, so every size is read
off the tensors. What shapes cannot tell is stated here with its source: 128 channels per head (Wan's models of all sizes),
the VAE's latent mean and deviation (`AutoencoderKLWan`'s defaults, which are Wan2.1's), umT5's distance of 128.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stbench.errors import UserError
from storymem.layouts import transformer_config

Shapes = Mapping[str, tuple[int, ...]]
HEAD_DIM = 128


def transformer(stated: Mapping[str, Any], shapes: Shapes, where: str) -> dict[str, Any]:
    """Arguments of `WanTransformer3DModel`: sizes from shapes, the number of heads and eps from `config.json`.

    Raises:
        UserError: A size that `config.json` states and the weights do not have; sizes that cannot be told.
    """
    patch = _shape(shapes, "patch_embedding.weight", 5, where)
    dim, text_dim = _shape(shapes, "text_embedding.0.weight", 2, where)
    layers = _count(shapes, r"blocks\.(\d+)\..+")
    guessed: dict[str, Any] = {
        "patch_size": patch[2:],
        "dim": dim,
        "in_dim": patch[1],
        "out_dim": _shape(shapes, "head.head.weight", 2, where)[0] // (patch[2] * patch[3] * patch[4]),
        "text_dim": text_dim,
        "freq_dim": _shape(shapes, "time_embedding.0.weight", 2, where)[1],
        "ffn_dim": _shape(shapes, "blocks.0.ffn.0.weight", 2, where)[0],
        "num_layers": layers,
        "cross_attn_norm": "blocks.0.norm3.weight" in shapes,
        "eps": 1e-6,
    }
    if "num_heads" not in stated:
        if dim % HEAD_DIM:
            raise UserError(f"no num_heads is stated and dim {dim} is no multiple of {HEAD_DIM}", where=where, expected="a config.json")
        guessed["num_heads"] = dim // HEAD_DIM
    for key in ("dim", "in_dim", "out_dim", "text_dim", "freq_dim", "ffn_dim", "num_layers"):
        if stated.get(key) not in (None, guessed[key]):
            raise UserError(f"the weights have {key} {guessed[key]}", where=where, expected=f"{stated[key]}, as config.json says")
    merged = guessed | {key: stated[key] for key in ("num_heads", "eps") if key in stated}
    heads = merged["num_heads"]
    if not isinstance(heads, int) or isinstance(heads, bool) or heads < 1 or merged["dim"] % heads:
        raise UserError(f"field 'num_heads' is {heads!r}", where=where, expected=f"a divisor of dim {merged['dim']}")
    return transformer_config(merged)


def vae(shapes: Shapes, where: str) -> dict[str, Any]:
    """Arguments of `AutoencoderKLWan` for the weights of a Wan2.1 VAE."""
    if any(re.match(r"encoder\.downsamples\.\d+\.downsamples\.", name) for name in shapes):
        raise UserError("these are the weights of Wan2.2's 5B VAE", where=where, expected="the VAE of Wan2.1, which the A14B models use")
    base = _shape(shapes, "encoder.conv1.weight", 5, where)[0]
    latent = _shape(shapes, "conv2.weight", 5, where)[0]
    widths: list[int] = []
    temporal: list[bool] = []
    blocks = 0
    for number in range(_count(shapes, r"encoder\.downsamples\.(\d+)\..+")):
        name = f"encoder.downsamples.{number}"
        if f"{name}.resample.1.weight" in shapes:
            temporal.append(f"{name}.time_conv.weight" in shapes)
            continue
        blocks += 1
        if len(widths) == len(temporal):
            widths.append(_shape(shapes, f"{name}.residual.2.weight", 5, where)[0])
    if not widths or blocks % len(widths) or len(widths) != len(temporal) + 1 or any(width % base for width in widths):
        raise UserError(f"{blocks} residual blocks in stages of {widths} channels", where=where, expected="stages of a Wan2.1 VAE")
    return {
        "base_dim": base,
        "z_dim": latent,
        "dim_mult": [width // base for width in widths],
        "num_res_blocks": blocks // len(widths),
        "temperal_downsample": temporal,
    }


def text_encoder(shapes: Shapes, where: str) -> dict[str, Any]:
    """Arguments of `UMT5Config` for the weights of Wan's umT5 encoder."""
    vocabulary, width = _shape(shapes, "token_embedding.weight", 2, where)
    buckets, heads = _shape(shapes, "blocks.0.pos_embedding.embedding.weight", 2, where)
    inner = _shape(shapes, "blocks.0.attn.q.weight", 2, where)[0]
    if inner % heads:
        raise UserError(f"blocks.0.attn.q.weight has {inner} rows for {heads} heads", where=where, expected="a multiple")
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": inner // heads,
        "d_ff": _shape(shapes, "blocks.0.ffn.gate.0.weight", 2, where)[0],
        "num_layers": _count(shapes, r"blocks\.(\d+)\..+"),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
    }


def _shape(shapes: Shapes, name: str, dimensions: int, where: str) -> tuple[int, ...]:
    found = shapes.get(name)
    if found is None:
        raise UserError(f"{name} is missing, so the sizes of the model are unknown", where=where, expected="weights in the original layout")
    if len(found) != dimensions or not all(found):
        raise UserError(f"{name} has shape {found}", where=where, expected=f"{dimensions} dimensions")
    return found


def _count(shapes: Shapes, pattern: str) -> int:
    return len({match[1] for name in shapes if (match := re.fullmatch(pattern, name))})
