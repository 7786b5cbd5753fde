"""Tiny models from the files of an oracle, through the same name mapping and checks that load real ones.

Shapes: T latent frames, h, w latent size, L text tokens, D text channels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch

from stbench.errors import UserError
from stbench.oracle import OracleFolder, Setting
from storymem import checkpoints, layouts, lora
from storymem.attention import choose_backend, use_backend
from storymem.latents import Latents


class Models:
    """Builds models of one oracle folder and keeps those of the current part.

    Args:
        folder: The files.
        setting: Device, dtype of transformers and text encoder, attention backend.
    """

    def __init__(self, folder: OracleFolder, setting: Setting):
        self.folder, self.setting = folder, setting
        self.device = torch.device(setting.device)
        self.dtype: torch.dtype = getattr(torch, setting.dtype)
        self._kept: dict[tuple[str, ...], Any] = {}
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

    def keep(self, key: tuple[str, ...], make: Callable[[], Any]) -> Any:
        """`make()`, remembered under `key` until `forget`."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def forget(self) -> None:
        """Free the transformers of a part that is done."""
        self._kept.clear()

    def transformer(self, file: str, prefix: str, config: dict[str, Any], *, adapter: str | None = None, spec: Any = None) -> Any:
        """A transformer from original Wan weights `<prefix>.*`; with an adapter ("file:prefix") attached if given."""
        from diffusers import WanTransformer3DModel

        def make() -> Any:
            state = layouts.transformer_from_original(self.folder.tensors(file).part(prefix))
            model = self._filled(lambda: WanTransformer3DModel(**layouts.transformer_config(config)), state, f"{file}: {prefix}.*")
            if adapter is not None:
                of, _, name = adapter.rpartition(":")
                lora.attach(model, self.folder.tensors(of or file).part(name), lora_spec(spec), where=f"{of or file}: {name}.*")
            model.to(self.device).eval()
            self._choose_attention(model)
            return model

        return self.keep((file, prefix, adapter or ""), make)

    def _filled(self, build: Callable[[], Any], state: dict[str, torch.Tensor], where: str, dtype: torch.dtype | None = None) -> Any:
        from accelerate import init_empty_weights

        with init_empty_weights(include_buffers=False):
            model = build()
        checkpoints.fill(model, state, where, dtype=dtype or self.dtype)
        return model

    def _choose_attention(self, model: Any) -> None:
        if self.setting.attention is not None:
            use_backend(model, choose_backend(self.setting.attention, str(self.device), self.setting.dtype))

    @cached_property
    def vae_name(self) -> str:
        """The file that holds the VAE: what condition.json or generate.json say, else "vae"."""
        for name in ("condition", "generate"):
            try:
                fact = self.folder.json(name) if self.folder.has(f"{name}.json") else {}
            except UserError:  # a broken file is the miss of its own part
                continue
            said = re.match(r"([\w.-]+)\.safetensors", str(fact.get("vae", "")))
            if said:
                return said[1]
        return "vae"

    @property
    def has_vae(self) -> bool:
        """Whether there is a VAE to encode and decode with."""
        return self.folder.has(f"{self.vae_name}.json", f"{self.vae_name}.safetensors")

    @cached_property
    def latents(self) -> Latents:
        """The VAE, in float32 as in a real run."""
        from diffusers import AutoencoderKLWan

        if not self.has_vae:
            raise UserError("not in this folder", where=f"{self.vae_name}.safetensors")
        fact, blocks = self.folder.json(self.vae_name), self.folder.json(self.vae_name)["num_res_blocks"]
        settings = {key: fact[key] for key in ("z_dim", "dim_mult", "num_res_blocks", "temperal_downsample", "latents_mean", "latents_std")}
        state = layouts.vae_from_original(self.folder.tensors(self.vae_name).part("sd"), num_res_blocks=blocks)
        vae = self._filled(lambda: AutoencoderKLWan(base_dim=fact["dim"], **settings), state, f"{self.vae_name}: sd.*", torch.float32)
        return Latents(vae.to(self.device))

    def text_encoder(self) -> Any:
        """The umT5 encoder."""
        from transformers import UMT5Config, UMT5EncoderModel

        fact = self.folder.json("t5")["config"]
        config = UMT5Config(
            vocab_size=fact["vocab"],
            d_model=fact["dim"],
            d_kv=fact["dim_attn"] // fact["num_heads"],
            d_ff=fact["dim_ffn"],
            num_layers=fact["num_layers"],
            num_heads=fact["num_heads"],
            relative_attention_num_buckets=fact["num_buckets"],
        )
        state = layouts.text_encoder_from_original(self.folder.tensors("t5").part("sd"))
        return self._filled(lambda: UMT5EncoderModel(config), state, "t5: sd.*").to(self.device)


def lora_spec(fact: dict[str, Any]) -> lora.LoraSpec:
    """The spec in an oracle's JSON (peft's field names)."""
    return lora.LoraSpec(
        alpha=float(fact["lora_alpha"]),
        rank_stabilised=bool(fact.get("use_rslora", False)),
        rank=int(fact["r"]),
        targets=tuple(fact.get("target_modules", ())),
    )


def padded(context: torch.Tensor, length: int) -> torch.Tensor:
    """(l, D) → (L, D): zeros behind, which the transformer attends as a real prompt's padding."""
    return torch.cat([context, context.new_zeros(length - context.shape[0], context.shape[1])])


def rel_l2(found: torch.Tensor, expected: torch.Tensor) -> float:
    """||found - expected|| / ||expected|| in float64; shapes must be equal.

    Example:
        >>> rel_l2(torch.tensor([3.0, 4.5]), torch.tensor([3.0, 4.0]))
        0.1
    """
    same_shape(found, expected)
    found, expected = found.detach().cpu().double(), expected.cpu().double()
    length = float(expected.norm())
    return float((found - expected).norm()) / length if length else float((found - expected).norm())


def max_abs(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest absolute difference; shapes must be equal."""
    same_shape(found, expected)
    return float((found.detach().cpu().double() - expected.cpu().double()).abs().max()) if expected.numel() else 0.0


def unequal(found: torch.Tensor, expected: torch.Tensor) -> float:
    """How many entries differ; shapes must be equal."""
    same_shape(found, expected)
    return float((found.detach().cpu() != expected.cpu()).sum())


def same_shape(found: torch.Tensor, expected: torch.Tensor) -> None:
    """UserError if the shapes differ."""
    if found.shape != expected.shape:
        raise UserError(f"ours has shape {tuple(found.shape)}", expected=f"{tuple(expected.shape)}")
