"""world-dino: two shots of one character are alike, wherever it is and whatever it does; other characters are not.

No class, colour or accessory is ever named to it. Which two shots show the same character is all that it is told: what a
tracker tells of real films, and what the renderer knows here. It stands where others use DINO. DINO's own loss
(self-distillation through prototypes, arXiv 2104.14294) needs far more steps than two CPU cores give: in a trial of 100
steps it gathered all frames into a few places and lost the characters. The contrast of SimCLR (arXiv 2002.05709) says
the same more directly, and near twins in the batch (see `metrics.training.data`) make colour and accessory count. With
two frames of one clip as the views (as SimCLR has it), the features were filled by the place; so the second view is another
shot. No colour jitter: here colour is identity.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metrics.encoders.nets import DinoConfig, FrameTower
from metrics.training.data import FACTS, Pool, augment, pick_groups, to_clips
from stbench.world.spec import FRAMES

TEMPERATURE = 0.15
LOOK = [FACTS.index(fact) for fact in ("species", "colour", "accessory")]  # who it is


def contrast(first: Tensor, second: Tensor, alike: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Cross-entropy of finding the other view of the same character among both views of all.

    Args:
        first: (B, D) unit vectors, one frame of each character.
        second: (B, D) unit vectors, a frame of another shot of each.
        alike: (B, B) bool, True where two clips show the same character: such pairs do not count against each other.
        temperature: Softness of the choice.

    Example:
        >>> views = torch.eye(3)
        >>> round(float(contrast(views, views, torch.eye(3, dtype=torch.bool), temperature=1.0)), 4)
        0.9048
    """
    n = len(first)
    both = torch.cat([first, second])
    logits = both @ both.T / temperature
    own = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
    barred = alike.repeat(2, 2)
    barred[torch.arange(2 * n), own] = False
    return functional.cross_entropy(logits.masked_fill(barred, float("-inf")), own)


class DinoTask:
    """Batches and loss of the self-supervised frame encoder."""

    lr, weight_decay, batch = 1.5e-3, 0.04, 64

    def __init__(self, pool: Pool, *, seed: int):
        torch.manual_seed(seed)
        self.pool, self.codes, self.config = pool, pool.codes()[:, LOOK], DinoConfig()
        self.net = FrameTower(self.config)
        _, self.who = np.unique(self.codes, axis=0, return_inverse=True)
        self.shots_of = [np.flatnonzero(self.who == k) for k in range(self.who.max() + 1)]

    def parameters(self) -> Iterator[nn.Parameter]:
        """All weights."""
        return iter(self.net.parameters())

    def _view(self, chosen: np.ndarray, generator: torch.Generator) -> Tensor:
        """(B, 3, H, W): a random frame of each clip."""
        at = torch.randint(FRAMES, (len(chosen), 1), generator=generator).numpy()
        return augment(to_clips(self.pool.frames[chosen[:, None], at]), generator)[:, 0]

    def _another(self, chosen: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """For each clip another one with the same character (itself where it is the only one)."""
        draws = torch.rand(len(chosen), generator=generator).tolist()
        others = [shots[shots != i] if len(shots := self.shots_of[self.who[i]]) > 1 else shots for i in chosen]
        return np.array([shots[int(draw * len(shots))] for shots, draw in zip(others, draws, strict=True)])

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Contrast of two shots of each character."""
        chosen = pick_groups(len(self.pool.truths), self.batch, generator)
        views = torch.cat([self._view(chosen, generator), self._view(self._another(chosen, generator), generator)])
        first, second = functional.normalize(self.net(views), dim=-1).chunk(2)
        codes = self.codes[chosen]
        alike = torch.from_numpy((codes[:, None] == codes[None]).all(-1))
        loss = contrast(first, second, alike)
        with torch.no_grad():
            own = (first * second).sum(-1).mean()
            others = (first @ second.T).masked_fill(alike, -1)
            hit = (others.amax(1) < (first * second).sum(-1)).float().mean()
        return loss, {"loss": float(loss.detach()), "own": float(own), "nearest_other": float(others.amax(1).mean()), "hit": float(hit)}

    def after_step(self, progress: float) -> None:
        """Nothing to do."""

    def finish(self) -> FrameTower:
        """The tower, with the mean feature of the pool as its centre."""
        self.net.eval()
        n = min(1024, len(self.pool.truths))
        at = np.random.default_rng(0).integers(FRAMES, size=(n, 1))
        images = to_clips(self.pool.frames[np.arange(n)[:, None], at])[:, 0]
        with torch.no_grad():
            features = torch.cat([functional.normalize(self.net(images[i : i + 64]), dim=-1) for i in range(0, n, 64)])
            self.net.centre.copy_(features.mean(0))
        return self.net
