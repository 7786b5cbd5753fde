"""Rules of a gate: `truth_colour_kept:2%`, `entity_consistency:0.01abs`, `shot.p50:10%`, `peak_mem:5%`, `truth_colour_kept:+0.25abs`.

The number is the most that may get worse; with a plus it is the least that must get better, so that a method can be held to stay
ahead of another. `%` is of the base's number, `abs` is in the metric's own unit (seconds for a stage, GiB for memory).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from stbench.errors import UserError

Kind = Literal["quality", "latency", "memory"]
PEAK_MEMORY = "peak_mem"
STATISTICS = ("p50", "p90", "mean")  # of a stage's seconds
GRAMMAR = "METRIC:2%, METRIC:0.01abs, METRIC:+0.25abs, STAGE.p50:10% (or p90, mean) or peak_mem:5%"
_RULE = re.compile(r"(?P<what>[\w./-]+):(?P<plus>\+?)(?P<size>\d+(?:\.\d+)?)(?P<unit>%|abs)")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        text: As it was written.
        kind: What it is about.
        name: A metric, `protocol/metric`, a stage, or `peak_mem`.
        statistic: Of a stage: "p50", "p90" or "mean"; else "".
        size: The limit; a share (0.02 for 2%) where `relative`.
        relative: The limit is a share of the base's number.
        ahead: At least so much better, not at most so much worse.
    """

    text: str
    kind: Kind
    name: str
    statistic: str = ""
    size: float
    relative: bool
    ahead: bool = False

    def limit(self, base: float) -> float:
        """The limit in the unit of the numbers, for the base's number.

        Example:
            >>> parse_rule("shot.p50:10%").limit(20.0), parse_rule("entity_consistency:0.01abs").limit(0.5)
            (2.0, 0.01)
        """
        return self.size * abs(base) if self.relative else self.size

    @property
    def about(self) -> str:
        """What it limits: the rule without its number."""
        return self.text.partition(":")[0]


def parse_rule(text: str) -> Rule:
    """Read a rule; a `UserError` shows the grammar.

    Example:
        >>> rule = parse_rule("shot.p50:10%")
        >>> rule.kind, rule.name, rule.statistic, rule.size
        ('latency', 'shot', 'p50', 0.1)
    """
    found = _RULE.fullmatch(text.strip())
    if found is None:
        raise UserError(f"found {text!r}", where="--rule", expected=GRAMMAR)
    what, relative = found["what"], found["unit"] == "%"
    stage, dot, statistic = what.rpartition(".")
    kind: Kind = "memory" if what == PEAK_MEMORY else "latency" if dot else "quality"
    if kind == "latency" and (statistic not in STATISTICS or not stage):
        raise UserError(f"{what!r} is no number of a stage", where="--rule", expected=f"STAGE.{' or STAGE.'.join(STATISTICS)}")
    if kind != "quality" and found["plus"]:
        raise UserError(f"found {text!r}: only a metric can be asked to get better", where="--rule", expected=GRAMMAR)
    return Rule(
        text=text.strip(),
        kind=kind,
        name=stage if kind == "latency" else what,
        statistic=statistic if kind == "latency" else "",
        size=float(found["size"]) / (100 if relative else 1),
        relative=relative,
        ahead=bool(found["plus"]),
    )


def parse_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """Read rules; two about the same number are a `UserError`."""
    rules = tuple(parse_rule(text) for text in texts)
    seen: set[str] = set()
    for rule in rules:
        if rule.about in seen:
            raise UserError(f"two rules are about {rule.about}", where="--rule", expected="one for each number")
        seen.add(rule.about)
    return rules
