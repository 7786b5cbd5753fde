"""The whole of `stbench validate-metrics`: films, perturbations, scores, verdict, files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from metrics.base import Metric
from metrics.cache import FeatureCache
from metrics.protocols import PROTOCOLS
from metrics.validation.films import Film, FilmFeatures, own_films, world_films
from metrics.validation.matrix import table_lines, verdict_lines, write
from metrics.validation.measure import Matrix, measure
from metrics.validation.perturbations import PERTURBATIONS, Perturbation
from stbench.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to validate on what.

    Attributes:
        protocol: Whose metrics.
        stories: How many films.
        shots: How many shots of each.
        videos: A folder of films made elsewhere, or None for Story World.
        suite: Their scripts.
        metrics: Names; empty for all of the protocol.
        device: Where encoders run.
    """

    protocol: str
    stories: int
    shots: int
    videos: Path | None = None
    suite: str | None = None
    metrics: tuple[str, ...] = ()
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What was found."""

    matrix: Matrix
    perturbations: tuple[Perturbation, ...]

    @property
    def holds(self) -> bool:
        """Every declared expectation holds, and there is at least one."""
        return self.matrix.declared > 0 and not self.matrix.violated

    def lines(self) -> list[str]:
        """Table and verdict for people."""
        return [*table_lines(self.matrix, self.perturbations), "", *verdict_lines(self.matrix)]

    def write(self, folder: Path) -> dict[str, Path]:
        """Files: JSON, CSV, heat map."""
        return write(self.matrix, self.perturbations, folder)


def validate(request: Request, progress: Callable[[int, int, str], None] | None = None) -> Validation:
    """Measure a protocol's metrics on harmed films.

    Raises:
        UserError: Unknown names, or no films.
    """
    chosen = _metrics(request)
    if request.videos is None:
        films = world_films(request.stories, request.shots)
    else:
        films = own_films(request.videos, str(request.suite), request.stories, request.shots)
    perturbations = tuple(p for p in PERTURBATIONS if not p.needs_truth or all(take.truth for film in films for take in film.takes))
    source = FilmFeatures(protocol=request.protocol, device=request.device, cache=FeatureCache(None), known={})
    used = [metric for metric in chosen if any(metric.units(source.clips(film)) for film in films)]
    return Validation(matrix=measure(films, used, perturbations, source, progress=progress), perturbations=perturbations)


def _metrics(request: Request) -> Sequence[Metric]:
    there = PROTOCOLS.get(request.protocol).metrics
    unknown = set(request.metrics) - {metric.name for metric in there}
    if unknown:
        names = ", ".join(metric.name for metric in there)
        raise UserError(f"protocol {request.protocol} has no metric {sorted(unknown)[0]!r}", where="--metric", expected=f"one of: {names}")
    return [metric for metric in there if not request.metrics or metric.name in request.metrics]


__all__ = ["Film", "Request", "Validation", "validate"]
