"""Made-up measurements of a run."""

from __future__ import annotations

from typing import Any

from stbench.gating.evidence import ByShot, Evidence, MetricFact
from stbench.manifest import SuiteFact


def fact(values: ByShot, name: str = "entity_consistency", **changes: Any) -> MetricFact:
    facts = {"version": 1, "unit": "cosine", "higher_is_better": True, "protocol": "world", "encoder": "dino", "encoder_digest": "e" * 64}
    return MetricFact(metric=name, values=values, **(facts | changes))


def evidence(metrics: tuple[MetricFact, ...] = (), **changes: Any) -> Evidence:
    names = {story for metric in metrics for story in metric.values}
    facts: dict[str, Any] = {
        "run": "run",
        "method": "storymem",
        "model": "world",
        "identity_digest": "i" * 64,
        "seed": 0,
        "suite": SuiteFact(name="world", version="1", digest="d" * 64, stories=len(names)),
        "protocol": "world",
        "device": "NVIDIA H100",
        "versions": {},
        "stories": dict.fromkeys(names, "w" * 16),
        "metrics": metrics,
    }
    return Evidence(**(facts | changes))
