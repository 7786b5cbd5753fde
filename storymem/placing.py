"""Moves weights between main memory and the device, as the placement says.

Big models (experts, text encoder) are handed over once and then asked for with `ready`; whatever the placement, the same code works with
them. A placement can be lowered while a run goes on, after the device was full; it is never raised.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from storymem.placements import PLACEMENTS, Placement, lower

T = TypeVar("T")


class Placer:
    """Keeps models where they belong.

    Args:
        device: Where they work.
        placement: Where they wait.
        allowed: Placements that may follow when the device is full.
    """

    def __init__(self, device: torch.device, placement: Placement, allowed: Sequence[Placement] = PLACEMENTS):
        self.device, self.placement, self._allowed = device, placement, allowed
        self._models: list[Any] = []

    def take(self, model: Any) -> Any:
        """Put a model that was just loaded (in main memory) where it waits; returns it."""
        self._models.append(model)
        self._place(model)
        return model

    @contextmanager
    def visit(self, model: Any) -> Iterator[None]:
        """Make a model usable that is on the device for the `with` block only, whatever the placement."""
        if self.placement == "group-offload":
            if not any(known is model for known in self._models):
                self.take(model)
            yield
            return
        self.rest()
        model.to(self.device)
        try:
            yield
        finally:
            model.to("cpu")

    def drop(self, model: Any) -> None:
        """Forget a model that nobody needs any more."""
        self._models = [kept for kept in self._models if kept is not model]

    @contextmanager
    def ready(self, model: Any) -> Iterator[None]:
        """Make a model usable on the device; it stays there until another one is asked for."""
        if self.placement == "offload":
            self.rest(but=model)
            model.to(self.device)
        yield

    def rest(self, but: Any = None) -> None:
        """With `offload`, send models back to main memory, so that something else has room."""
        if self.placement == "offload":
            for model in self._models:
                if model is not but:
                    model.to("cpu")

    @contextmanager
    def away(self) -> Iterator[None]:
        """Leave the device to something else for the `with` block."""
        if self.placement != "group-offload":  # there, models wait in main memory anyway
            for model in self._models:
                model.to("cpu")
        free_device()
        try:
            yield
        finally:
            if self.placement == "resident":
                for model in self._models:
                    model.to(self.device)

    def lower(self) -> bool:
        """Go on with the next placement that needs less on the device; False if there is none."""
        following = lower(self.placement)
        if following is None or following not in self._allowed:
            return False
        for model in self._models:
            model.to("cpu")
        free_device()
        self.placement = following
        for model in self._models:
            self._place(model)
        return True

    def _place(self, model: Any) -> None:
        if self.placement == "resident":
            model.to(self.device)
        elif self.placement == "group-offload":
            _offload_by_blocks(model, self.device)

    def retrying(self, work: Callable[[], T]) -> tuple[T, str | None]:
        """Do some work; when the device is full, once more with the next lower placement.

        Returns:
            What the work gave, and the placement that was too much for the device (None if it was not).
        """
        try:
            return work(), None
        except torch.OutOfMemoryError as error:
            full, before = str(error).splitlines()[0][:200], self.placement
        # Outside of the except block: the traceback held everything that the attempt had allocated.
        if not self.lower():
            raise torch.OutOfMemoryError(full)
        return work(), before


def free_device() -> None:
    """Give back what is not used."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _offload_by_blocks(model: Any, device: torch.device) -> None:
    """Diffusers' group offloading: a block at a time, the next one fetched on a stream of its own where there are streams."""
    from diffusers.hooks import apply_group_offloading

    for part in holders_of_blocks(model):
        apply_group_offloading(
            part,
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=device.type == "cuda",
        )


def holders_of_blocks(model: Any) -> list[Any]:
    """The modules that keep their blocks in a list: a Wan transformer itself, umT5's encoder, both halves of a vision-language model."""
    children = list(model.children())
    if any(isinstance(child, torch.nn.ModuleList) for child in children):
        return [model]
    return [holder for child in children for holder in holders_of_blocks(child)]
