"""CLIP's image tower from OpenAI's weight names, built with open_clip.

VBench uses OpenAI's CLIP: ViT-B/32 for background consistency, ViT-L/14 for aesthetic quality; both with QuickGELU, which the weights were
trained with (open_clip's plain `ViT-B-32` has GELU and gives other features).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

HEAD_WIDTH = 64  # of every published CLIP


def build(state: Mapping[str, torch.Tensor], *, heads: int | None = None, image: int | None = None) -> Any:
    """An open_clip `VisionTransformer` filled with weights named as in OpenAI's checkpoints, with or without `visual.` in front.

    Args:
        state: The weights of the image tower, all of them and no others.
        heads: Attention heads; published towers have one per 64 channels.
        image: Pixels per side, to be checked against the position embedding.

    Raises:
        RuntimeError: Weights are missing, left over or of another shape.
        ValueError: `image` does not fit.

    Returns:
        A module: (B, 3, P, P) → (B, E), not normalised; in evaluation mode.
    """
    from open_clip.transformer import QuickGELU, VisionTransformer

    state = {key.removeprefix("visual."): value for key, value in state.items()}
    width, _, patch, _ = state["conv1.weight"].shape
    side = round((state["positional_embedding"].shape[0] - 1) ** 0.5) * patch
    if image is not None and image != side:
        raise ValueError(f"the position embedding is for {side} pixels, not {image}")
    layers = 1 + max(int(found[1]) for key in state if (found := re.match(r"transformer\.resblocks\.(\d+)\.", key)))
    tower = VisionTransformer(
        image_size=side,
        patch_size=patch,
        width=width,
        layers=layers,
        heads=heads or max(1, width // HEAD_WIDTH),
        mlp_ratio=state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0] / width,
        output_dim=state["proj"].shape[1],
        act_layer=QuickGELU,
    )
    tower.load_state_dict(state, strict=True)
    return tower.eval().requires_grad_(False)
