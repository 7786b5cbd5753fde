"""Consistent self-attention (arXiv 2405.01434, section 3.1): images that are drawn together look at parts of one another.

In the self-attention of a U-Net, each image reads its own tokens and a random sample of the tokens of the others:

    S_i = RandSample(I_1, …, I_{i-1}, I_{i+1}, …, I_n),   P_i = [I_i, S_i],   O_i = Attention(Q(I_i), K(P_i), V(P_i))

with the weights that the layer has. The queries stay the image's own, so nothing is trained and every shape is kept. In two stages: the
first images of a story (the id images) read one another and leave their samples in a bank; every later image reads the bank.

Where the paper is silent, and what is done here: the sample of an image is the same for all that read it; it is drawn anew in each layer
and step, without replacement; a layer's heads share it; with classifier-free guidance, images with and without prompt read only their
like. One image alone reads only itself, which is plain self-attention.

Shapes: B images in a batch, n id images, L tokens of an image, m sampled tokens, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

SELF_ATTENTION = "attn1"  # name of a block's self-attention in diffusers' U-Nets; attn2 reads the prompt


def sample_positions(length: int, rate: float, *, seed: int, step: int, layer: int, image: int) -> np.ndarray:
    """Which tokens of an image the others read: `round(rate * length)` of them, ascending.

    Example:
        >>> sample_positions(8, 0.5, seed=1, step=0, layer=0, image=0).tolist()
        [0, 1, 4, 5]
    """
    rng = np.random.default_rng((seed, step, layer, image))
    return np.sort(rng.permutation(length)[: round(rate * length)])


@dataclass(kw_only=True)
class TokenBank:
    """What the id images leave for the others, and who is being drawn now.

    Attributes:
        rate: Share of an image's tokens that the others read.
        seed: Of the samples.
        step: Of sampling; set by the loop.
        stage: "write": the batch is all id images; "read": later images.
        groups: Kinds of passes in a batch: 2 with classifier-free guidance (all without prompt, then all with), else 1.
    """

    rate: float
    seed: int
    step: int = 0
    stage: Literal["write", "read"] = "write"
    groups: int = 1
    _tokens: dict[int, torch.Tensor] = field(default_factory=dict)  # layer → (groups, n, m, C)

    def others(self, layer: int, tokens: torch.Tensor) -> torch.Tensor:
        """The sampled tokens of other images that each image of a batch reads: (B, L, C) → (B, ·, C)."""
        import torch

        batch, _, channels = tokens.shape
        count = batch // self.groups
        if self.stage == "read":
            read = self._tokens[layer].flatten(1, 2)  # (groups, n·m, C)
            return read.repeat_interleave(count, dim=0)
        by_image = tokens.unflatten(0, (self.groups, count))
        sampled = torch.stack([self._sample(layer, image, by_image[:, image]) for image in range(count)], dim=1)
        self._tokens[layer] = sampled
        kept = [[other for other in range(count) if other != image] for image in range(count)]
        return torch.stack([sampled[:, others].flatten(1, 2) for others in kept], dim=1).reshape(batch, -1, channels)

    def _sample(self, layer: int, image: int, tokens: torch.Tensor) -> torch.Tensor:
        """The sample of one image: (groups, L, C) → (groups, m, C)."""
        import torch

        positions = sample_positions(tokens.shape[1], self.rate, seed=self.seed, step=self.step, layer=layer, image=image)
        return tokens[:, torch.from_numpy(positions).to(tokens.device)]


class ConsistentSelfAttention:
    """An attention processor for diffusers: one per self-attention layer.

    Args:
        layer: Number of the layer.
        bank: Shared by all layers.
    """

    def __init__(self, layer: int, bank: TokenBank):
        self.layer, self.bank = layer, bank

    def __call__(self, attn: Any, hidden_states: torch.Tensor, *unused: Any, **nothing: Any) -> torch.Tensor:
        """(B, L, C) → (B, L, C)."""
        import torch
        import torch.nn.functional as F

        keys = torch.cat([hidden_states, self.bank.others(self.layer, hidden_states)], dim=1)
        heads = (attn.heads, hidden_states.shape[-1] // attn.heads)
        q, k, v = (
            project(tokens).unflatten(-1, heads).transpose(1, 2)
            for project, tokens in ((attn.to_q, hidden_states), (attn.to_k, keys), (attn.to_v, keys))
        )
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return torch.as_tensor(attn.to_out[1](attn.to_out[0](out)))


def use_consistent_attention(unet: Any, bank: TokenBank) -> int:
    """Put the processor on every self-attention layer of a U-Net, leaving cross-attention as it is; how many there are."""
    layers = 0
    processors: dict[str, Any] = {}
    for name, processor in unet.attn_processors.items():
        if name.split(".")[-2] == SELF_ATTENTION:
            processors[name] = ConsistentSelfAttention(layers, bank)
            layers += 1
        else:
            processors[name] = processor
    unet.set_attn_processor(processors)
    return layers
