"""SDXL, FLUX.1 and a storyboard adapter with tiny random weights, in diffusers' layout: every component that the real ones have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

SMALL = {"keyframes.steps": "2", "keyframes.width": "64", "keyframes.height": "32", "keyframes.dtype": "float32"}
ADAPTED = ("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0")  # of FLUX's double blocks; single blocks have no to_out


def make_tiny_sdxl(folder: Path, *, half: bool = False) -> Path:
    """Write a tiny SDXL; with `half` as `*.fp16.safetensors`, as the published half-precision files are named."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=6 * 4 + 16,
        cross_attention_dim=32,
        norm_num_groups=4,
    )
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
    pipeline = StableDiffusionXLPipeline(
        unet=unet,
        vae=_vae(4),
        text_encoder=CLIPTextModel(_clip()),
        text_encoder_2=CLIPTextModelWithProjection(_clip()),
        tokenizer=_clip_tokenizer(folder / "tokenizer"),
        tokenizer_2=_clip_tokenizer(folder / "tokenizer_2"),
        scheduler=scheduler,
        add_watermarker=False,
    )
    (pipeline.to(torch.float16) if half else pipeline).save_pretrained(folder, variant="fp16" if half else None)
    return folder


def make_tiny_flux(folder: Path) -> Path:
    """Write a tiny FLUX.1-dev (one double and one single block, guidance embedded)."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel, T5Config, T5EncoderModel

    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        axes_dims_rope=[4, 4, 8],
        guidance_embeds=True,
    )
    t5 = T5EncoderModel(T5Config(vocab_size=130, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"))
    FluxPipeline(
        transformer=transformer,
        vae=_vae(4, shift=0.1),
        text_encoder=CLIPTextModel(_clip()),
        text_encoder_2=t5,
        tokenizer=_clip_tokenizer(folder / "tokenizer"),
        tokenizer_2=_letters_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
    ).save_pretrained(folder)
    return folder


def make_tiny_adapter(path: Path, flux: Path, *, rank: int = 2) -> Path:
    """Write a storyboard adapter for it, named as the published one: `transformer.….lora_A.weight`."""
    from diffusers import FluxTransformer2DModel

    generator = torch.Generator().manual_seed(1)
    transformer = FluxTransformer2DModel.from_pretrained(flux / "transformer")
    state = {}
    for name, module in transformer.named_modules():
        if isinstance(module, torch.nn.Linear) and name.endswith(ADAPTED):
            state[f"transformer.{name}.lora_A.weight"] = torch.randn(rank, module.in_features, generator=generator)
            state[f"transformer.{name}.lora_B.weight"] = torch.randn(module.out_features, rank, generator=generator) * 0.3
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    return path


def _vae(latent: int, shift: float | None = None) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(4, 4, 4, 8),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=latent,
        norm_num_groups=2,
        layers_per_block=1,
        scaling_factor=0.13025,
        shift_factor=shift,
    )


def _clip() -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        hidden_size=16,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=2,
        vocab_size=len(_clip_vocabulary()),
        projection_dim=16,
        bos_token_id=len(_clip_vocabulary()) - 2,
        eos_token_id=len(_clip_vocabulary()) - 1,
    )


def _clip_vocabulary() -> dict[str, int]:
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return {word: index for index, word in enumerate(words)}


def _clip_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(_clip_vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    end = "<|endoftext|>"
    config = {"bos_token": "<|startoftext|>", "eos_token": end, "unk_token": end, "pad_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **config}))
    return AutoTokenizer.from_pretrained(folder)


def _letters_tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["<pad>", "</s>", "<unk>", *(chr(code) for code in range(32, 127))])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    plain.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512)
