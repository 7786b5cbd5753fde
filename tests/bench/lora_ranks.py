"""The embedded model with its memory adapter cut to a lower rank: the best low-rank part of each trained update.

No training is involved, so a low rank here is a lower bound of what an adapter trained at that rank could do.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def cut_pair(down: torch.Tensor, up: torch.Tensor, scale: float, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(r, in) and (out, r) factors → (rank, in) and (out, rank) whose product is the closest of that rank to `scale` · up · down."""
    u, s, vt = torch.linalg.svd(scale * up.double() @ down.double(), full_matrices=False)
    root = s[:rank].sqrt()
    return (root[:, None] * vt[:rank]).float(), (u[:, :rank] * root).float()


def write_cut(model: Path, rank: int, out: Path) -> Path:
    """Copy the model folder to `out` with an adapter of `rank`, in fp16 and with scale 1."""
    shutil.copytree(model, out, dirs_exist_ok=True)
    folder = out / "memory_lora"
    config = json.loads((folder / "adapter_config.json").read_text())
    scale = config["lora_alpha"] / config["r"] ** 0.5  # rsLoRA
    weights = load_file(folder / "adapter_model.safetensors")
    cut = {}
    for key in (k for k in weights if ".lora_A." in k):
        partner = key.replace(".lora_A.", ".lora_B.")
        down, up = cut_pair(weights[key], weights[partner], scale, rank)
        cut |= {key: down.half().contiguous(), partner: up.half().contiguous()}
    save_file(cut, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config | {"r": rank, "lora_alpha": rank**0.5}, indent=1) + "\n")
    return out
