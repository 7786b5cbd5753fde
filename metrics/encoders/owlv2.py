"""OWLv2 on transformers' class: boxes of entities that a script names in words.

The weights (and the config beside them) are looked for in the Hugging Face cache only. Frames are padded to a square at the right and
bottom with grey and resized; texts go through CLIP's tokenizer at 16 tokens, which open_clip carries, so no tokenizer file is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from metrics.encoders.published import Published
from metrics.encoders.vbench_transforms import CLIP_MEAN, CLIP_STD, normalise
from metrics.encoders.weights import Weights
from stbench.errors import UserError
from stbench.story import Shot

CONTEXT = 16  # tokens
LEAST_SCORE = 0.1  # OWLv2's own default: below it nothing is said to be there
GREY = 127.5


class Owlv2(Published):
    """OWLv2 base, patch 16 (ensemble)."""

    id = "owlv2"
    weights = Weights(
        hub_id="google/owlv2-base-patch16-ensemble",
        files=("model.safetensors", "pytorch_model.bin"),
        licence="Apache-2.0",
        size="0.6 GB",
    )
    preprocessing = "square by grey at right and bottom, bilinear antialias, CLIP statistics; 'a photo of a …'; best box >= 0.1; v1"
    may_be_half = False  # a box has a threshold

    @classmethod
    def load(cls, device: str = "cpu") -> Self:
        """Load weights and config; UserError if they are not on this machine."""
        from transformers import Owlv2ForObjectDetection

        folder = cls.weights.path().parent
        try:
            net = Owlv2ForObjectDetection.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            hint = f"run: hf download {cls.weights.hub_id}"
            raise UserError(f"cannot be loaded ({str(error).splitlines()[0][:120]})", where=str(folder), hint=hint) from error
        return cls(net.to(device).eval().requires_grad_(False), device)

    def find(self, frames: np.ndarray, places: Sequence[int], total: int, shot: Shot, names: Sequence[str]) -> np.ndarray:
        """(K, N, 4) the best box of each name in each frame; NaN where none reaches the threshold."""
        import torch

        from metrics.encoders.clip_tokens import token_ids

        boxes = np.full((len(frames), len(names), 4), np.nan)
        if not names:
            return boxes
        ids = torch.tensor([token_ids(query(name), CONTEXT) for name in names], device=self._device)
        side = max(frames.shape[1:3])
        with torch.inference_mode():
            for k, frame in enumerate(frames):
                pixels = square(frame, self._net.config.vision_config.image_size, self._device)
                out = self._net(input_ids=ids, attention_mask=(ids != 0).long(), pixel_values=pixels)
                score, best = out.logits[0].sigmoid().max(dim=0)
                centre_size = out.pred_boxes[0][best].double().cpu().numpy() * side
                corners = np.concatenate([centre_size[:, :2] - centre_size[:, 2:] / 2, centre_size[:, :2] + centre_size[:, 2:] / 2], axis=1)
                found = score.cpu().numpy() >= LEAST_SCORE
                boxes[k, found] = corners[found].clip(0, [frames.shape[2], frames.shape[1]] * 2)
        return boxes


def query(name: str) -> str:
    """What the detector is asked for.

    Example:
        >>> query("old_lighthouse-keeper")
        'a photo of a old lighthouse keeper'
    """
    return "a photo of a " + " ".join(name.replace("_", " ").replace("-", " ").split())


def square(frame: np.ndarray, side: int, device: str) -> Any:
    """(H, W, 3) uint8 → (1, 3, side, side): padded with grey to a square, resized, normalised."""
    import torch
    from torch.nn import functional

    image = torch.from_numpy(np.ascontiguousarray(frame)).to(device).permute(2, 0, 1)[None].float()
    height, width = image.shape[-2:]
    longer = max(height, width)
    image = functional.pad(image, (0, longer - width, 0, longer - height), value=GREY)
    image = functional.interpolate(image, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return normalise(image, CLIP_MEAN, CLIP_STD)
