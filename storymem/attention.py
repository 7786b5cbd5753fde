"""Which attention kernel runs: by name, or the best that this machine has. None is imported unless it is chosen.

Fast kernels read half precision only and need a GPU of a certain generation, so the choice depends on device and type. Names are
diffusers' own (`native`, `flash`, `_flash_3_hub`, `sage`, …) or the plain ones below. Kernels differ in their last bits: the name is
part of a run's identity, and a shot's record says which one ran.
"""

from __future__ import annotations

import difflib
from importlib.util import find_spec
from typing import Any

from stbench.errors import UserError

AUTO = "auto"
PLAIN_NAMES = {"flash-attn-3": "_flash_3", "flash-attn-2": "flash", "cudnn": "_native_cudnn", "native": "native"}
HALF = ("bfloat16", "float16")
_PACKAGES = {"_flash_3": "flash_attn_interface", "flash": "flash_attn"}
_LEAST = {"_flash_3": (9, 0), "flash": (8, 0), "_native_cudnn": (8, 0)}  # compute capability
_MOST = {"_flash_3": (9, 9)}  # FlashAttention 3 is for Hopper
_ONE_GPU_ONLY = ("_flash_3",)  # diffusers cannot split its sequence over several GPUs


def choose_backend(name: str, device: str, dtype: str = "bfloat16", *, processes: int = 1) -> str:
    """Diffusers' name of the backend that a name stands for.

    Args:
        name: "auto", a plain name, or diffusers' own.
        device: "cpu", "cuda", "cuda:1", …
        dtype: Of the transformer, by torch's name.
        processes: Over how many one shot is split.

    Raises:
        UserError: A name that nobody knows.

    Example:
        >>> choose_backend("auto", "cpu"), choose_backend("cudnn", "cpu")
        ('native', '_native_cudnn')
    """
    if name == AUTO:
        return next((backend for backend in PLAIN_NAMES.values() if _usable(backend, device, dtype, processes)), "native")
    chosen = PLAIN_NAMES.get(name, name)
    known = _known()
    if chosen not in known:
        near = difflib.get_close_matches(name, [AUTO, *PLAIN_NAMES, *known], n=1)
        hint = f"did you mean {near[0]!r}?" if near else None
        raise UserError(f"attention {name!r} is unknown", expected=f"one of: {', '.join([AUTO, *PLAIN_NAMES, *known])}", hint=hint)
    return chosen


def use_backend(transformer: Any, backend: str) -> None:
    """Make a transformer attend with a backend of diffusers; `native` is what a fresh one does.

    Raises:
        UserError: Its package is missing or too old.
    """
    if backend == PLAIN_NAMES["native"]:
        return
    try:
        transformer.set_attention_backend(backend)
    except (RuntimeError, ImportError, ValueError) as error:
        raise UserError(f"attention {backend!r} cannot be used: {error}", hint="install it, or use attention=auto") from error


def _usable(backend: str, device: str, dtype: str, processes: int) -> bool:
    import torch

    if backend == "native":
        return True
    if not device.startswith("cuda") or dtype not in HALF or (processes > 1 and backend in _ONE_GPU_ONLY):
        return False
    package = _PACKAGES.get(backend)
    if package is not None and find_spec(package) is None:
        return False
    capability = torch.cuda.get_device_capability(device)
    return _LEAST[backend] <= capability <= _MOST.get(backend, (99, 9))


def _known() -> list[str]:
    from diffusers.models.attention_dispatch import AttentionBackendName

    return sorted(str(backend.value) for backend in AttentionBackendName)
