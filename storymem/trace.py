"""What a piece of eager code allocates and moves, found by running it on the meta device: nothing is computed, nothing allocated.

Every operation still makes tensors with shapes, types and lifetimes, so the most bytes that are alive at once, and the bytes that
operations read and write, are those of a real run, whatever the size of the model. Attention counts as a fused kernel (FlashAttention,
cuDNN): it holds no matrix of scores. What is not seen: scratch memory inside of a kernel, and the allocator's rounding. One such scratch is
too large to leave out: on a CPU torch unfolds the whole input of a 3-D convolution into columns; `on_cpu` counts these.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Of one call.

    Attributes:
        peak_bytes: Most bytes alive at once that were allocated during the call (its inputs and the weights not counted).
        moved_bytes: Bytes that all operations read and wrote, weights included, had every one of them to go to memory.
    """

    peak_bytes: int
    moved_bytes: int


def trace(call: Callable[[], Any], *, on_cpu: bool = False) -> Trace:
    """Run `call` on meta tensors and watch it.

    Args:
        call: The code.
        on_cpu: As it would be on a CPU, not on a GPU.

    Example:
        >>> a = torch.empty(1000, device="meta")
        >>> trace(lambda: (a + 1) * 2)
        Trace(peak_bytes=8000, moved_bytes=16000)
    """
    watch = _Watch(on_cpu)
    with torch.no_grad(), _FusedAttention(watch), watch:
        result = call()
    del result
    return Trace(peak_bytes=watch.peak, moved_bytes=watch.moved)


class _Watch(TorchDispatchMode):
    """Counts bytes of new storages while they live, and of the tensors that operations take and give."""

    def __init__(self, on_cpu: bool) -> None:
        super().__init__()
        self.on_cpu = on_cpu
        self.live = self.peak = self.moved = 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = list(_tensors((args, kwargs)))
        out = func(*args, **(kwargs or {}))
        made = list(_tensors(out))
        before = {_key(tensor) for tensor in given}
        if any(_key(tensor) not in before for tensor in made) or (torch.Tag.inplace_view not in func.tags and func._schema.is_mutable):
            self.count(given, made)
        for tensor in made:
            if _key(tensor) not in before:
                self.add(tensor)
        if self.on_cpu and func is torch.ops.aten.convolution.default:
            self.peak = max(self.peak, self.live + _columns_bytes(args[0], args[1], made[0]))
        return out

    def count(self, given: list[torch.Tensor], made: list[torch.Tensor]) -> None:
        """An operation that reads `given` and writes `made`."""
        self.moved += sum(tensor.numel() * tensor.element_size() for tensor in (*given, *made))

    def add(self, tensor: torch.Tensor) -> None:
        """A new storage, until the last tensor on it is gone."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self.live += size
        self.peak = max(self.peak, self.live)
        self._known[key] = weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.pop(key, None)
        self.live -= size


class _FusedAttention(TorchFunctionMode):
    """Attention as one kernel: reads query, key and value, writes its output."""

    def __init__(self, watch: _Watch):
        super().__init__()
        self._watch = watch

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, key, value = (*args, *(kwargs[name] for name in ("query", "key", "value")[len(args) :] if name in kwargs))[:3]
        out = torch.empty_like(query)
        self._watch.count([query, key, value], [])
        return out


def _columns_bytes(given: torch.Tensor, weight: torch.Tensor, made: torch.Tensor) -> int:
    """Bytes of the unfolded input of a 3-D convolution (B, C, T, H, W); none where each output looks at one place only."""
    kernel = math.prod(weight.shape[2:])
    if given.ndim != 5 or kernel == 1:
        return 0
    return given.shape[0] * weight.shape[1] * kernel * math.prod(made.shape[2:]) * given.element_size()


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))


def _key(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
