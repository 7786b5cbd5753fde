"""Names of weights: the original Wan layout in terms of diffusers' and transformers' names.

Two layouts of the same weights exist, the authors' and diffusers'. These functions only rename (and complain about names
that they do not know); a tensor is never changed. They work for any number of layers, blocks and channels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

State = dict[str, torch.Tensor]

LINEARS = {  # linear layers of a DiT block, original → diffusers; the ones a memory LoRA touches
    "self_attn.q": "attn1.to_q",
    "self_attn.k": "attn1.to_k",
    "self_attn.v": "attn1.to_v",
    "self_attn.o": "attn1.to_out.0",
    "cross_attn.q": "attn2.to_q",
    "cross_attn.k": "attn2.to_k",
    "cross_attn.v": "attn2.to_v",
    "cross_attn.o": "attn2.to_out.0",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
}
_BLOCK = {
    **LINEARS,
    "self_attn.norm_q": "attn1.norm_q",
    "self_attn.norm_k": "attn1.norm_k",
    "cross_attn.norm_q": "attn2.norm_q",
    "cross_attn.norm_k": "attn2.norm_k",
    "norm3": "norm2",  # the two libraries number the norms differently
    "modulation": "scale_shift_table",
}
_OUTSIDE = {
    "patch_embedding": "patch_embedding",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.head": "proj_out",
    "head.modulation": "scale_shift_table",
}


def module_name(original: str) -> str:
    """Diffusers' name of a transformer module or parameter; diffusers' own names come back unchanged.

    Example:
        >>> module_name("blocks.3.self_attn.o")
        'blocks.3.attn1.to_out.0'
        >>> module_name("head.modulation")
        'scale_shift_table'
    """
    block = re.fullmatch(r"(blocks\.\d+)\.(.+)", original)
    prefix, rest, table = (block[1] + ".", block[2], _BLOCK) if block else ("", original, _OUTSIDE)
    for name in (rest, rest.rpartition(".")[0]):
        if name in table:
            return prefix + table[name] + rest[len(name) :]
    return original


def transformer_from_original(state: Mapping[str, torch.Tensor]) -> State:
    """Original DiT weights under diffusers' names."""
    return {module_name(key): value for key, value in state.items()}


def transformer_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `WanTransformer3DModel` for an original `config.json` (other keys are ignored)."""
    heads = original["num_heads"]
    return {
        "patch_size": tuple(original.get("patch_size", (1, 2, 2))),
        "num_attention_heads": heads,
        "attention_head_dim": original["dim"] // heads,
        "in_channels": original["in_dim"],
        "out_channels": original["out_dim"],
        "text_dim": original.get("text_dim", 4096),
        "freq_dim": original["freq_dim"],
        "ffn_dim": original["ffn_dim"],
        "num_layers": original["num_layers"],
        "cross_attn_norm": original.get("cross_attn_norm", True),
        "qk_norm": "rms_norm_across_heads",
        "eps": original["eps"],
    }


_RESIDUAL = {
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}


def _residual(rest: str) -> str:
    for old, new in _RESIDUAL.items():
        rest = rest.replace(old, new)
    return rest


def _vae_half(key: str, blocks_per_stage: int) -> str:
    """One encoder or decoder weight; `key` without the "encoder." or "decoder." in front."""
    part, _, rest = key.partition(".")
    if part == "conv1":
        return f"conv_in.{rest}"
    if part == "head":
        return {"0": "norm_out", "2": "conv_out"}[rest[0]] + rest[1:]
    number, _, rest = rest.partition(".")
    if part == "middle":
        return f"mid_block.attentions.0.{rest}" if number == "1" else f"mid_block.resnets.{int(number) // 2}.{_residual(rest)}"
    if part == "downsamples":
        return f"down_blocks.{number}.{_residual(rest)}"
    if part == "upsamples":
        stage, place = divmod(int(number), blocks_per_stage + 1)  # the residual blocks of a stage, then its upsampler
        what = "upsamplers.0" if place == blocks_per_stage else f"resnets.{place}"
        return f"up_blocks.{stage}.{what}.{_residual(rest)}"
    return key


def vae_from_original(state: Mapping[str, torch.Tensor], *, num_res_blocks: int = 2) -> State:
    """Original Wan2.1 VAE weights under `AutoencoderKLWan`'s names (its decoder has `num_res_blocks` + 1 per stage)."""
    renamed: State = {}
    for key, value in state.items():
        half, _, rest = key.partition(".")
        if half in ("encoder", "decoder"):
            renamed[f"{half}.{_vae_half(rest, num_res_blocks + 1)}"] = value
        else:
            renamed[key.replace("conv1", "quant_conv").replace("conv2", "post_quant_conv")] = value
    return renamed


_T5 = {
    "norm1": "layer.0.layer_norm",
    "attn.q": "layer.0.SelfAttention.q",
    "attn.k": "layer.0.SelfAttention.k",
    "attn.v": "layer.0.SelfAttention.v",
    "attn.o": "layer.0.SelfAttention.o",
    "pos_embedding.embedding": "layer.0.SelfAttention.relative_attention_bias",
    "norm2": "layer.1.layer_norm",
    "ffn.gate.0": "layer.1.DenseReluDense.wi_0",
    "ffn.fc1": "layer.1.DenseReluDense.wi_1",
    "ffn.fc2": "layer.1.DenseReluDense.wo",
}


def text_encoder_from_original(state: Mapping[str, torch.Tensor]) -> State:
    """Original umT5 encoder weights under `UMT5EncoderModel`'s names."""
    renamed: State = {}
    for key, value in state.items():
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)\.weight", key)
        if block and block[2] in _T5:
            renamed[f"encoder.block.{block[1]}.{_T5[block[2]]}.weight"] = value
        elif key == "token_embedding.weight":
            renamed["shared.weight"] = renamed["encoder.embed_tokens.weight"] = value
        elif key == "norm.weight":
            renamed["encoder.final_layer_norm.weight"] = value
        else:
            renamed[key] = value
    return renamed
