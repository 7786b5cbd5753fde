"""A baseline: what a run measured, kept in a small JSON file that is committed beside the code, with a number that grows.

It holds values shot by shot, since changes are paired and intervals taken by story; seven digits each. A seal finds what was altered
by hand or merged badly. Given a run folder in place of a file, the gate takes the run as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from stbench.errors import UserError
from stbench.files import read_small_json, write_bytes
from stbench.gating.evidence import Evidence, evidence_of
from stbench.gating.rules import Rule, parse_rules
from stbench.manifest import FILE, Frozen
from stbench.seal import FIELD, broken, sealed
from stbench.store import RunFolder

SCHEMA = 1
DIGITS = 4  # of a number in a folder of baselines


class Noise(Frozen):
    """How far numbers of the same command lie apart, at most: what a rule must not mistake for a change.

    Attributes:
        runs: How many runs were laid side by side.
        largest: What a rule is about ("shot.p50", "peak_mem", a metric) → the largest difference of two runs, in its own unit.
        share: The same as a share of the smaller number; absent where that is 0.
    """

    runs: int
    largest: dict[str, float] = Field(default_factory=dict)
    share: dict[str, float] = Field(default_factory=dict)


class Baseline(Frozen):
    """A baseline file."""

    schema_number: int = SCHEMA
    number: int = 0  # 0: not a file but a run
    rules: tuple[str, ...] = ()
    noise: Noise | None = None
    evidence: Evidence

    @property
    def title(self) -> str:
        """How the gate's output names it."""
        return f"baseline {self.number} ({self.evidence.run})" if self.number else self.evidence.run

    def parsed(self) -> tuple[Rule, ...]:
        """Its own rules."""
        return parse_rules(self.rules)


def open_baseline(path: Path) -> Baseline:
    """Read a baseline file, the newest one of a folder of them, or a run folder.

    Raises:
        UserError: There is none, or it is damaged or was altered.
    """
    if (path / FILE).is_file():
        return Baseline(evidence=evidence_of(RunFolder.open(path)))
    if path.is_dir():
        numbered = _numbered(path)
        if not numbered:
            raise UserError("holds no baseline", where=str(path), expected="0001.json, …", hint="stbench baseline RUN -o " + str(path))
        path = numbered[-1]
    try:
        data = read_small_json(path)
        if not isinstance(data, dict) or FIELD not in data:
            raise ValueError("it has no seal")
        if broken(data):
            raise ValueError("it was altered after it was written")
        if data.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {data.get('schema')!r}, this program reads {SCHEMA}")
        return Baseline.model_validate(data)
    except FileNotFoundError as error:
        raise UserError("does not exist", where=str(path), hint=f"stbench baseline RUN -o {path}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UserError(f"field {'.'.join(map(str, first['loc']))}: {first['msg']}", where=str(path), expected="a baseline") from error
    except (ValueError, OSError) as error:
        raise UserError(
            f"is not a baseline ({str(error).splitlines()[0]})", where=str(path), hint="make it anew: stbench baseline"
        ) from error


def save(baseline: Baseline, out: Path) -> tuple[Path, Baseline]:
    """Write a baseline: over a file, whose number it follows, or into a folder, as the next `NNNN.json`.

    Returns:
        Where it is, and the baseline with its number.
    """
    if out.suffix == ".json":
        number = open_baseline(out).number + 1 if out.exists() else 1
        path = out
    else:
        numbered = _numbered(out) if out.is_dir() else []
        number = int(numbered[-1].stem) + 1 if numbered else 1
        path = out / f"{number:0{DIGITS}d}.json"
    numbered_one = baseline.model_copy(update={"number": number})
    write_bytes(path, _text(numbered_one).encode())
    return path, numbered_one


def _numbered(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if path.stem.isdecimal() and len(path.stem) == DIGITS)


def _text(baseline: Baseline) -> str:
    """JSON with a line per metric and per stage, so that a diff shows which of them moved."""
    data = baseline.model_dump(mode="json")
    data = sealed({"schema": data.pop("schema_number"), **data})
    evidence: dict[str, Any] = data["evidence"]
    lines = []
    for name, value in evidence.items():
        if name == "metrics":
            lines.append(f'  "metrics": [\n{_joined([_compact(row) for row in value])}\n  ]')
        elif name == "seconds":
            lines.append(f'  "seconds": {{\n{_joined([f"{json.dumps(stage)}: {_compact(part)}" for stage, part in value.items()])}\n  }}')
        else:
            lines.append(f"  {json.dumps(name)}: {_compact(value)}")
    outer = [
        f" {json.dumps(name)}: " + ("{\n" + ",\n".join(lines) + "\n }" if name == "evidence" else _compact(value))
        for name, value in data.items()
    ]
    return "{\n" + ",\n".join(outer) + "\n}\n"


def _joined(lines: list[str]) -> str:
    return ",\n".join(f"   {line}" for line in lines)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
