"""A tiny Wan2.2 A14B with StoryMem's adapters: two bases of two experts, in diffusers' layout and in the authors' own.

The same random numbers in both, so whatever is filmed must be equal frame by frame.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny import PROFILE, WORDS, _tokenizer

from storymem.layouts import LINEARS, to_original

State = dict[str, torch.Tensor]
HEADS, HEAD_DIM, TEXT = 2, 12, 16
RES_BLOCKS = 1
EXPERTS = ("transformer", "transformer_2")
ORIGINAL_FOLDERS = dict(zip(EXPERTS, ("high_noise_model", "low_noise_model"), strict=True))
SCRIPT: dict[str, Any] = {
    "story_name": "Walk",
    "story_overview": "a cat and a dog",
    "scenes": [
        {
            "scene_num": 1,
            "video_prompts": ["a cat sits in the park", "a dog runs on snow"],
            "first_frame_prompt": ["a cat", "a dog"],
            "cut": [True, True],
        }
    ],
}


class TinyWan:
    """The components, built once; write them with `diffusers` or `original`.

    Args:
        layers: Blocks of each transformer.
        rank: Of the adapters.
        bf16: Round transformers and text encoder to bfloat16 and store them so.
    """

    def __init__(self, *, layers: int = 2, rank: int = 2, bf16: bool = False):
        from diffusers import AutoencoderKLWan, WanTransformer3DModel
        from transformers import UMT5Config, UMT5EncoderModel

        torch.manual_seed(0)
        self.layers, self.rank = layers, rank
        stored = torch.bfloat16 if bf16 else torch.float32

        def transformer(channels: int) -> Any:
            return WanTransformer3DModel(
                num_attention_heads=HEADS,
                attention_head_dim=HEAD_DIM,
                in_channels=channels,
                out_channels=16,
                text_dim=TEXT,
                freq_dim=16,
                ffn_dim=32,
                num_layers=layers,
            ).to(stored)

        self.bases = {base: {role: transformer(channels) for role in EXPERTS} for base, channels in (("t2v", 16), ("i2v", 36))}
        self.vae = AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=RES_BLOCKS)
        self.text_encoder = UMT5EncoderModel(
            UMT5Config(vocab_size=len(WORDS) + 3, d_model=TEXT, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
        ).to(stored)
        self.adapters = {role: self._adapter() for role in EXPERTS}

    def _adapter(self) -> State:
        """An adapter under peft's naming of the original modules."""
        dim, ffn = HEADS * HEAD_DIM, 32
        sizes = dict.fromkeys(LINEARS, (dim, dim)) | {"ffn.0": (dim, ffn), "ffn.2": (ffn, dim)}
        state: State = {}
        for layer in range(self.layers):
            for name, (width_in, width_out) in sizes.items():
                key = f"base_model.model.blocks.{layer}.{name}"
                state[f"{key}.lora_A.weight"] = torch.randn(self.rank, width_in)
                state[f"{key}.lora_B.weight"] = torch.randn(width_out, self.rank) * 0.1
        return state

    def diffusers(self, folder: Path, *, shard: bool = False) -> Path:
        """Write both bases in diffusers' layout, with a profile and safetensors adapters in peft folders."""
        for base, experts in self.bases.items():
            for role, model in experts.items():
                model.save_pretrained(folder / base / role, max_shard_size="20KB" if shard else "5GB")
            (folder / base / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
        self.vae.save_pretrained(folder / "t2v" / "vae")
        self.text_encoder.save_pretrained(folder / "t2v" / "text_encoder")
        _tokenizer(folder / "t2v" / "tokenizer")
        for name, state in zip(("backbone_high_noise", "backbone_low_noise"), self.adapters.values(), strict=True):
            (folder / "lora" / name).mkdir(parents=True)
            save_file(state, folder / "lora" / name / "adapter_model.safetensors")
            self._adapter_config(folder / "lora" / name)
        return self._profile(folder)

    def original(self, folder: Path, *, shards: int = 1, rename: Callable[[str], str] = str, suffix: str = ".pth") -> Path:
        """Write both bases in the authors' layout; adapters as bare files, keys renamed by `rename`."""
        for base, experts in self.bases.items():
            for role, model in experts.items():
                state = {to_original("transformer", name): value for name, value in model.state_dict().items()}
                self._original_expert(folder / base / ORIGINAL_FOLDERS[role], state, shards)
        vae = {to_original("vae", name, res_blocks=RES_BLOCKS): value for name, value in self.vae.state_dict().items()}
        torch.save(vae, folder / "t2v" / "Wan2.1_VAE.pth")
        text = {to_original("text_encoder", name): value for name, value in self.text_encoder.state_dict().items()}
        torch.save(text, folder / "t2v" / "models_t5_umt5-xxl-enc-bf16.pth")
        _tokenizer(folder / "t2v" / "google" / "umt5-xxl")
        (folder / "lora").mkdir()
        for name, state in zip(("backbone_high_noise", "backbone_low_noise"), self.adapters.values(), strict=True):
            renamed = {rename(key): value for key, value in state.items()}
            path = folder / "lora" / (name + suffix)
            save_file(renamed, path) if suffix == ".safetensors" else torch.save(renamed, path)
        self._adapter_config(folder / "lora")
        return self._profile(folder)

    def _original_expert(self, folder: Path, state: State, shards: int) -> None:
        folder.mkdir(parents=True)
        channels = state["patch_embedding.weight"].shape[1]
        config = {"_class_name": "WanModel", "dim": HEADS * HEAD_DIM, "eps": 1e-6, "ffn_dim": 32, "freq_dim": 16, "in_dim": channels}
        config |= {"model_type": "i2v" if channels == 36 else "t2v", "num_heads": HEADS, "num_layers": self.layers, "out_dim": 16}
        (folder / "config.json").write_text(json.dumps(config | {"text_len": 512}))
        stem = "diffusion_pytorch_model"
        if shards == 1:
            save_file({name: value.clone() for name, value in state.items()}, folder / f"{stem}.safetensors")
            return
        names = sorted(state)
        size = math.ceil(len(names) / shards)
        parts = {f"{stem}-{n + 1:05}-of-{shards:05}.safetensors": names[n * size : (n + 1) * size] for n in range(shards)}
        for file, part in parts.items():
            save_file({name: state[name].clone() for name in part}, folder / file)
        index = {"metadata": {}, "weight_map": {name: file for file, part in parts.items() for name in part}}
        (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))

    def _adapter_config(self, folder: Path) -> None:
        config = {"r": self.rank, "lora_alpha": 2 * self.rank, "use_rslora": True, "target_modules": ["self_attn.q", "ffn.0"]}
        (folder / "adapter_config.json").write_text(json.dumps(config))

    def _profile(self, folder: Path) -> Path:
        profile = PROFILE | {
            "name": "tiny-wan",
            "t2v": "t2v",
            "m2v": "i2v",
            "lora": ["lora/backbone_high_noise", "lora/backbone_low_noise"],
            "boundary": 0.9,
            "boundary_t2v": 0.875,
            "guidance": [2.0, 2.0],
            "steps": 2,
            "frames": 5,
            "keyframe_encoder": "thumbnail",
        }
        (folder / "profile.json").write_text(json.dumps(profile))
        return folder


def write_script(folder: Path) -> Path:
    """The two-shot script."""
    path = folder / "walk.json"
    path.write_text(json.dumps(SCRIPT))
    return path


def copy(model: Path, to: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(model, to))
