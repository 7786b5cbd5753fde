"""The world's base model: `WanTransformer3DModel` with 36 input channels and a small umT5 encoder, trained together.

As Wan2.2 is made, text-to-video and image-to-video share the model: the condition is zero for most samples, and holds the
first frame or the first five frames for the rest. Rectified flow: x = (1 - σ)·clip + σ·noise, target noise - clip, timestep
1000·σ. One expert: at this size a second one would double what is stored, and each would see half of the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stbench.world.data import caption
from storymem.condition import condition, no_condition
from storymem.positions import use_explicit_positions
from storymem.training.latent_data import LatentClips
from storymem.training.loop import LoopSettings, draw_curve, run_loop
from storymem.training.optim import Optimizers
from storymem.training.precision import mixed

TEXT_LENGTH = 16
PAD, UNKNOWN = "[PAD]", "[UNK]"
WORDS = (  # a stored tokenizer holds their order
    "a",
    "of",
    "in",
    "on",
    "at",
    "the",
    "to",
    "it",
    "and",
    "up",
    "down",
    "wide",
    "medium",
    "close",
    "closeup",
    "shot",
    "robot",
    "cat",
    "bird",
    "car",
    "ghost",
    "beach",
    "forest",
    "city",
    "night",
    "snow",
    "moves",
    "jumps",
    "comes",
    "closer",
    "right",
    "left",
    "with",
)
TEXT_DROP, SIGMA_SHIFT, MASK_WEIGHT, HIGH_NOISE_SHARE = 0.1, 3.0, 5.0, 0.5
HIGH_NOISE_FROM = 0.85  # a look is decided above: another character's memory raises the loss by 0.6 at σ = 1, by 0.01 at 0.7
KNOWN_SHARES = {0: 0.6, 1: 0.25, 5: 0.15}  # given first frames → share of the samples


def build_tokenizer() -> Any:
    """A word-level tokenizer: lower case, punctuation dropped; words it does not know become one token."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate([PAD, UNKNOWN, *WORDS])}, unk_token=UNKNOWN))
    plain.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace("close-up", "closeup"), normalizers.Replace(Regex(r"[^\w\s]"), " ")]
    )
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token=PAD, unk_token=UNKNOWN, model_max_length=TEXT_LENGTH)


class WorldBase(nn.Module):
    """Transformer and text encoder as one trainable module."""

    def __init__(self, seed: int = 0):
        from diffusers import WanTransformer3DModel
        from transformers import UMT5Config, UMT5EncoderModel

        super().__init__()
        torch.manual_seed(seed)
        self.tokenizer = build_tokenizer()
        config = UMT5Config(
            vocab_size=len(self.tokenizer), d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, dropout_rate=0.0, pad_token_id=0
        )
        self.text_encoder = UMT5EncoderModel(config)
        self.transformer = WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=8,
            attention_head_dim=32,
            in_channels=36,
            out_channels=16,
            text_dim=64,
            freq_dim=128,
            ffn_dim=768,
            num_layers=6,
            rope_max_seq_len=256,
        )
        use_explicit_positions(self.transformer)
        self.forward_transformer: Any = self.transformer.forward

    def fuse(self) -> None:
        """Fuse the transformer's small operations; needs a C++ compiler, costs a minute, and takes a third off a step's time."""
        torch._dynamo.config.recompile_limit = 32  # each count of memory frames is a shape of its own, with and without gradients
        self.forward_transformer = torch.compile(self.transformer.forward, dynamic=False)

    def embed_text(self, prompts: Sequence[str], dropped: np.ndarray) -> torch.Tensor:
        """(B, L, 64); a dropped prompt is all zeros, which is what an empty prompt gives."""
        tokens = self.tokenizer(list(prompts), padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt")
        hidden = self.text_encoder(tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
        keep = tokens["attention_mask"].bool() & torch.from_numpy(~dropped)[:, None]
        return hidden * keep[:, :, None]

    def velocity(self, noisy: torch.Tensor, known: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Predicted noise - clip for (B, 16, T, 6, 10) latents and (B, 20, T, 6, 10) conditions."""
        with mixed():
            out = self.forward_transformer(torch.cat([noisy, known], 1), sigma * 1000, text, return_dict=False)
        return torch.as_tensor(out[0]).float()


def load_base(checkpoint: Path) -> WorldBase:
    """The model of a finished (or unfinished) training."""
    model = WorldBase()
    saved = torch.load(checkpoint, weights_only=True)["model"]
    tied = {"text_encoder.encoder.embed_tokens.weight": saved["text_encoder.shared.weight"]}  # a checkpoint holds it once
    model.load_state_dict(saved | tied, strict=True)
    return model


def draw_sigma(noise: torch.Generator, size: int, high_share: float = HIGH_NOISE_SHARE) -> torch.Tensor:
    """Noise levels (size,): `high_share` uniform from `HIGH_NOISE_FROM` to 1; the rest logit-normal, shifted as sampling is."""
    high = torch.rand(size, generator=noise) < high_share
    uniform = HIGH_NOISE_FROM + (1 - HIGH_NOISE_FROM) * torch.rand(size, generator=noise)
    t = torch.randn(size, generator=noise).sigmoid()
    return torch.where(high, uniform, SIGMA_SHIFT * t / (1 + (SIGMA_SHIFT - 1) * t))


def flow_loss(predicted: torch.Tensor, target: torch.Tensor, cover: torch.Tensor, mask_weight: float) -> torch.Tensor:
    """Mean square error in which cells that the character covers weigh 1 + `mask_weight`; cover (B, T, 6, 10)."""
    weight = 1 + mask_weight * cover[:, None]
    return (weight * (predicted - target).square()).sum() / (weight.expand_as(target).sum())


def draw_known(rng: np.random.Generator, clips: LatentClips, index: np.ndarray) -> torch.Tensor:
    """Conditions of a mixed batch, (B, 20, T, 6, 10): nothing known, the first frame, or the first five."""
    count = rng.choice(list(KNOWN_SHARES), size=len(index), p=list(KNOWN_SHARES.values()))
    per_sample = torch.from_numpy(count)
    videos = torch.where((per_sample == 5)[:, None, None, None, None], clips.motion[index], clips.first[index])
    given = condition(videos, frames=17, known=per_sample)
    return torch.where((per_sample > 0)[:, None, None, None, None], given, no_condition(videos))


def train_base(out: Path, clips: LatentClips, *, steps: int, batch: int = 32, seed: int = 0, compiled: bool = False) -> WorldBase:
    """Train transformer and text encoder on text-to-video and image-to-video."""
    model = WorldBase(seed)
    if compiled:
        model.fuse()
    optim = Optimizers(model, muon_lr=0.015, adam_lr=1.5e-3, steps=steps, decay=0.6, adam_names="shared,embedder,proj_out")

    def step(k: int, rng: np.random.Generator, noise: torch.Generator) -> tuple[torch.Tensor, Mapping[str, float]]:
        index = rng.integers(len(clips.truths), size=batch)
        clean = clips.video[index]
        known = draw_known(rng, clips, index)
        text = model.embed_text([caption(clips.truths[i], rng) for i in index], rng.random(batch) < TEXT_DROP)
        sigma = draw_sigma(noise, batch)
        eps = torch.randn(clean.shape, generator=noise)
        noisy = torch.lerp(clean, eps, sigma[:, None, None, None, None])
        loss = flow_loss(model.velocity(noisy, known, sigma, text), eps - clean, clips.mask[index], MASK_WEIGHT)
        return loss, {}

    run_loop(model, optim, step, LoopSettings(out=out, steps=steps, seed=seed))
    draw_curve(out, title="world base model")
    return model
