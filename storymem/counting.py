"""Operations and bytes of a shot that was made, from what its sampling loop noted: for utilisation and rooflines.

The sampling loop is counted in closed form (`storymem.cost`, held against torch's own counter by a test); the VAE by torch's counter on the
meta device. Only what the loop really ran is counted: a guided step is two passes, a step without guidance one. The text encoder,
the condition and the keyframe encoder are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from stbench.errors import UserError
from stbench.profiling.roofline import Counted
from storymem import condition, ghosts
from storymem.cost import StepCost, Work, step_cost
from storymem.profiles import Model
from storymem.running import Running
from storymem.sizes import sizes_of
from storymem.trace import trace

NOTED = ("memory", "known", "size", "experts", "guidance")


class Counter:
    """Counts the shots of one model; what two shots share is counted once.

    Args:
        model: That made them.
        running: How.
    """

    def __init__(self, model: Model, running: Running):
        self.model, self.running, self.sizes = model, running, sizes_of(model)
        self._passes: dict[tuple[Work, bool], StepCost] = {}
        self._decodes: dict[tuple[int, int], Counted] = {}

    def count(self, detail: Mapping[str, Any]) -> dict[str, Counted]:
        """Work of one shot: stages "denoise" and "vae_decode".

        Args:
            detail: Of its span "denoise".

        Raises:
            UserError: The span is of an older version, or blocks were skipped in an unknown number of steps.
        """
        if any(name not in detail for name in NOTED):
            raise UserError("the spans do not say enough", expected=", ".join(NOTED), hint="film again with this version")
        if self.running.recipe == "cache":
            raise UserError("recipe=cache skips blocks, and the spans do not say how many")
        low, high = detail["guidance"]
        passes = sum(1 if (low if expert == "low" else high) == 1.0 else 2 for expert in detail["experts"])
        one = self._pass(detail)
        height, width = detail["size"]
        if (height, width) not in self._decodes:
            self._decodes[height, width] = self._decode(height, width)
        done = Counted(flops=passes * one.flops, moved_bytes=float(passes * one.moved_bytes))
        return {"denoise": done, "vae_decode": self._decodes[height, width]}

    def _pass(self, detail: Mapping[str, Any]) -> StepCost:
        """One forward pass of the transformer, its adapter's own products included where it was on."""
        profile, (height, width) = self.model.profile, detail["size"]
        memory, known = int(detail["memory"]), int(detail["known"])
        work = Work(frames=profile.frames, height=height, width=width, memory=memory, known=known, text_tokens=profile.text_length)
        adapted = bool(self.model.lora) and (memory > 0 or (known > 0 and profile.i2v_uses_lora))
        if (work, adapted) not in self._passes:
            precision = self.running.precision
            self._passes[work, adapted] = step_cost(self.sizes, work, guided=False, precision=precision, with_adapter=adapted)
        return self._passes[work, adapted]

    def _decode(self, height: int, width: int) -> Counted:
        """Decoding the video, without its memory slots. Tiles overlap, and what overlaps is decoded twice."""
        from torch.utils.flop_counter import FlopCounterMode

        latents, stride = ghosts.latents(self.sizes, self.running.precision.vae), ghosts.vae_stride(self.sizes)
        shape = (1, condition.LATENT_CHANNELS, condition.latent_frames(self.model.profile.frames), height // stride, width // stride)

        def decode() -> torch.Tensor:
            return latents.decode(torch.empty(shape, device="meta"))

        if self.running.tiling:
            latents.vae.enable_tiling()
        try:
            with FlopCounterMode(display=False) as counter:
                decode()
            return Counted(flops=float(counter.get_total_flops()), moved_bytes=float(trace(decode).moved_bytes))
        finally:
            if self.running.tiling:
                latents.vae.disable_tiling()
