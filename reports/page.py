"""The page: `index.html`, one file that opens offline and asks nobody for anything.

Text of users reaches it only through Jinja's escaping; the content security policy allows the page's own script, by its hash, and no other,
and media from the page's own folder.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from reports.comparison import LEGEND, Comparison
from reports.costs import stages
from reports.extras import Extra
from reports.figures import Figure
from reports.page_views import StorySection, Worst, worst_shots
from reports.paper import PaperTable, comparability_notes, paper_table
from reports.tables import RunScores, interval_text, p_text, short_digests, value_text

NAMED = 4  # names in a sentence; more are counted
TEMPLATES = Path(__file__).parent / "templates"
ARROWS = {True: "↑", False: "↓", None: ""}
ARROW_WORDS = {True: "higher is better", False: "lower is better", None: "neither direction is better"}


@dataclass(frozen=True, kw_only=True)
class PageParts:
    """Everything that the page is made of."""

    runs: Sequence[RunScores]
    comparison: Comparison | None
    sections: Sequence[StorySection]
    cards: dict[tuple[str, str, str], Any]
    figures: Sequence[Figure]
    distributions: dict[str, Figure]
    files: Sequence[tuple[str, str]]  # (name, relative URL) of what lies beside the page
    extras: Sequence[Extra] = ()


def page_html(parts: PageParts) -> str:
    """Render the page."""
    table = paper_table(parts.runs)
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    return render(
        "page.html",
        parts=parts,
        table=table,
        script=script,
        script_hash=script_hash(script),
        styles=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
        verdicts=[verdict(run) for run in parts.runs],
        comparison_lines=comparison_lines(parts.comparison),
        legend=LEGEND,
        metrics=list(dict.fromkeys(column.metric for column in table.columns)),
        details={column.metric: detail_of(parts, column.metric) for column in table.columns},
        stage_rows=[(run.title, stage) for run in parts.runs for stage in stages(run)],
        missing=[(run.title, line.metric, n, reason) for run in parts.runs for line in run.lines for reason, n in line.reasons.items()],
        notes=notes(parts.runs, table),
        manifests=[(run.title, manifest_facts(run), manifest_json(run)) for run in parts.runs],
    )


def render(name: str, **values: Any) -> str:
    """A template with these values; everything is escaped unless the template says that it is markup of ours."""
    return str(_environment().get_template(name).render(**values))


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    env = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": False}  # in the order in which we say it
    env.filters |= {"p": p_text, "digest": short_digests, "slug": slug, "soft": lambda text: text.replace("_", "_\u200b")}
    env.globals |= {"arrow": ARROWS.get, "arrow_words": ARROW_WORDS.get, "value_text": value_text, "interval_text": interval_text}
    return env


def script_hash(script: str) -> str:
    """The source expression of a content security policy for one inline script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def slug(text: str) -> str:
    """An id for an anchor, the same for the same text, whatever is in it."""
    from stbench.story import safe_id

    return f"{safe_id(text)}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:6]}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A run's word, and why."""

    run: str
    word: str
    reasons: tuple[str, ...]


def verdict(run: RunScores) -> Verdict:
    """COMPLETE only if every shot is there and every expected score has a value."""
    counts = run.run.manifest.counts
    reasons = [] if counts.done == counts.expected else [f"{counts.done} of {counts.expected} shots are there ({counts.failed} failed)"]
    reasons += [f"{line.metric}: {line.n_scored} of {line.n_expected} scored" for line in run.lines if not line.complete]
    reasons += [] if run.lines else ["nothing was scored"]
    if run.run.manifest.status in ("started", "failed"):
        reasons.insert(0, f"the run's status is {run.run.manifest.status}")
    size = f"{counts.done} shots of {counts.stories} stories, {len(run.lines)} metrics"
    return Verdict(run=run.title, word="PARTIAL" if reasons else "COMPLETE", reasons=tuple(reasons) or (size,))


def comparison_lines(comparison: Comparison | None) -> list[str]:
    """A sentence per arm: how many metrics are better, worse, unclear, not comparable."""
    lines = []
    for arm in comparison.arms if comparison else ():
        rows = comparison.rows_of(arm.title) if comparison else []
        counts = [(word, [row.metric for row in rows if row.mark[:1] == sign]) for word, sign in (("better", "+"), ("worse", "-"))]
        parts = [f"{word} in {len(names)} ({_some(names)})" for word, names in counts if names]
        parts += [f"no clear change in {n}"] if (n := sum(row.mark[:1] == "~" for row in rows)) else []
        parts += [f"not comparable in {n}"] if (n := sum(row.mark[:1] == "x" for row in rows)) else []
        base = comparison.base.title if comparison else ""
        lines.append(f"{arm.title} against {base}, of {len(rows)} metrics: {'; '.join(parts) or 'nothing to say'}.")
    if comparison and comparison.too_few_stories:
        lines.append(f"Too few stories for a verdict: no p below {comparison.smallest_p:.2g} can appear before correction.")
    return lines


def _some(names: Sequence[str]) -> str:
    """The first few of many names."""
    return ", ".join(names) if len(names) <= NAMED else f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


@dataclass(frozen=True, kw_only=True)
class MetricDetail:
    """Distribution and worst shots of a metric."""

    figure: Figure | None
    worst: list[Worst]


def detail_of(parts: PageParts, metric: str) -> MetricDetail:
    """Everything about one metric."""
    return MetricDetail(figure=parts.distributions.get(metric), worst=worst_shots(parts.runs, metric, parts.cards))


def notes(runs: Sequence[RunScores], table: PaperTable) -> list[str]:
    """Why some numbers stand apart, and why published rows are or are not there."""
    lines = comparability_notes(runs)
    if not table.groups[2]:
        protocols = ", ".join(dict.fromkeys(column.protocol for column in table.columns)) or "none"
        lines.append(f"No published rows stand below: no paper printed numbers under protocol {protocols}.")
    return lines


def manifest_facts(run: RunScores) -> list[tuple[str, str]]:
    """What a reader looks up first."""
    m = run.run.manifest
    options = ", ".join(f"{key}={value}" for key, value in m.options.items())
    return [
        ("run", m.name),
        ("method", f"{m.method}: {m.description}" if m.description else m.method),
        ("model", m.model or "–"),
        ("options", options or "defaults"),
        ("suite", f"{m.suite.name} {m.suite.version}, digest {m.suite.digest[:12]}"),
        ("protocol", m.protocol),
        ("seed", str(m.seed)),
        ("device", m.device),
        ("identity", m.identity_digest[:12]),
        ("versions", ", ".join(f"{name} {version}" for name, version in m.versions.items())),
        (
            "repeat",
            "not measured" if m.repeat is None else f"{m.repeat.equal} of {m.repeat.shots} shots bit for bit, {m.repeat.times} times",
        ),
    ]


def manifest_json(run: RunScores) -> str:
    """The manifest without its stories, which the page shows above."""
    return json.dumps(run.run.manifest.model_dump(mode="json", exclude={"stories"}), ensure_ascii=False, indent=1)
