"""HPSv3 as a quality filter: how much people would like a picture, whatever it shows (empty prompt). Keyframes need 3.0 or more.

Qwen2-VL-7B reads the picture and a fixed question that ends in a reward token; a small head turns what the last layer says at that
token into a mean and a spread, and the mean is the rating. Loaded with transformers' own Qwen2-VL. What cannot be guessed: the picture
is resized to about 256 x 28 x 28 pixels, whatever its size; text positions run on through the picture (one number per token, not
Qwen's rows and columns); the head is float32. Source: arXiv 2508.03789, weights MizzenAI/HPSv3 (MIT), tokenizer and sizes from
Qwen/Qwen2-VL-7B-Instruct (Apache-2.0).

Proved at tiny size against transformers' own forward pass; the published weights have not been run here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stbench.errors import UserError
from storymem import hub
from storymem.checkpoints import file_digest, fill_from, load_tokenizer
from storymem.clip_frames import search_size
from storymem.stored import open_weights, read_json

PIXELS = 256 * 28 * 28
TOKENS = 1000  # about: 256 of the picture, the question
REWARD = "<|Reward|>"
_PICTURE = "<|image_pad|>"
_TURN = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n<|vision_start|>{picture}<|vision_end|>{question}<|im_end|>\n<|im_start|>assistant\n"
)
_HIDDEN = (1024, 16)  # of the head
_UNUSED = "lm_head."  # predicts words


class Hpsv3:
    """A `stbench.encoders.QualityModel`.

    Args:
        net: Visual tower, language model and head, in main memory.
        tokenizer: With the reward token.
        device: Where it works.
    """

    id = "hpsv3"

    def __init__(self, net: RewardNet, tokenizer: Any, device: str):
        self.net, self._tokenizer, self._device = net, tokenizer, torch.device(device)

    @classmethod
    def digest(cls) -> str:
        """sha256 of the weights, the tokenizer and the question."""
        words = hub.need(hub.QWEN2_VL)
        files = [hub.need(hub.HPSV3) / hub.HPSV3.files[0], *(words / name for name in hub.QWEN2_VL.files)]
        return hashlib.sha256(" ".join(["1", question(), *map(file_digest, files)]).encode()).hexdigest()

    @classmethod
    def load(cls, device: str) -> Hpsv3:
        """The model in main memory; whoever uses it places `net` (17 GB in bfloat16).

        Raises:
            UserError: Weights that are missing, left over or of another shape.
        """
        words = hub.need(hub.QWEN2_VL)
        tokenizer = load_tokenizer(words)
        tokenizer.add_tokens([REWARD], special_tokens=True)
        net = load_net(hub.need(hub.HPSV3) / hub.HPSV3.files[0], words / "config.json", dtype=torch.bfloat16)
        return cls(net, tokenizer, device)

    def quality(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F,) float32, about -5 to 15."""
        return np.array([self._rate(frame) for frame in frames], np.float32)

    @torch.no_grad()
    def _rate(self, frame: np.ndarray) -> float:
        patches, grid = picture_patches(frame)
        tokens = int(grid.prod()) // self.net.merged
        text = _TURN.format(picture=_PICTURE * tokens, question=question())
        ids = torch.tensor([self._tokenizer(text, add_special_tokens=False)["input_ids"]])
        pictured, asked = (ids == self._tokenizer.convert_tokens_to_ids(token) for token in (_PICTURE, REWARD))
        mean_and_spread = self.net(ids, pictured, asked, patches.to(self._device), grid.to(self._device))
        return float(mean_and_spread[0])


@lru_cache(maxsize=1)
def question() -> str:
    """What is asked about a picture, with an empty prompt."""
    path = Path(__file__).with_name("hpsv3_question.json")
    return "\n".join(read_json(path)["lines"]).replace("{prompt}", "")


def picture_patches(frame: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture (H, W, 3) uint8 as Qwen2-VL reads it: patches (P, D) float32 and their grid (1, 3)."""
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

    rows, columns = search_size(*frame.shape[:2], least=PIXELS, most=PIXELS)
    resized = Image.fromarray(frame).resize((columns, rows), Image.Resampling.BICUBIC)
    made = Qwen2VLImageProcessor(do_resize=False)(images=[resized], return_tensors="pt")
    return made["pixel_values"], made["image_grid_thw"]


class RewardNet(torch.nn.Module):
    """Qwen2-VL and the head, without weights.

    Args:
        config: A `Qwen2VLConfig`.
    """

    _keep_in_fp32_modules = ("rm_head",)

    def __init__(self, config: Any):
        from transformers import Qwen2VLModel

        super().__init__()
        model = Qwen2VLModel(config)
        self.visual, self.language_model = model.visual, model.language_model
        width, (first, second) = config.get_text_config().hidden_size, _HIDDEN
        self.rm_head = torch.nn.Sequential(
            torch.nn.Linear(width, first),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.05),
            torch.nn.Linear(first, second),
            torch.nn.ReLU(),
            torch.nn.Linear(second, 2),
        )

    @property
    def merged(self) -> int:
        """Patches that become one token."""
        return int(self.visual.spatial_merge_size) ** 2

    def forward(
        self, ids: torch.Tensor, pictured: torch.Tensor, asked: torch.Tensor, patches: torch.Tensor, grid: torch.Tensor
    ) -> torch.Tensor:
        """Mean and spread, (2,) float32.

        Args:
            ids: (1, N) tokens.
            pictured: (1, N), which of them stand for the picture.
            asked: (1, N), which one is the reward token.
            patches: (P, D), on the device.
            grid: (1, 3).
        """
        seen = self.visual(patches.to(self.visual.dtype), grid_thw=grid)
        seen = getattr(seen, "pooler_output", seen)
        table = self.language_model.embed_tokens  # waits in main memory where blocks are fetched one by one
        words = table(ids.to(table.weight.device)).to(seen.device)
        words = words.masked_scatter(pictured.to(seen.device)[..., None], seen)
        positions = torch.arange(ids.shape[1], device=seen.device).expand(3, 1, -1)
        hidden = self.language_model(inputs_embeds=words, position_ids=positions, use_cache=False).last_hidden_state
        chosen = hidden[asked.to(hidden.device)].float()
        return self.rm_head(chosen.to(self.rm_head[0].weight.device))[0]


def empty_net(config: Mapping[str, Any]) -> RewardNet:
    """The network of a config, parameters on the meta device."""
    from accelerate import init_empty_weights
    from transformers import Qwen2VLConfig

    with init_empty_weights(include_buffers=False):
        return RewardNet(Qwen2VLConfig(**config))


def load_net(weights: Path, config: Path, *, dtype: torch.dtype) -> RewardNet:
    """The network from its file, under the names of older and newer versions of transformers.

    Raises:
        UserError: Weights that are missing, left over or of another shape.
    """
    stored = open_weights(weights)
    shapes = {name: shape for name, shape in stored.shapes.items() if not name.startswith(_UNUSED)}
    stored = replace(stored, shapes=shapes, files={name: stored.files[name] for name in shapes})
    names = {name: _own_name(name) for name in shapes}
    embeddings = next((name for name, own in names.items() if own == "language_model.embed_tokens.weight"), None)
    if embeddings is None:
        raise UserError("holds no embedding of words", where=stored.where, expected="the weights of HPSv3")
    rows = {"vocab_size": shapes[embeddings][0]}  # the reward token is one more than Qwen has
    net = empty_net({key: value for key, value in read_json(config).items() if key != "architectures"} | rows)
    fill_from(net, stored, names, dtype=dtype)
    return net


def _own_name(name: str) -> str:
    """Before version 4.52, transformers had `visual.*` and `model.*`; since then both stand in `model`."""
    for prefix in ("model.visual.", "visual."):
        if name.startswith(prefix):
            return "visual." + name.removeprefix(prefix)
    for prefix in ("model.language_model.", "model."):
        if name.startswith(prefix):
            return "language_model." + name.removeprefix(prefix)
    return name
