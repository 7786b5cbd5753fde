"""An independent Wan transformer in float64: a plain function of original weight names, from the architecture's description.

It shares no code with the project or with diffusers. LoRA is merged into the weights, positions are explicit. Slow and small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

LINEARS = (
    "self_attn.q",
    "self_attn.k",
    "self_attn.v",
    "self_attn.o",
    "cross_attn.q",
    "cross_attn.k",
    "cross_attn.v",
    "cross_attn.o",
    "ffn.0",
    "ffn.2",
)
State = dict[str, torch.Tensor]


def random_weights(config: dict[str, Any], seed: int) -> State:
    """Weights of every original name, none zero."""
    draw = torch.Generator().manual_seed(seed)
    dim, ffn, text, freq = config["dim"], config["ffn_dim"], config["text_dim"], config["freq_dim"]
    state: State = {}

    def linear(name: str, out: int, *into: int) -> None:
        state[f"{name}.weight"] = torch.randn(out, *into, generator=draw) / math.sqrt(math.prod(into))
        state[f"{name}.bias"] = 0.1 * torch.randn(out, generator=draw)

    def vector(name: str, *shape: int, around: float) -> None:
        state[name] = around + 0.1 * torch.randn(*shape, generator=draw)

    patch = config["patch_size"]
    linear("patch_embedding", dim, config["in_dim"], *patch)
    linear("text_embedding.0", dim, text)
    linear("text_embedding.2", dim, dim)
    linear("time_embedding.0", dim, freq)
    linear("time_embedding.2", dim, dim)
    linear("time_projection.1", 6 * dim, dim)
    linear("head.head", config["out_dim"] * math.prod(patch), dim)
    vector("head.modulation", 1, 2, dim, around=0.0)
    for number in range(config["num_layers"]):
        block = f"blocks.{number}"
        for name in LINEARS[:8]:
            linear(f"{block}.{name}", dim, dim)
        linear(f"{block}.ffn.0", ffn, dim)
        linear(f"{block}.ffn.2", dim, ffn)
        for name in ("self_attn.norm_q", "self_attn.norm_k", "cross_attn.norm_q", "cross_attn.norm_k", "norm3"):
            vector(f"{block}.{name}.weight", dim, around=1.0)
        vector(f"{block}.norm3.bias", dim, around=0.0)
        vector(f"{block}.modulation", 1, 6, dim, around=0.0)
    return state


def random_lora(config: dict[str, Any], rank: int, seed: int) -> State:
    """A and B of every linear layer of every block, under peft's names."""
    draw, state = torch.Generator().manual_seed(seed), {}
    for number in range(config["num_layers"]):
        for name in LINEARS:
            wide, narrow = config["dim"], config["ffn_dim"]
            into, out = (wide, narrow) if name == "ffn.0" else (narrow, wide) if name == "ffn.2" else (wide, wide)
            prefix = f"base_model.model.blocks.{number}.{name}"
            state[f"{prefix}.lora_A.weight"] = torch.randn(rank, into, generator=draw) / math.sqrt(into)
            state[f"{prefix}.lora_B.weight"] = 0.3 * torch.randn(out, rank, generator=draw) / math.sqrt(rank)
    return state


def merged(state: State, lora: State, alpha: float, rank: int) -> State:
    """Weights with rank-stabilised LoRA added: W + alpha / sqrt(r) B A."""
    out = dict(state)
    for key in lora:
        if key.endswith(".lora_A.weight"):
            name = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            update = lora[key.replace("lora_A", "lora_B")].double() @ lora[key].double()
            out[f"{name}.weight"] = out[f"{name}.weight"].double() + alpha / math.sqrt(rank) * update
    return out


def velocity(
    state: State, config: dict[str, Any], latents: torch.Tensor, timestep: float, text: torch.Tensor, positions: Sequence[float]
) -> torch.Tensor:
    """(C, T, h, w), text (l, D) unpadded → (16, T, h, w) float64."""
    w = {key: value.double() for key, value in state.items()}
    heads, patch, dim = config["num_heads"], config["patch_size"], config["dim"]

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x = F.conv3d(latents.double()[None], w["patch_embedding.weight"], w["patch_embedding.bias"], stride=tuple(patch))
    grid = x.shape[2:]
    x = x[0].flatten(1).T
    padded = torch.cat([text.double(), torch.zeros(config["text_len"] - len(text), config["text_dim"], dtype=torch.float64)])
    context = linear("text_embedding.2", F.gelu(linear("text_embedding.0", padded), approximate="tanh"))
    half = config["freq_dim"] // 2
    angle = timestep * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
    time = linear("time_embedding.2", F.silu(linear("time_embedding.0", torch.cat([angle.cos(), angle.sin()]))))
    e0 = linear("time_projection.1", F.silu(time)).reshape(6, dim)
    turns = rotations(dim // heads, grid, positions)
    for number in range(config["num_layers"]):
        b = f"blocks.{number}"
        e = w[f"{b}.modulation"][0] + e0
        y = norm(x) * (1 + e[1]) + e[0]
        q, k = (rms(linear(f"{b}.self_attn.{n}", y), w[f"{b}.self_attn.norm_{n}.weight"]) for n in "qk")
        y = attend(turn(q, turns, heads), turn(k, turns, heads), linear(f"{b}.self_attn.v", y), heads)
        x = x + linear(f"{b}.self_attn.o", y) * e[2]
        y = norm(x) * w[f"{b}.norm3.weight"] + w[f"{b}.norm3.bias"]
        q = rms(linear(f"{b}.cross_attn.q", y), w[f"{b}.cross_attn.norm_q.weight"])
        k = rms(linear(f"{b}.cross_attn.k", context), w[f"{b}.cross_attn.norm_k.weight"])
        x = x + linear(f"{b}.cross_attn.o", attend(q, k, linear(f"{b}.cross_attn.v", context), heads))
        y = norm(x) * (1 + e[4]) + e[3]
        x = x + linear(f"{b}.ffn.2", F.gelu(linear(f"{b}.ffn.0", y), approximate="tanh")) * e[5]
    e = w["head.modulation"][0] + time
    x = linear("head.head", norm(x) * (1 + e[1]) + e[0])
    x = x.reshape(*grid, *patch, config["out_dim"]).permute(6, 0, 3, 1, 4, 2, 5)
    return x.reshape(config["out_dim"], *(g * p for g, p in zip(grid, patch, strict=True)))


def norm(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-6).sqrt()


def rms(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def rotations(head: int, grid: Sequence[int], positions: Sequence[float]) -> torch.Tensor:
    """Unit complex numbers (T h w, head / 2): time, then height, then width."""
    side = 2 * (head // 6)
    parts = []
    for axis, width, places in zip(range(3), (head - 2 * side, side, side), (positions, range(grid[1]), range(grid[2])), strict=True):
        rate = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        angle = torch.tensor(list(places), dtype=torch.float64)[:, None] * rate
        shape = [1, 1, 1, width // 2]
        shape[axis] = grid[axis]
        parts.append(angle.reshape(shape).expand(*grid, -1))
    angles = torch.cat(parts, -1).reshape(-1, head // 2)
    return torch.polar(torch.ones_like(angles), angles)


def turn(x: torch.Tensor, turns: torch.Tensor, heads: int) -> torch.Tensor:
    pairs = torch.view_as_complex(x.reshape(len(x), heads, -1, 2).contiguous())
    return torch.view_as_real(pairs * turns[:, None]).reshape(len(x), -1)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    q, k, v = (y.reshape(len(y), heads, -1).transpose(0, 1) for y in (q, k, v))
    weights = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])).softmax(-1)
    return (weights @ v).transpose(0, 1).reshape(q.shape[1], -1)
