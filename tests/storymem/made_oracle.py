"""Oracle folders of any size, computed with `reference_dit`: for testing that `stbench verify` takes nothing for granted."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import reference_dit as reference
import torch
from published import FOLDER
from safetensors.torch import save_file

from stbench.oracle import OracleFolder, Setting
from storymem.denoise import flow_schedule
from storymem.verify.models import Models


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Everything that a hidden folder could choose otherwise."""

    seed: int = 11
    layers: int = 3
    heads: int = 3
    head_dim: int = 24
    text_dim: int = 24
    text_len: int = 20
    rank: int = 6
    alpha: float = 9.0
    stride: int = 7
    frames: int = 5
    height: int = 32
    width: int = 48
    steps: int = 2
    shift: float = 3.0
    guidance: list[float] = field(default_factory=lambda: [2.0, 4.0])
    boundary: float = 0.8

    def config(self, kind: str) -> dict[str, Any]:
        return {
            "patch_size": [1, 2, 2],
            "text_len": self.text_len,
            "dim": self.heads * self.head_dim,
            "ffn_dim": 80,
            "freq_dim": 64,
            "text_dim": self.text_dim,
            "in_dim": 36 if kind == "i2v" else 16,
            "out_dim": 16,
            "num_heads": self.heads,
            "num_layers": self.layers,
            "eps": 1e-6,
            "model_type": kind,
        }

    @property
    def lora(self) -> dict[str, Any]:
        return {"r": self.rank, "lora_alpha": self.alpha, "use_rslora": True, "target_modules": list(reference.LINEARS)}


def save(folder: Path, name: str, fact: Any, tensors: dict[str, torch.Tensor] | None) -> None:
    if fact is not None:
        (folder / f"{name}.json").write_text(json.dumps(fact))
    if tensors is not None:
        save_file(
            {key: value.float().contiguous() if value.is_floating_point() else value.contiguous() for key, value in tensors.items()},
            folder / f"{name}.safetensors",
        )


def prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{key}": value for key, value in tensors.items()}


def make_transformer(folder: Path, shape: Shape) -> None:
    """transformer_m2v.json, .safetensors and _lora.safetensors with 3 memory frames of 5 latent frames."""
    draw, memory, latent, config = torch.Generator().manual_seed(shape.seed), 3, 2, shape.config("i2v")
    state, lora = reference.random_weights(config, shape.seed), reference.random_lora(config, shape.rank, shape.seed + 1)
    x, y = torch.randn(16, memory + latent, 4, 8, generator=draw), torch.randn(20, memory + latent, 4, 8, generator=draw)
    text, other = torch.randn(7, shape.text_dim, generator=draw), torch.randn(19, shape.text_dim, generator=draw)
    both, plain = torch.cat([x, y]), list(range(memory + latent))
    strided = [-shape.stride * back for back in (3, 2, 1)] + [0, 1]
    out = {
        "out_t777": reference.velocity(state, config, both, 777, text, plain),
        "out_t50": reference.velocity(state, config, both, 50, text, plain),
        "out_t50_ctx2": reference.velocity(state, config, both, 50, other, plain),
        f"rope_neg_stride{shape.stride}": reference.velocity(state, config, both, 777, text, strided),
        "rope_neg_offset4": reference.velocity(state, config, both, 777, text, [-6, -5, -4, 0, 1]),
    }
    told = {key.removeprefix("rope_"): float((value - out["out_t777"]).abs().max()) for key, value in out.items() if key.startswith("rope")}
    fact = {"config": config, "lora": shape.lora, "memory_size": memory, "rope_max_abs_diff_vs_released": told}
    fact["lora_effective_scaling"] = f"alpha/sqrt(r)={shape.alpha / math.sqrt(shape.rank)}"
    save(folder, "transformer_m2v", fact, {**prefixed("sd", state), "x": x, "y": y, "context": text, "context2": other, **out})
    with_lora = reference.merged(state, lora, shape.alpha, shape.rank)
    adapted = {"out_lora_t321": reference.velocity(with_lora, config, both, 321, text, plain)}
    save(folder, "transformer_m2v_lora", None, {**prefixed("lora", lora), **adapted})


def make_generate(folder: Path, shape: Shape) -> None:
    """generate.json, generate_m2v, generate_paper.* and generate_t2v; the VAE is the one of tests/oracle, for the condition only."""
    for name in ("vae.json", "vae.safetensors"):
        (folder / name).write_bytes((FOLDER / name).read_bytes())
    draw, config = torch.Generator().manual_seed(shape.seed + 5), shape.config("i2v")
    sizes = {"in.mem0": (shape.height, shape.width), "in.mem1": (50, 40), "in.first": (33, 47)}
    images = {key: torch.randint(0, 256, (*size, 3), generator=draw, dtype=torch.uint8) for key, size in sizes.items()}
    texts = {
        "in.context": torch.randn(9, shape.text_dim, generator=draw),
        "in.context_null": torch.randn(4, shape.text_dim, generator=draw),
    }
    weights = {name: reference.random_weights(config, shape.seed + at) for at, name in enumerate(("high", "low"))}
    loras = {name: reference.random_lora(config, shape.rank, shape.seed + 7 + at) for at, name in enumerate(("high", "low"))}
    models = {name: reference.merged(weights[name], loras[name], shape.alpha, shape.rank) for name in weights}
    run = {"steps": shape.steps, "shift": shape.shift, "guide_scale": shape.guidance, "boundary": shape.boundary}
    latent = (shape.frames - 1) // 4 + 1
    hw = (shape.height // 8, shape.width // 8)
    released, paper, tensors, paper_tensors = {}, {}, {}, {}
    for name, memory, known, variant in (
        ("m2v_some", 2, False, "r"),
        ("mi2v_intended", 1, True, "r"),
        ("m2v_long", 2, False, "p"),
        ("mi2v_short", 1, True, "p"),
    ):
        y = condition(shape, [images[f"in.mem{i}"] for i in range(memory)], images["in.first"] if known else None)
        positions = (
            list(range(memory + latent))
            if variant == "r"
            else [-shape.stride * back for back in range(memory, 0, -1)] + list(range(latent))
        )
        result = sample(shape, models, config, texts, y, positions, seed=shape.seed, boundary=shape.boundary)
        if variant == "r":
            released[name] = {**run, "n_memory": memory, "noise_shape": [16, memory + latent, *hw]}
            tensors[f"{name}.final_latent"] = result
        else:
            paper[name] = {**run, "n_memory": memory, "frame_num": shape.frames, "seed": shape.seed, "S": shape.stride}
            paper_tensors[f"{name}.final_latent"] = result
    t2v_config = shape.config("t2v")
    t2v = {name: reference.random_weights(t2v_config, shape.seed + 20 + at) for at, name in enumerate(("high", "low"))}
    released["t2v_x"] = {**run, "guide_scale": 3, "boundary": 0.5, "n_memory": 0, "noise_shape": [16, latent, *hw]}
    plain = Shape(**{**shape.__dict__, "guidance": [3, 3]})
    final = sample(plain, t2v, t2v_config, texts, None, list(range(latent)), seed=shape.seed, boundary=0.5)
    fact = {
        "sample": {"max_area": shape.height * shape.width, "frame_num": shape.frames, "boundary": shape.boundary, "cpu_seed": shape.seed},
        "runs": released, "lora": shape.lora, "config_i2v": config, "config_t2v": t2v_config, "vae": "vae.safetensors",
    }  # fmt: skip
    parts = [prefixed(name, weights[name]) | prefixed(f"lora_{name}", loras[name]) for name in weights]
    save(folder, "generate", fact, None)
    save(folder, "generate_m2v", None, {**parts[0], **parts[1], **images, **texts, **tensors})
    save(folder, "generate_paper", paper, paper_tensors)
    save(
        folder, "generate_t2v", None, {**prefixed("high", t2v["high"]), **prefixed("low", t2v["low"]), **texts, "t2v_x.final_latent": final}
    )


def condition(shape: Shape, memory: list[torch.Tensor], first: torch.Tensor | None) -> torch.Tensor:
    """The 20 channels, put together by hand."""
    vae = Models(OracleFolder(FOLDER), Setting()).latents
    hw = (shape.height, shape.width)

    def fit(image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(
            image.permute(2, 0, 1)[None].float() / 127.5 - 1, size=hw, mode="bicubic", align_corners=False
        )

    video = torch.zeros(1, 3, shape.frames, *hw)
    if first is not None:
        video[:, :, 0] = fit(first)
    latents = torch.cat([*(vae.encode(fit(image)[:, :, None])[0] for image in memory), vae.encode(video)[0]], dim=1)
    mask = torch.zeros(4, *latents.shape[1:])
    mask[:, : len(memory) + (first is not None)] = 1
    return torch.cat([mask, latents])


def sample(
    shape: Shape, models: Any, config: Any, texts: Any, y: torch.Tensor | None, positions: list[int], *, seed: int, boundary: float
) -> torch.Tensor:
    """Classifier-free guidance with two experts, on the project's schedule (checked by itself against the published one)."""
    latent, hw = len(positions), (shape.height // 8, shape.width // 8)
    schedule = flow_schedule(shape.steps, shape.shift)
    x = torch.randn(16, latent, *hw, generator=torch.Generator().manual_seed(seed))
    for t in schedule.timesteps:
        name, scale = ("high", shape.guidance[1]) if t >= 1000 * boundary else ("low", shape.guidance[0])
        inputs = x if y is None else torch.cat([x, y])
        with_text, without = (
            reference.velocity(models[name], config, inputs, float(t), texts[key], positions) for key in ("in.context", "in.context_null")
        )
        x = schedule.step((without + scale * (with_text - without)).float()[None], t, x[None], return_dict=False)[0][0]
    return x
