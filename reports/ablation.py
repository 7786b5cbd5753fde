"""Ablations and sweeps: runs grouped by the settings that differ in their identity, one row per combination of values.

Several runs of one combination (other seeds) are summed up together, by the one aggregation of the project. What else differs between runs
is said, since a table that varies two things and names one is worse than none.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.tables import RunScores, interval_text, metric_key, metric_keys, value_text
from stbench.errors import UserError
from stbench.scores import Aggregate, aggregate

if TYPE_CHECKING:
    import pandas as pd

    from stbench.manifest import Manifest

NONE = "–"


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs with the same values of the keys."""

    values: tuple[str, ...]
    runs: tuple[RunScores, ...]
    lines: Mapping[tuple[str, ...], Aggregate]


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A table by settings.

    Attributes:
        keys: The settings, as asked.
        groups: One row each, in the order of their values.
        columns: Metric keys, as in other tables.
        notes: What else differs.
    """

    keys: tuple[str, ...]
    groups: tuple[Group, ...]
    columns: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def table(self) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        """Heads and rows of plain text: values, runs, then mean and interval of every metric."""
        heads = (*self.keys, "runs", *(key[1] for key in self.columns))
        rows = [(*group.values, str(len(group.runs)), *(_text(group.lines.get(key)) for key in self.columns)) for group in self.groups]
        return heads, tuple(rows)

    def frame(self) -> pd.DataFrame:
        """One row per group and metric."""
        import pandas as pd

        rows = []
        for group in self.groups:
            for line in group.lines.values():
                facts = {name: getattr(line, name) for name in ("metric", "protocol", "mean", "low", "high", "n_scored", "n_expected")}
                rows.append({**dict(zip(self.keys, group.values, strict=True)), "runs": len(group.runs), **facts})
        return pd.DataFrame(rows)


def ablation(runs: Sequence[RunScores], keys: Sequence[str]) -> Ablation:
    """Group runs by settings.

    Args:
        runs: The runs.
        keys: Settings as `--set` names them, or facts (method, model, seed, device, suite), or a path into the identity.

    Raises:
        UserError: A key is in no run, or is given twice.
    """
    facts = [settings(run.run.manifest) for run in runs]
    for key in keys:
        if not any(key in known for known in facts):
            raise _unknown(key, facts)
    if len(set(keys)) < len(keys):
        raise UserError("a setting is given twice", where=f"--by {','.join(keys)}")
    groups: dict[tuple[str, ...], list[RunScores]] = {}
    for run, known in zip(runs, facts, strict=True):
        groups.setdefault(tuple(known.get(key, NONE) for key in keys), []).append(run)
    return Ablation(
        keys=tuple(keys),
        groups=tuple(_group(values, groups[values]) for values in sorted(groups, key=lambda values: [_order(value) for value in values])),
        columns=tuple(metric_keys(runs)),
        notes=tuple(_notes(runs, facts, keys)),
    )


def settings(manifest: Manifest) -> dict[str, str]:
    """Everything that can tell two runs apart, as text: facts of the run, options of the method by their own name, the identity by path."""
    known = {
        "method": manifest.method,
        "model": manifest.model,
        "seed": str(manifest.seed),
        "device": manifest.device,
        "suite": f"{manifest.suite.name} {manifest.suite.version}",
        "protocol": manifest.protocol,
    }
    for path, value in _flat(manifest.identity):
        known.setdefault(path.removeprefix("options."), value)
    for name, value in manifest.options.items():
        known.setdefault(name, value)
    return known


def differing(facts: Sequence[Mapping[str, str]]) -> list[str]:
    """Settings that are not the same in all runs."""
    names = dict.fromkeys(name for known in facts for name in known)
    return [name for name in names if len({known.get(name, NONE) for known in facts}) > 1]


def _flat(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in data.items():
        path = f"{prefix}{name}"
        found += _flat(value, f"{path}.") if isinstance(value, Mapping) else [(path, _plain(value))]
    return found


def _plain(value: Any) -> str:
    return NONE if value is None else ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _group(values: tuple[str, ...], runs: list[RunScores]) -> Group:
    rows = [row for run in runs for row in run.scores]
    return Group(values=values, runs=tuple(runs), lines={metric_key(line): line for line in aggregate(rows)})


def _order(value: str) -> tuple[int, float, str]:
    """Numbers by size, before words."""
    try:
        return (0, float(value), value)
    except ValueError:
        return (1, 0.0, value)


def _text(line: Aggregate | None) -> str:
    if line is None:
        return NONE
    span = interval_text(line.low, line.high, line.unit)
    mean = value_text(line.mean, line.unit) + ("" if line.complete else "*")
    return mean if span == NONE else f"{mean} ({span})"


def _notes(runs: Sequence[RunScores], facts: Sequence[Mapping[str, str]], keys: Sequence[str]) -> list[str]:
    others = [name for name in differing(facts) if name not in (*keys, "seed")]
    lines = [f"Also differs between these runs: {', '.join(others)}."] if others else []
    if len({run.run.manifest.suite.digest for run in runs}) > 1:
        lines.append("The runs film different suites: their means are not comparable.")
    return lines


def _unknown(key: str, facts: Sequence[Mapping[str, str]]) -> UserError:
    names = sorted({name for known in facts for name in known})
    near = difflib.get_close_matches(key, names, n=1)
    differ = ", ".join(differing(facts)) or "nothing"
    hint = f"did you mean {near[0]!r}?" if near else None
    return UserError(f"no run has the setting {key!r}", where="--by", expected=f"a setting; these runs differ in: {differ}", hint=hint)
