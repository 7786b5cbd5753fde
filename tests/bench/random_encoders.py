"""The encoders of the metrics at full size, with random weights: what they find means nothing, what they cost does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metrics.encoders.vbench import ClipB32, DinoB16, LaionAesthetic, ViclipL14
from stbench.encoders import ENCODERS


def random_net(name: str) -> Any:
    """A network of full size; seeded."""
    import torch
    from open_clip.transformer import QuickGELU, VisionTransformer

    from metrics.encoders.dino_vit import DinoVit, DinoVitConfig
    from metrics.encoders.viclip_net import Viclip, ViclipConfig

    torch.manual_seed(0)
    sizes = {"clip-b": (32, 768, 12, 12, 512), "clip-l": (14, 1024, 24, 16, 768)}
    if name in sizes:
        patch, width, layers, heads, out = sizes[name]
        shape = {"image_size": 224, "patch_size": patch, "width": width, "layers": layers, "heads": heads, "output_dim": out}
        net = VisionTransformer(**shape, mlp_ratio=4.0, act_layer=QuickGELU)
    else:
        net = DinoVit(DinoVitConfig()) if name == "dino" else Viclip(ViclipConfig())
        for parameter in net.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.02)
    return net.eval().requires_grad_(False)


class RandomEncoders:
    """Stands in for the registry of encoders: full-size networks with random weights, made when they are first needed."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        makers: dict[str, Callable[[], Any]] = {
            DinoB16.id: lambda: DinoB16(random_net("dino"), "cpu"),
            ClipB32.id: lambda: ClipB32(random_net("clip-b"), "cpu"),
            ViclipL14.id: lambda: ViclipL14(random_net("viclip"), "cpu"),
            LaionAesthetic.id: lambda: LaionAesthetic(random_net("clip-l"), "cpu", np.full(768, 0.1), 5.0),
        }
        if name not in makers:
            return ENCODERS.get(name)
        return Loader(name, self._made, makers[name])


class Loader:
    """`digest` and `load`, as the registry's classes have them."""

    def __init__(self, name: str, made: dict[str, Any], make: Callable[[], Any]):
        self._name, self._made, self._make = name, made, make

    def digest(self) -> str:
        return f"random {self._name}"

    def load(self, device: str) -> Any:
        if self._name not in self._made:
            self._made[self._name] = self._make()
        return self._made[self._name]
