"""Cross-shot consistency, top 10: are the shots alike whose prompts are alike?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Features, Found, NoValueError, OfVideos, StoryClips, Unit, clip_features, whole_story
from metrics.cross_shot_consistency import similarity_matrix, upper_pairs

TIE_DECIMALS = 6  # prompts that say the same must tie, whatever the last bit; ties go to the earlier pair


def most_similar_pairs(feats_SD: np.ndarray, k: int) -> list[tuple[int, int]]:
    """The `k` pairs of rows with the largest cosine, most similar first; all pairs where there are fewer.

    Example:
        >>> most_similar_pairs(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]]), 2)
        [(0, 2), (1, 2)]
    """
    similarity = upper_pairs(similarity_matrix(feats_SD)).round(TIE_DECIMALS)
    rows, columns = np.triu_indices(len(feats_SD), k=1)
    order = np.argsort(-similarity, kind="stable")[:k]
    return [(int(rows[i]), int(columns[i])) for i in order]


def top_pair_similarity(video_SD: np.ndarray, prompt_SD: np.ndarray, k: int) -> tuple[float, list[tuple[int, int]]]:
    """Pairs are chosen by *prompt* similarity and averaged by *video* similarity. Source: arXiv 2512.19539, section 4.3.

    Args:
        video_SD: (S, D) video features, S ≥ 2.
        prompt_SD: (S, E) prompt features of the same shots.
        k: How many pairs.

    Returns:
        The mean video cosine of the chosen pairs, and the pairs.

    Example:
        >>> video = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> prompts = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> top_pair_similarity(video, prompts, 1)
        (0.0, [(0, 1)])
    """
    if len(video_SD) < 2:
        raise NoValueError("the film has one shot: no pairs to compare")
    pairs = most_similar_pairs(prompt_SD, k)
    matrix = similarity_matrix(video_SD)
    return float(np.mean([matrix[i, j] for i, j in pairs])), pairs


@dataclass(frozen=True)
class CrossShotConsistencyTop10(OfVideos):
    """Mean video similarity of the ten pairs of shots whose prompts are most similar (all pairs in films with fewer)."""

    name: ClassVar[str] = "cross_shot_consistency_top10"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    source: ClassVar[str] = "arXiv 2512.19539, section 4.3 (top-10)"
    encoder: str = "world-clip"
    pairs: int = 10

    def units(self, film: StoryClips) -> list[Unit]:
        """The film, with all its prompts."""
        return whole_story(film, [clip.shot.prompt for clip in film.clips])

    def measure(self, film: StoryClips, unit: Unit, features: Features) -> Found:
        """Choose by prompts, average by videos."""
        video = clip_features(film, unit, self.need, features)
        value, pairs = top_pair_similarity(video, features.texts(self.encoder, unit.texts), self.pairs)
        return Found(value=value, detail={"pairs": [[film.clips[i].shot.id, film.clips[j].shot.id] for i, j in pairs]})
