"""Videos, pictures and tiny encoders from the files of an oracle, through the project's own readers and networks.

Shapes: F frames, H, W pixels, D feature width.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metrics.encoders import clip_visual, vbench_transforms
from metrics.encoders.dino_vit import DinoVit, DinoVitConfig
from metrics.encoders.viclip_net import Viclip, ViclipConfig
from stbench.errors import UserError
from stbench.oracle import OracleFolder, Setting
from stbench.video import read_mp4

Encoder = Callable[[torch.Tensor], torch.Tensor]
VICLIP, VICLIP_IO, WEIGHTS = "viclip_tiny_weights", "viclip_tiny_io", "stub_weights"


class Material:
    """What the checks of one folder share.

    Args:
        folder: The files.
        setting: Device and dtype of the encoders.
    """

    def __init__(self, folder: OracleFolder, setting: Setting):
        self.folder, self.setting = folder, setting
        self.device, self.dtype = torch.device(setting.device), getattr(torch, setting.dtype)
        self._kept: dict[tuple[Any, ...], Any] = {}
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

    def keep(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """`make()`, remembered."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    @cached_property
    def facts(self) -> dict[str, Any]:
        """oracle.json; empty if it is not in this folder."""
        return dict(self.folder.json("oracle")) if self.folder.has("oracle.json") else {}

    @cached_property
    def mp4s(self) -> dict[str, Path]:
        """Video files by name."""
        return {path.stem: path for path in sorted(self.folder.path.glob("video*.mp4"))}

    @cached_property
    def videos(self) -> list[str]:
        """Names of the videos, in order: video0, video1 and so on."""
        names = set(self.mp4s)
        if self.folder.has("videos.safetensors"):
            names |= set(self.folder.tensors("videos"))
        return sorted(names, key=lambda name: (int(number[0]) if (number := re.findall(r"\d+", name)) else -1, name))

    def frames(self, video: str) -> np.ndarray:
        """(F, H, W, 3) uint8, from the stored pixels or else decoded."""
        if self.folder.has("videos.safetensors") and video in self.folder.tensors("videos"):
            return np.asarray(self.folder.tensors("videos")[video].numpy())
        if video not in self.mp4s:
            raise UserError("its pixels are in no file of this folder", where=video)
        return read_mp4(self.mp4s[video])[0]

    def images(self, video: str, *, as_float: bool = True) -> torch.Tensor:
        """(F, 3, H, W) in 0..255 on the device: float32, as VBench reads frames for most metrics, or uint8."""
        frames = torch.from_numpy(self.frames(video)).permute(0, 3, 1, 2).contiguous().to(self.device)
        return frames.float() if as_float else frames

    def can(self, name: str) -> bool:
        """Whether the weights of the encoder behind a feature's name are in this folder."""
        if not self.folder.has(f"{WEIGHTS}.safetensors") or "stub_config" not in self.facts:
            return False
        return any(key.startswith(_kind(name)) for key in self.folder.tensors(WEIGHTS))

    def encoder(self, name: str) -> Encoder:
        """The encoder behind a feature's name ("dino_tiny", "clip_tiny", "linear_dino", …): transformed images → (F, D) float32."""
        kind = _kind(name)
        makers: dict[str, Callable[[], Encoder]] = {"dino": self._dino, "clip": self._clip, "linear": self._linear}
        if kind not in makers:
            raise UserError(f"feature {name!r} is not understood", expected=f"a name that starts with {', '.join(makers)}")
        return self.keep(("encoder", kind), makers[kind])

    def dino(self) -> DinoVit:
        """The DINO of stub_weights."""
        fact = self.facts["stub_config"]["dino"]
        config = DinoVitConfig(
            image=fact["img_size"],
            patch=fact["patch"],
            width=fact["dim"],
            layers=fact["depth"],
            heads=fact["heads"],
            mlp_ratio=fact["mlp_ratio"],
            eps=fact["ln_eps"],
        )
        net = DinoVit(config).eval()
        net.load_state_dict(self.folder.tensors(WEIGHTS).part("dino"), strict=True)
        return net.to(self.device, self.dtype)

    def _dino(self) -> Encoder:
        return self._run(self.keep(("dino",), self.dino))

    def _clip(self) -> Encoder:
        fact = self.facts["stub_config"]["clip_visual"]
        tower = clip_visual.build(self.folder.tensors(WEIGHTS).part("clip"), heads=fact["heads"], image=fact["image"])
        return self._run(tower.to(self.device, self.dtype))

    def _linear(self) -> Encoder:
        said = re.search(r"adaptive_avg_pool2d\(x,\s*(\d+)\)", str(self.facts["stub_config"]["linear"]))
        if said is None:
            raise UserError("the linear stub is not understood", where="oracle.json", expected="adaptive_avg_pool2d(x, n)")
        weight = self.folder.tensors(WEIGHTS)["linear.W"].to(self.device)
        return lambda images: torch.nn.functional.adaptive_avg_pool2d(images, int(said[1])).flatten(1) @ weight.T

    def _run(self, net: Any) -> Encoder:
        @torch.inference_mode()
        def encode(images: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(net(images.to(self.dtype))).float()

        return encode

    def feature(self, video: str, name: str, *, as_float: bool = True) -> np.ndarray:
        """(F, D) features of a video by our own encoder, through its transform."""

        def make() -> np.ndarray:
            transform = vbench_transforms.dino_input if name.endswith("dino") or name.startswith("dino") else vbench_transforms.clip_input
            return np.asarray(self.encoder(name)(transform(self.images(video, as_float=as_float))).cpu().numpy())

        return self.keep(("feature", video, name, as_float), make)

    def head(self, width: int) -> tuple[np.ndarray, float]:
        """Weight (D,) and bias of the aesthetic head for features of this width."""
        weights = self.folder.tensors(WEIGHTS)
        return weights[f"aes{width}.weight"].numpy()[0], float(weights[f"aes{width}.bias"])

    @cached_property
    def viclip(self) -> Viclip:
        """The tiny ViCLIP; rows of its token embedding that are not stored are zero."""
        fact = self.facts["viclip_tiny"]["config"]
        vision, text = fact["vision"], fact["text"]
        config = ViclipConfig(
            image=vision["input_resolution"],
            patch=vision["patch_size"],
            width=vision["width"],
            layers=vision["layers"],
            heads=vision["heads"],
            frames=vision["num_frames"],
            tubelet=vision["kernel_size"],
            embedding=vision["output_dim"],
            text_width=text["transformer_width"],
            text_layers=text["transformer_layers"],
            text_heads=text["transformer_heads"],
            context=text["context_length"],
            vocabulary=text["vocab_size"],
        )
        stored, name = self.folder.tensors(VICLIP), "text_encoder.token_embedding"
        state = {key: stored[key] for key in stored if not key.startswith(f"{name}.row")}
        if f"{name}.rows" in stored:
            table = torch.zeros(config.vocabulary, config.text_width)
            table[stored[f"{name}.row_ids"]] = stored[f"{name}.rows"]
            state[f"{name}.weight"] = table
        net = Viclip(config).eval().requires_grad_(False)
        net.load_state_dict(state, strict=True)
        return net.to(self.device, self.dtype)

    @torch.inference_mode()
    def video_embedding(self, clips: torch.Tensor) -> torch.Tensor:
        """(B, T, 3, P, P) → (B, E) float32 on the CPU."""
        return torch.as_tensor(self.viclip.vision_encoder(clips.to(self.device, self.dtype))).float().cpu()

    @torch.inference_mode()
    def text_embedding(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, N) token ids → (B, E) float32 on the CPU."""
        return torch.as_tensor(self.viclip.text_encoder(ids.long().to(self.device))).float().cpu()


def _kind(name: str) -> str:
    return "linear" if name.startswith("linear") else name.partition("_")[0]


def rel_l2(found: Any, expected: Any) -> float:
    """||found - expected|| / ||expected||; shapes must be equal."""
    a, b = _pair(found, expected)
    length = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / (length or 1.0)


def max_abs(found: Any, expected: Any) -> float:
    """The largest absolute difference; shapes must be equal."""
    a, b = _pair(found, expected)
    return float(np.abs(a - b).max()) if a.size else 0.0


def _pair(found: Any, expected: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.asarray(value.cpu() if isinstance(value, torch.Tensor) else value, np.float64) for value in (found, expected))
    if a.shape != b.shape:
        raise UserError(f"ours has shape {a.shape}", expected=f"{b.shape}")
    return a, b
