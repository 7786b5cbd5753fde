"""The judge: each rule of a gate gets a verdict, with numbers and, where it fails, the reason.

Quality fails only where the mean got worse by more than the limit *and* the story-clustered 95% interval of the paired change excludes
zero: one of the two alone is luck or is nothing that anybody cares about. Times and memory fail beyond the limit and beyond the stored
A/A noise, and are compared on the same kind of device only. What cannot be compared fails: a gate that lets it pass would be open
whenever something breaks. Pure functions on evidence; no files, no clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal

from stbench.errors import UserError
from stbench.gating.baseline import Baseline, Noise
from stbench.gating.evidence import ByShot, Evidence, MetricFact, pair_up, statistic
from stbench.gating.rules import PEAK_MEMORY, Rule
from stbench.scores import Score
from stbench.stats import PairedChange, paired

GIB = 2**30
SHOWN = 3  # names in a reason
_TINY = 1e-12  # relative: a change that is rounding


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One rule, decided.

    Attributes:
        rule: As it was written.
        kind: "quality", "latency" or "memory".
        passed: The rule holds.
        reason: Why it does not, or what a reader should know although it does.
        unit: Of `base`, `new`, `change`, `low`, `high`, `limit` and `noise`.
        base: The base's number.
        new: The run's number.
        change: New minus base; of a metric, the mean over pairs.
        low: Lower end of the 95% interval of the change, by story.
        high: Upper end.
        limit: The most that it may get worse, or the least that it must get better.
        noise: The stored A/A noise.
        n: Pairs of shots (or stories).
        n_stories: Stories that they come from.
    """

    rule: str
    kind: str
    passed: bool
    reason: str = ""
    unit: str = ""
    base: float | None = None
    new: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    noise: float | None = None
    n: int = 0
    n_stories: int = 0

    @property
    def share(self) -> float | None:
        """The change as a share of the base's number; None where that is 0."""
        return None if self.change is None or not self.base else self.change / abs(self.base)

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict."""
        return {"verdict": "pass" if self.passed else "fail", "share": self.share, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """All rules, decided.

    Attributes:
        run: The run that was judged.
        base: The baseline's title.
        verdicts: One per rule.
        notes: What a reader should know beside.
    """

    run: str
    base: str
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The rules that do not hold."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)

    @property
    def verdict(self) -> Literal["pass", "fail"]:
        """Pass only where there are rules and all hold."""
        return "pass" if self.verdicts and not self.failed else "fail"

    def to_json(self) -> dict[str, Any]:
        """One JSON-able object."""
        return {
            "verdict": self.verdict,
            "run": self.run,
            "base": self.base,
            "n_rules": len(self.verdicts),
            "n_failed": len(self.failed),
            "rules": [verdict.to_json() for verdict in self.verdicts],
            "notes": list(self.notes),
        }


def judge(baseline: Baseline, new: Evidence, rules: Sequence[Rule]) -> Decision:
    """Decide every rule.

    Args:
        baseline: What to compare with.
        new: What the run measured.
        rules: At least one.
    """
    base = baseline.evidence
    deciders = {"quality": _quality, "latency": _latency, "memory": _memory}
    verdicts = tuple(deciders[rule.kind](rule, base, new, baseline.noise) for rule in rules)
    notes = []
    if base.identity_digest != new.identity_digest:
        notes.append(f"{new.method} is not what the base was made with ({base.method}): other options, weights or code version")
    if baseline.noise is None and any(rule.kind != "quality" for rule in rules):
        notes.append("A/A noise was not measured: limits of time and memory stand alone (stbench baseline --aa 3 measures it)")
    return Decision(run=new.run, base=baseline.title, verdicts=verdicts, notes=tuple(notes))


def _quality(rule: Rule, base: Evidence, new: Evidence, noise: Noise | None) -> Verdict:
    before, after = base.metrics_named(rule.name), new.metrics_named(rule.name)
    if reason := _no_quality(rule, base, new, before, after):
        return _failed(rule, reason)
    change = paired(before[0].rows(), after[0].rows(), before[0].metric)
    if change.mean is None or change.base is None:
        return _failed(rule, change.reason or "nothing is paired")
    verdict = _measured(rule, change, before[0], noise)
    better = before[0].higher_is_better
    if rule.ahead:
        if better is None:
            return _failed(rule, "neither direction of it is better, so it cannot be asked to get better")
        return _ahead(verdict, worse=-change.mean if better else change.mean)
    worse = abs(change.mean) if better is None else -change.mean if better else change.mean
    return _not_worse(verdict, worse=worse, significant=change.significant)


def _measured(rule: Rule, change: PairedChange, metric: MetricFact, noise: Noise | None) -> Verdict:
    return Verdict(
        rule=rule.text,
        kind="quality",
        passed=True,
        unit=metric.unit,
        base=change.base,
        new=change.new,
        change=change.mean,
        low=change.low,
        high=change.high,
        limit=rule.limit(change.base or 0.0),
        noise=noise.largest.get(metric.metric) if noise else None,
        n=change.n,
        n_stories=change.n_stories,
    )


def _not_worse(verdict: Verdict, *, worse: float, significant: bool) -> Verdict:
    if not _beyond(worse, verdict.limit, verdict.noise):
        return verdict
    if verdict.low is None:
        return _with(verdict, passed=False, reason="worse than the limit; with one story no interval can tell it from luck: film more")
    if significant:
        return _with(verdict, passed=False, reason="worse than the limit, and the interval excludes zero")
    return _with(verdict, reason="beyond the limit, but the interval holds zero: it may be luck")


def _ahead(verdict: Verdict, *, worse: float) -> Verdict:
    sure = verdict.low is not None and verdict.high is not None and (verdict.low > 0 or verdict.high < 0)
    if -worse < (verdict.limit or 0.0):
        return _with(verdict, passed=False, reason="not ahead by so much")
    if not sure:
        return _with(verdict, passed=False, reason="ahead, but the interval holds zero or there is none: it may be luck")
    return verdict


def _no_quality(rule: Rule, base: Evidence, new: Evidence, before: list[MetricFact], after: list[MetricFact]) -> str:
    """Why a metric cannot be compared at all, or ""."""
    if trouble := base.problems.get("scores") or new.problems.get("scores"):
        return f"scores cannot be read: {trouble}"
    metric = rule.name.rpartition("/")[2]
    for evidence, facts in ((base, before), (new, after)):
        if not facts:
            why = next(iter(evidence.missing.get(metric, {}).values()), "")
            known = sorted({fact.metric for fact in evidence.metrics})
            near = get_close_matches(metric, known, n=1)
            tail = f": {why}" if why else f"; did you mean {near[0]!r}?" if near else ""
            return f"{evidence.run} has no value of {rule.name}{tail}"
        if len(facts) > 1:
            kinds = ", ".join(dict.fromkeys(f"{fact.protocol}/{fact.metric} version {fact.version}" for fact in facts))
            return f"{evidence.run} has several kinds of {rule.name} ({kinds}): name one as protocol/metric, or score anew"
    if reason := _other_films(base, new) or _other_words(before[0].values, base, new) or _kind(before[0], after[0]):
        return reason
    lost = [(story, shot) for story, shots in before[0].values.items() for shot in shots if shot not in after[0].values.get(story, {})]
    if lost:
        story, shot = lost[0]
        why = new.missing.get(metric, {}).get(story, "no row")
        return f"{len(lost)} values of the base are missing here: {' '.join(filter(None, (story, shot)))}: {why}"
    return ""


def _kind(before: MetricFact, after: MetricFact) -> str:
    for name in ("version", "unit", "protocol", "encoder", "encoder_digest"):
        if getattr(before, name) != getattr(after, name):
            return f"not comparable: {name} is {getattr(before, name)} in the base and {getattr(after, name)} here"
    return ""


def _other_films(base: Evidence, new: Evidence) -> str:
    if base.seed != new.seed:
        return f"not comparable: the seed is {base.seed} in the base and {new.seed} here"
    return ""


def _other_words(values: ByShot, base: Evidence, new: Evidence) -> str:
    gone = [story for story in values if story not in new.stories]
    if gone:
        return f"vanished: {_names(gone)} of the base {'is' if len(gone) == 1 else 'are'} not filmed here"
    other = [story for story in values if new.stories[story] != base.stories.get(story)]
    return f"not comparable: {_names(other)} {'has' if len(other) == 1 else 'have'} other words than in the base" if other else ""


def _latency(rule: Rule, base: Evidence, new: Evidence, noise: Noise | None) -> Verdict:
    before, after = base.seconds.get(rule.name, {}), new.seconds.get(rule.name, {})
    if reason := _no_cost(base, new, before, after, f"no warm shot has a time of stage {rule.name!r}", base.seconds):
        return _failed(rule, reason)
    pairs = pair_up(before, after)
    try:
        numbers = statistic(pairs.base, rule.statistic), statistic(pairs.new, rule.statistic)
    except UserError as error:
        return _failed(rule, str(error))
    return _cost(rule, numbers, "s", noise, n=len(pairs.base), n_stories=len(before))


def _memory(rule: Rule, base: Evidence, new: Evidence, noise: Noise | None) -> Verdict:
    if reason := _no_cost(base, new, base.peaks, new.peaks, "peak memory was not measured", {}):
        return _failed(rule, reason)
    pairs = pair_up(base.peaks, new.peaks)
    return _cost(rule, (max(pairs.base) / GIB, max(pairs.new) / GIB), "GiB", noise, n=len(pairs.base), n_stories=len(base.peaks))


def _no_cost(base: Evidence, new: Evidence, before: ByShot, after: ByShot, nothing: str, known: Mapping[str, ByShot]) -> str:
    """Why times or memory cannot be compared, or ""."""
    if trouble := base.problems.get("timing") or new.problems.get("timing"):
        return f"times cannot be trusted: {trouble}"
    if base.device != new.device:
        return f"not comparable: made on {base.device} in the base and on {new.device} here"
    for evidence, numbers in ((base, before), (new, after)):
        if not numbers:
            return f"{evidence.run}: {nothing}" + (f" (stages: {', '.join(sorted(known))})" if known else "")
    if reason := _other_words(before, base, new):
        return reason
    vanished = pair_up(before, after).vanished
    return f"vanished: no shot of {_names(vanished)} was measured both here and in the base" if vanished else ""


def _cost(rule: Rule, numbers: tuple[float, float], unit: str, noise: Noise | None, *, n: int, n_stories: int) -> Verdict:
    base, new = numbers
    limit, change = rule.limit(base), new - base
    measured = None if noise is None else noise.share[rule.about] * base if rule.about in noise.share else None
    verdict = Verdict(
        rule=rule.text,
        kind=rule.kind,
        passed=True,
        unit=unit,
        base=base,
        new=new,
        change=change,
        limit=limit,
        noise=measured,
        n=n,
        n_stories=n_stories,
    )
    if change <= limit + _TINY * abs(base):
        return verdict
    if measured is not None and change <= measured:
        return _with(verdict, reason="beyond the limit, but within the noise of A/A runs")
    more = "more memory" if rule.name == PEAK_MEMORY else "slower"
    return _with(verdict, passed=False, reason=f"{more} than the limit allows" + ("" if measured is None else ", and than A/A noise"))


def _beyond(worse: float, limit: float | None, noise: float | None) -> bool:
    return worse > max(limit or 0.0, noise or 0.0) + _TINY


def _failed(rule: Rule, reason: str) -> Verdict:
    return Verdict(rule=rule.text, kind=rule.kind, passed=False, reason=reason)


def _with(verdict: Verdict, *, passed: bool = True, reason: str) -> Verdict:
    return replace(verdict, passed=passed, reason=reason)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def numbers_of(evidence: Evidence) -> dict[str, float]:
    """Everything that a rule could be about → its number in a run: what A/A runs are laid side by side with."""
    found = {metric.metric: _mean(metric.rows()) for metric in evidence.metrics}
    for stage, part in evidence.seconds.items():
        values = [value for shots in part.values() for value in shots.values()]
        for name in ("p50", "mean", *(["p90"] if len(values) >= 10 else [])):
            found[f"{stage}.{name}"] = statistic(values, name)
    if evidence.peaks:
        found[PEAK_MEMORY] = max(value for shots in evidence.peaks.values() for value in shots.values()) / GIB
    return found


def _mean(rows: Sequence[Score]) -> float:
    return math.fsum(row.value or 0.0 for row in rows) / len(rows)
