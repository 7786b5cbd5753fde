"""A complete model folder with tiny random weights, in the layout of the embedded one: runs the whole method in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

WORDS = ["a", "red", "blue", "cat", "dog", "fox", "in", "the", "park", "on", "snow", "runs", "sits", ".", ",", "wide", "close", "of"]
PROFILE: dict[str, Any] = {
    "name": "tiny",
    "licence": "none",
    "width": 32,
    "height": 16,
    "frames": 9,
    "fps": 8,
    "steps": 2,
    "shift": 4.0,
    "shift_t2v": 8.0,
    "guidance": 2.0,
    "text_length": 8,
    "boundary": None,
    "batch_guidance": True,
    "keyframe_encoder": "world-dino",
    "quality": "contrast",
}


class Ratings:
    """An aesthetic encoder for tests: the brighter the better, 0 to 1."""

    @classmethod
    def digest(cls) -> str:
        return "ratings-1"

    @classmethod
    def load(cls, device: str) -> Ratings:
        return cls()

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        return frames.mean(axis=(1, 2, 3), dtype=np.float64).astype(np.float32)[:, None] / 255


class Thumbnail:
    """A frame encoder for tests: the frame's mean colours in a grid, as a unit vector."""

    id = "thumbnail"

    @classmethod
    def load(cls, device: str) -> Thumbnail:
        return cls()

    @classmethod
    def digest(cls) -> str:
        return "thumbnail-1"

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        rows, columns = np.arange(4) * frames.shape[1] // 4, np.arange(8) * frames.shape[2] // 8
        grid = frames[:, rows][:, :, columns].reshape(len(frames), -1).astype(np.float32) - 128
        return grid / np.maximum(np.linalg.norm(grid, axis=1, keepdims=True), 1e-6)


def make_tiny_model(folder: Path, **changes: Any) -> Path:
    """Write the model to `folder` (profile fields may be changed) and return it."""
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    transformer = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=36, out_channels=16, text_dim=16, freq_dim=16, ffn_dim=32, num_layers=2
    )
    transformer.save_pretrained(folder / "transformer")
    AutoencoderKLWan(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
    ).save_pretrained(folder / "vae")
    config = UMT5Config(vocab_size=len(WORDS) + 3, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    UMT5EncoderModel(config).save_pretrained(folder / "text_encoder")
    _tokenizer(folder / "tokenizer")
    UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True).save_pretrained(folder / "scheduler")
    _lora(transformer, folder / "memory_lora")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "WanImageToVideoPipeline"}))
    (folder / "profile.json").write_text(json.dumps(PROFILE | changes))
    return folder


def _tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[EOS]", *WORDS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]", eos_token="[EOS]").save_pretrained(folder)


def _lora(transformer: Any, folder: Path) -> None:
    from peft import LoraConfig, get_peft_model

    targets = ["attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ffn.net.2"]
    wrapped = get_peft_model(transformer, LoraConfig(r=2, lora_alpha=4, use_rslora=True, target_modules=targets))
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    wrapped.save_pretrained(folder)
