"""Checkpoints → the embedded model: fp16 safetensors in diffusers' layout, a profile and a model card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from stbench.world.spec import FPS, FRAMES, HEIGHT, WIDTH
from storymem.layouts import LINEARS
from storymem.lora import ADAPTER
from storymem.training.base import TEXT_LENGTH, WorldBase

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

PROFILE: dict[str, Any] = {
    "name": "world",
    "licence": "Apache-2.0",
    "about": "Story World: a small Wan trained in this project on procedural cartoons",
    "width": WIDTH,
    "height": HEIGHT,
    "frames": FRAMES,
    "fps": FPS,
    "steps": 12,
    "shift": 5.0,
    "guidance": 2.0,
    "boundary": None,
    "batch_guidance": True,
    "text_length": TEXT_LENGTH,
    "threads": 1,
    "memory_size": 6,
    "memory_sink": 3,
    "keyframes_max": 1,
    "keyframe_encoder": "world-dino",
    "quality": "contrast",
    "quality_threshold": 3.0,
}


def save_vae(vae: AutoencoderKLWan, folder: Path) -> None:
    """The VAE with its measured latent statistics, as fp16."""
    vae.half().save_pretrained(folder / "vae")
    vae.float()
    path = folder / "vae" / "config.json"
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)  # where it was loaded from is nobody's business
    path.write_text(json.dumps(config, indent=2) + "\n")


def save_base(model: WorldBase, folder: Path) -> None:
    """Transformer, text encoder and tokenizer as fp16, with the scheduler's and the pipeline's config."""
    from diffusers import UniPCMultistepScheduler

    model.half()
    model.transformer.save_pretrained(folder / "transformer")
    model.text_encoder.save_pretrained(folder / "text_encoder")
    model.float()
    model.tokenizer.save_pretrained(folder / "tokenizer")
    UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=PROFILE["shift"]).save_pretrained(
        folder / "scheduler"
    )
    index = {
        "_class_name": "WanImageToVideoPipeline",
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLWan"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=1) + "\n")
    (folder / "profile.json").write_text(json.dumps(PROFILE, indent=1) + "\n")


def save_memory(model: WorldBase, folder: Path) -> None:
    """The memory adapter in peft's layout."""
    from peft import get_peft_model_state_dict

    target = folder / "memory_lora"
    target.mkdir(parents=True, exist_ok=True)
    state = get_peft_model_state_dict(model.transformer, adapter_name=ADAPTER)
    named = {f"base_model.model.{key.removeprefix('base_model.model.')}": v.detach().half().contiguous() for key, v in state.items()}
    save_file(named, target / "adapter_model.safetensors")
    config = model.transformer.peft_config[ADAPTER]
    facts = {"peft_type": "LORA", "r": config.r, "lora_alpha": config.lora_alpha, "use_rslora": True, "lora_dropout": 0.0, "bias": "none"}
    (target / "adapter_config.json").write_text(json.dumps(facts | {"target_modules": sorted(LINEARS.values())}, indent=1) + "\n")


def weight_table(folder: Path) -> str:
    """Markdown rows: file, size, parameters, sha256."""
    from safetensors import safe_open

    rows = ["| file | MB | parameters | sha256 |", "|---|---|---|---|"]
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, "pt") as weights:
            count = sum(torch.Size(weights.get_slice(key).get_shape()).numel() for key in weights.keys())  # noqa: SIM118
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(f"| {path.relative_to(folder)} | {path.stat().st_size / 1e6:.2f} | {count:,} | `{digest}` |")
    return "\n".join(rows) + "\n"
