"""The memory LoRA: low-rank updates of the frozen base that teach it to read memory frames.

As in arXiv 2512.19539: a target clip with 1 to 10 memory frames from other clips of the same story, distractors of other
characters among them; memory latents in front at positions -M·S … -S (S = 5), carrying noise like the video but known
through mask and condition; the first frame given to half of the samples (MI2V). The loss counts the video only.

What makes it learn: most noise levels high (a look is decided early in sampling), the character's cells weighed up, and
a curriculum (one frame of the same character first, distractors later). The overall loss hides whether memory is used,
so the log holds the loss at σ = 0.9 with the true memory and with another sample's (`gap` is the difference).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from stbench.world.data import caption
from storymem.condition import condition
from storymem.lora import ADAPTER
from storymem.positions import STRIDE, positions_set, temporal_positions
from storymem.training.base import TEXT_DROP, WorldBase, draw_sigma, flow_loss
from storymem.training.latent_data import LatentClips
from storymem.training.loop import LoopSettings, draw_curve, run_loop
from storymem.training.optim import Optimizers

RANK, MASK_WEIGHT, HIGH_NOISE_SHARE, MI2V_SHARE = 64, 5.0, 0.7, 0.5
COUNTS = (1, 2, 3, 4, 6, 8, 10)  # memory frames of a batch, once the curriculum is through
CURRICULUM = ((0.15, 1), (0.3, 2), (0.45, 4), (1.0, 10))  # until this part of the steps → most memory frames


def add_lora(model: WorldBase, rank: int = RANK, seed: int = 0) -> None:
    """Freeze the base and add a trainable rsLoRA adapter on every linear layer of the blocks."""
    from peft import LoraConfig

    from storymem.layouts import LINEARS

    torch.manual_seed(seed)
    model.requires_grad_(False)
    targets = [f"blocks.{i}.{kind}" for i in range(len(model.transformer.blocks)) for kind in LINEARS.values()]
    config = LoraConfig(r=rank, lora_alpha=rank**0.5, use_rslora=True, lora_dropout=0.0, target_modules=targets)
    model.transformer.add_adapter(config, ADAPTER)


def merge_on_the_fly(model: WorldBase) -> None:
    """Let each adapted layer multiply by W + s·B·A at once: the same function as W·x + s·B·A·x, and fewer passes over the tokens."""
    from peft.tuners.lora import LoraLayer

    def forward(layer: Any, x: torch.Tensor) -> torch.Tensor:
        update = layer.lora_B[ADAPTER].weight @ layer.lora_A[ADAPTER].weight
        weight = layer.base_layer.weight + layer.scaling[ADAPTER] * update
        return functional.linear(x, weight, layer.base_layer.bias)

    for layer in model.transformer.modules():
        if isinstance(layer, LoraLayer):
            layer.forward = partial(forward, layer)


class MemorySampler:
    """Chooses, for each target clip, memory frames from other clips: of the same character and of others."""

    def __init__(self, clips: LatentClips):
        self.clips = clips
        self.by_look: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for i, t in enumerate(clips.truths):
            self.by_look[t.species, t.colour, t.accessory].append(i)
        self.looks = list(self.by_look)

    def _distractor(self, rng: np.random.Generator, species: str) -> list[int]:
        while (look := self.looks[int(rng.integers(len(self.looks)))])[0] == species:
            pass
        return self.by_look[look]

    def memory(self, rng: np.random.Generator, target: int, count: int, distract: float) -> torch.Tensor:
        """(16, count, 6, 10): every frame is the target's character, or with probability `distract` a second one."""
        truth = self.clips.truths[target]
        same = [i for i in self.by_look[truth.species, truth.colour, truth.accessory] if i != target] or [target]
        other = self._distractor(rng, truth.species)
        is_other = rng.random(count) < (distract if rng.random() < 0.6 else 0.0)
        if is_other.all() and rng.random() < 0.8:
            is_other[int(rng.integers(count))] = False
        chosen = [int(rng.choice(other if o else same)) for o in is_other]
        frames = rng.integers(self.clips.memory.shape[1], size=count)
        return torch.stack([self.clips.memory[c, f] for c, f in zip(chosen, frames, strict=True)], 1)


def draw_count(done: float, rng: np.random.Generator) -> int:
    """Memory frames of a batch when `done` (0..1) of the steps are behind; fewer are likelier, since they cost less."""
    most = next(count for until, count in CURRICULUM if done < until)
    counts = np.array([count for count in COUNTS if count <= most])
    weights = 1 / np.sqrt(counts)
    return int(rng.choice(counts, p=weights / weights.sum()))


def distractor_share(done: float) -> float:
    """Share of memory frames that show somebody else: none at first, then rising to 0.6."""
    return min(0.6, max(0.0, 2.0 * (done - CURRICULUM[0][0])))


def train_memory(
    out: Path,
    model: WorldBase,
    clips: LatentClips,
    *,
    steps: int,
    batch: int = 24,
    seed: int = 0,
    rank: int = RANK,
    stride: int = STRIDE,
    compiled: bool = False,
) -> WorldBase:
    """Train the adapter; the base stays as it is.

    Args:
        out: Checkpoint, log and curve.
        model: The trained base; gets the adapter.
        clips: Training latents.
        steps: To train in all.
        batch: Samples a step.
        seed: Of data, noise and the adapter's first weights.
        rank: Of the adapter.
        stride: S of the memory's temporal positions.
        compiled: Fuse the transformer's small operations (a quarter off a step's time; a minute for each count of memory frames).
    """
    add_lora(model, rank=rank, seed=seed)
    merge_on_the_fly(model)
    if compiled:
        model.fuse()
    sampler = MemorySampler(clips)
    optim = Optimizers(model, muon_lr=0.01, adam_lr=1e-3, steps=steps, decay=0.5)
    blank = clips.blank

    def loss_of(
        index: np.ndarray, memory: torch.Tensor, given: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor, eps: torch.Tensor
    ) -> Any:
        clean, count = clips.video[index], memory.shape[2]
        video_condition = torch.where(given.bool()[:, None, None, None, None], clips.first[index], blank)
        known = condition(video_condition, memory_latents=memory, frames=17, known=given)
        both = torch.cat([memory, clean], 2)
        noisy = torch.lerp(both, eps, sigma[:, None, None, None, None])
        with positions_set(model.transformer, temporal_positions(count, clean.shape[2], stride=stride)):
            predicted = model.velocity(noisy, known, sigma, text)[:, :, count:]
        return flow_loss(predicted, (eps - both)[:, :, count:], clips.mask[index], MASK_WEIGHT)

    def step(k: int, rng: np.random.Generator, noise: torch.Generator) -> tuple[torch.Tensor, Mapping[str, float]]:
        index = rng.integers(len(clips.truths), size=batch)
        count, distract = draw_count(k / steps, rng), distractor_share(k / steps)
        memory = torch.stack([sampler.memory(rng, int(i), count, distract) for i in index])
        given = torch.from_numpy(rng.random(batch) < MI2V_SHARE).long()
        sigma = draw_sigma(noise, batch, HIGH_NOISE_SHARE)
        with torch.no_grad():
            text = model.embed_text([caption(clips.truths[i], rng) for i in index], rng.random(batch) < TEXT_DROP)
        eps = torch.randn(batch, 16, 5 + count, 6, 10, generator=noise)
        figures = {}
        if k % 40 == 0:
            with torch.no_grad():
                high, none = torch.full((batch,), 0.9), torch.zeros(batch, dtype=torch.long)
                true, wrong = (float(loss_of(index, m, none, high, text, eps)) for m in (memory, memory.roll(1, 0)))
            figures = {"gap": wrong - true, "loss_high": true}
        return loss_of(index, memory, given, sigma, text, eps), figures

    run_loop(model, optim, step, LoopSettings(out=out, steps=steps, seed=seed))
    draw_curve(out, title="world memory LoRA")
    return model
