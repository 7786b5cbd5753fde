"""Muon for matrices and convolutions, AdamW for the rest, one schedule for both.

Muon (Jordan et al. 2024) replaces each weight matrix's momentum by its nearest orthogonal matrix, computed with five
Newton-Schulz steps. `torch.optim.Muon` takes 2-D weights only and one at a time; convolutions are most of the VAE, so this
one flattens them, and matrices of one shape go through the iteration together. It was not compared with AdamW alone here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from storymem.training.precision import matmul_dtype


def orthogonalise(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration towards U·Vᵀ of `matrix` (…, rows, cols); singular values end near 1.

    Example:
        >>> values = torch.linalg.svdvals(orthogonalise(torch.randn(8, 16, generator=torch.Generator().manual_seed(0))))
        >>> bool((values > 0.5).all() and (values < 1.5).all())
        True
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.reshape(-1, *matrix.shape[-2:])
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).reshape(matrix.shape)


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates; weights of more than two dimensions are flattened to (out, rest)."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def _nesterov(self, p: nn.Parameter, momentum: float) -> torch.Tensor:
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].lerp_(p.grad, 1 - momentum)
        return torch.lerp(p.grad, state["momentum"], momentum).flatten(1)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Apply one update from the gradients; `closure` is not used."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.flatten(1).shape].append(p)
            for (rows, cols), members in by_shape.items():
                wanted = torch.stack([self._nesterov(p, group["momentum"]) for p in members])
                updates = orthogonalise(wanted.to(matmul_dtype())).float() * max(1.0, rows / cols) ** 0.5
                for p, update in zip(members, updates, strict=True):
                    p.sub_(group["lr"] * update.view_as(p))


class Optimizers:
    """Muon and AdamW side by side with warm-up, a constant stretch and a linear decay to zero over the last `decay`."""

    def __init__(
        self, model: nn.Module, *, muon_lr: float, adam_lr: float, steps: int, warmup: int = 30, decay: float = 0.5, adam_names: str = ""
    ):
        matrices: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, p in model.named_parameters():
            if p.requires_grad:
                is_adam = p.ndim < 2 or any(part and part in name for part in adam_names.split(","))
                (rest if is_adam or min(p.flatten(1).shape) < 4 else matrices).append(p)
        self.parts: list[torch.optim.Optimizer] = [Muon(matrices, muon_lr)]
        self.rates = [muon_lr]
        if rest:
            self.parts.append(torch.optim.AdamW(rest, adam_lr, (0.9, 0.98), weight_decay=0.0))
            self.rates.append(adam_lr)
        self.steps, self.warmup, self.decay = steps, warmup, decay
        self.params = [*matrices, *rest]

    def factor(self, step: int) -> float:
        """Learning-rate factor at `step`."""
        return min(1.0, (step + 1) / self.warmup) * min(1.0, max(0.0, (self.steps - step) / max(1.0, self.decay * self.steps)))

    def step(self, step: int) -> float:
        """Apply and clear the gradients; returns their norm before clipping to 1."""
        norm = float(nn.utils.clip_grad_norm_(self.params, 1.0))
        for part, rate in zip(self.parts, self.rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * self.factor(step)
            part.step()
            part.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to continue."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)
