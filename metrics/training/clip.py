"""world-clip: clips and captions in one space, by contrast.

Every clip meets two captions, one with its look (colour and accessory) and one without. Two clips with the same facts
are both right answers for a caption, so the targets are shared among them (as in supervised contrastive learning).
Films put together from the batch meet overviews (who and where) in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metrics.encoders.nets import ClipConfig, WorldClipNet
from metrics.encoders.sampling import midpoints
from metrics.encoders.words import PAD, UNKNOWN, Vocabulary
from metrics.training.data import Pool, augment, pick_groups, to_clips
from stbench.world.data import caption, random_truth
from stbench.world.spec import FRAMES, PLACES, SPECIES

MAX_SCALE = 4.0  # logarithm of the largest inverse temperature
FORGET = 0.02  # share of words replaced by the unknown token, so that a strange word does little harm
FILMS, FILM_SHOTS = 24, 8  # films put together from each batch, and their most shots
WEIGHTS = {"look": 0.5, "plain": 0.8, "film": 0.2}
PLACE_WORDS = {"beach": "on the beach", "forest": "in the forest", "city": "in the city", "night": "at night", "snow": "in the snow"}


def world_vocabulary() -> Vocabulary:
    """All words that a caption of any shot can use."""
    rng = np.random.default_rng(0)
    captions = [caption(random_truth(rng, split="any"), rng, appearance=True) for _ in range(4000)]
    return Vocabulary.of([*captions, overview(list(SPECIES), list(PLACES))])


def shared_targets(codes: np.ndarray) -> Tensor:
    """(N, K) codes → (N, N) targets: row i spreads its weight over all entries with the same code."""
    same = (codes[:, None] == codes[None]).all(-1)
    return torch.from_numpy(same / same.sum(1, keepdims=True)).float()


def overview(species: list[str], places: list[str]) -> str:
    """What a story's overview says: who, then where.

    Example:
        >>> overview(["cat", "ghost"], ["beach", "night"])
        'A cat and a ghost. On the beach, at night.'
    """
    return f"A {' and a '.join(species)}. " + ", ".join(PLACE_WORDS[p] for p in places).capitalize() + "."


class ClipTask:
    """Batches, loss and bookkeeping of the contrastive training."""

    lr, weight_decay, batch = 2e-3, 0.05, 64

    def __init__(self, pool: Pool, *, seed: int):
        torch.manual_seed(seed)
        self.pool, self.codes, self.words = pool, pool.codes(), world_vocabulary()
        self.config = ClipConfig(vocabulary=len(self.words))
        self.net = WorldClipNet(self.config)

    def parameters(self) -> Iterator[nn.Parameter]:
        """All weights."""
        return iter(self.net.parameters())

    def _frames(self, chosen: np.ndarray, generator: torch.Generator) -> Tensor:
        """One frame at or beside each midpoint (a continuation is one frame shorter, so its midpoints differ)."""
        middle = np.array(midpoints(FRAMES, self.config.frames))
        jitter = torch.randint(-1, 2, (len(chosen), len(middle)), generator=generator).numpy()
        frames = self.pool.frames[chosen[:, None], np.clip(middle + jitter, 0, FRAMES - 1)]
        return augment(to_clips(frames), generator)

    def _ids(self, texts: list[str], rng: np.random.Generator) -> Tensor:
        ids = np.array(self.words.batch(texts, length=self.config.text_length))
        ids = ids[:, : int((ids != PAD).sum(1).max())]
        ids[(rng.random(ids.shape) < FORGET) & (ids != PAD)] = UNKNOWN
        return torch.from_numpy(ids)

    def _contrast(self, video: Tensor, text: Tensor, codes: np.ndarray) -> tuple[Tensor, float]:
        """Symmetric cross-entropy, and the share of clips whose nearest caption is right."""
        logits, targets = self.net.log_scale.clamp(max=MAX_SCALE).exp() * video @ text.T, shared_targets(codes)
        loss = 0.5 * (functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, targets))
        best = logits.argmax(1)
        return loss, float((targets[torch.arange(len(best)), best] > 0).float().mean())

    def _films(self, video: Tensor, chosen: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, list[str], np.ndarray]:
        """Films put together from the batch: mean features, overviews, and codes of who and where."""
        truths = [self.pool.truths[i] for i in chosen]
        means, texts, codes = [], [], []
        for _ in range(FILMS):
            cast = [str(s) for s in rng.permutation(sorted({t.species for t in truths}))[: rng.integers(1, 3)]]
            shots = [i for i in rng.permutation(len(truths)) if truths[i].species in cast][:FILM_SHOTS]
            where, who = (list(dict.fromkeys(getattr(truths[i], fact) for i in shots)) for fact in ("place", "species"))
            means.append(functional.normalize(video[shots].mean(0), dim=-1))
            texts.append(overview(who, where))
            codes.append([*(s in who for s in SPECIES), *(p in where for p in PLACES)])
        return torch.stack(means), texts, np.array(codes)

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Contrast of clips with captions that tell the look, with plain captions, and of films with overviews."""
        chosen = pick_groups(len(self.pool.truths), self.batch, generator)
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        video = self.net.video(self._frames(chosen, generator))
        total, logs = torch.zeros(()), {}
        for name, facts in (("look", 6), ("plain", 4)):
            texts = [caption(self.pool.truths[i], rng, appearance=name == "look") for i in chosen]
            part, logs[f"hit_{name}"] = self._contrast(video, self.net.text(self._ids(texts, rng)), self.codes[chosen, :facts])
            total = total + WEIGHTS[name] * part
        films, texts, codes = self._films(video, chosen, rng)
        part, logs["hit_film"] = self._contrast(films, self.net.text(self._ids(texts, rng)), codes)
        total = total + WEIGHTS["film"] * part
        return total, {"loss": float(total.detach()), **logs, "scale": float(self.net.log_scale.detach().exp())}

    def after_step(self, progress: float) -> None:
        """Nothing to do."""
