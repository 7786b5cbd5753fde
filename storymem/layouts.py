"""Names of weights: the original Wan layout in terms of diffusers' and transformers' names, and back.

Two layouts of the same weights exist, the authors' and diffusers'. These functions only rename; a tensor is never changed.
A name that they do not know comes back as it is, so that whoever fills a model can say that it was left over. They work for
any number of layers, blocks and channels.
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


_BLOCK_BACK = {new: old for old, new in _BLOCK.items()}
_OUTSIDE_BACK = {new: old for old, new in _OUTSIDE.items()}


def to_diffusers(kind: str, name: str, *, res_blocks: int = 2) -> str:
    """Diffusers' (or transformers') name of an original weight.

    Args:
        kind: "transformer", "vae" or "text_encoder".
        name: Name in the original file.
        res_blocks: Residual blocks per stage of the VAE's encoder.

    Example:
        >>> to_diffusers("vae", "decoder.upsamples.3.resample.1.weight")
        'decoder.up_blocks.0.upsamplers.0.resample.1.weight'
        >>> to_diffusers("text_encoder", "blocks.0.ffn.gate.0.weight")
        'encoder.block.0.layer.1.DenseReluDense.wi_0.weight'
    """
    if kind == "transformer":
        return module_name(name)
    return _vae_name(name, res_blocks) if kind == "vae" else _t5_name(name)


def to_original(kind: str, name: str, *, res_blocks: int = 2) -> str:
    """The inverse of `to_diffusers`: the original name of a weight of diffusers' (or transformers') model.

    Example:
        >>> to_original("transformer", "blocks.3.norm2.bias")
        'blocks.3.norm3.bias'
        >>> to_original("vae", "decoder.up_blocks.0.upsamplers.0.resample.1.weight")
        'decoder.upsamples.3.resample.1.weight'
    """
    if kind == "transformer":
        return _renamed(name, _BLOCK_BACK, _OUTSIDE_BACK)
    return _vae_original(name, res_blocks) if kind == "vae" else _t5_original(name)


def module_name(original: str) -> str:
    """Diffusers' name of a transformer module or parameter; diffusers' own names come back unchanged.

    Example:
        >>> module_name("blocks.3.self_attn.o")
        'blocks.3.attn1.to_out.0'
        >>> module_name("head.modulation")
        'scale_shift_table'
    """
    return _renamed(original, _BLOCK, _OUTSIDE)


def _renamed(key: str, of_blocks: Mapping[str, str], outside: Mapping[str, str]) -> str:
    block = re.fullmatch(r"(blocks\.\d+)\.(.+)", key)
    prefix, rest, table = (block[1] + ".", block[2], of_blocks) if block else ("", key, outside)
    for name in (rest, rest.rpartition(".")[0]):
        if name in table:
            return prefix + table[name] + rest[len(name) :]
    return key


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
_RESIDUAL_BACK = {new: old for old, new in _RESIDUAL.items()}
_ENDS = {"conv1": "conv_in", "head.0": "norm_out", "head.2": "conv_out"}
_ENDS_BACK = {new: old for old, new in _ENDS.items()}
_AROUND = {"conv1": "quant_conv", "conv2": "post_quant_conv"}
_AROUND_BACK = {new: old for old, new in _AROUND.items()}


def _swap(key: str, table: Mapping[str, str]) -> str:
    """The key with the entry of `table` that it starts with replaced."""
    return next((new + key[len(old) :] for old, new in table.items() if key == old or key.startswith(old + ".")), key)


def _vae_name(key: str, res_blocks: int) -> str:
    half, _, rest = key.partition(".")
    if half not in ("encoder", "decoder"):
        return _swap(key, _AROUND)
    part = re.fullmatch(r"(middle|downsamples|upsamples)\.(\d+)\.(.+)", rest)
    if part is None:
        return f"{half}.{_swap(rest, _ENDS)}"
    number, inner = int(part[2]), _swap(part[3], _RESIDUAL)
    if part[1] == "middle":
        return f"{half}.mid_block." + (f"attentions.0.{inner}" if number == 1 else f"resnets.{number // 2}.{inner}")
    if part[1] == "downsamples":
        return f"{half}.down_blocks.{number}.{inner}"
    stage, place = divmod(number, res_blocks + 2)  # the decoder's stages have one more residual block, then an upsampler
    what = "upsamplers.0" if place == res_blocks + 1 else f"resnets.{place}"
    return f"{half}.up_blocks.{stage}.{what}.{inner}"


def _vae_original(key: str, res_blocks: int) -> str:
    half, _, rest = key.partition(".")
    if half not in ("encoder", "decoder"):
        return _swap(key, _AROUND_BACK)
    if part := re.fullmatch(r"mid_block\.(attentions|resnets)\.(\d+)\.(.+)", rest):
        number = 1 if part[1] == "attentions" else 2 * int(part[2])
        return f"{half}.middle.{number}.{_swap(part[3], _RESIDUAL_BACK)}"
    if part := re.fullmatch(r"down_blocks\.(\d+)\.(.+)", rest):
        return f"{half}.downsamples.{part[1]}.{_swap(part[2], _RESIDUAL_BACK)}"
    if part := re.fullmatch(r"up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)\.(.+)", rest):
        place = int(part[3]) if part[2] == "resnets" else res_blocks + 1
        return f"{half}.upsamples.{int(part[1]) * (res_blocks + 2) + place}.{_swap(part[4], _RESIDUAL_BACK)}"
    return f"{half}.{_swap(rest, _ENDS_BACK)}"


def vae_from_original(state: Mapping[str, torch.Tensor], *, num_res_blocks: int = 2) -> State:
    """Original Wan2.1 VAE weights under `AutoencoderKLWan`'s names (its decoder has `num_res_blocks` + 1 per stage)."""
    return {_vae_name(key, num_res_blocks): value for key, value in state.items()}


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
_T5_BACK = {new: old for old, new in _T5.items()}
_T5_OUTSIDE = {"token_embedding.weight": "shared.weight", "norm.weight": "encoder.final_layer_norm.weight"}
_T5_OUTSIDE_BACK = {new: old for old, new in _T5_OUTSIDE.items()} | {"encoder.embed_tokens.weight": "token_embedding.weight"}


def _t5_name(key: str) -> str:
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)\.weight", key)
    if block and block[2] in _T5:
        return f"encoder.block.{block[1]}.{_T5[block[2]]}.weight"
    return _T5_OUTSIDE.get(key, key)


def _t5_original(key: str) -> str:
    block = re.fullmatch(r"encoder\.block\.(\d+)\.(.+)\.weight", key)
    if block and block[2] in _T5_BACK:
        return f"blocks.{block[1]}.{_T5_BACK[block[2]]}.weight"
    return _T5_OUTSIDE_BACK.get(key, key)


def text_encoder_from_original(state: Mapping[str, torch.Tensor]) -> State:
    """Original umT5 encoder weights under `UMT5EncoderModel`'s names, the tied embedding under both of its names."""
    renamed = {_t5_name(key): value for key, value in state.items()}
    if "shared.weight" in renamed:
        renamed["encoder.embed_tokens.weight"] = renamed["shared.weight"]
    return renamed
