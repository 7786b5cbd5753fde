"""What `stbench check` found: the rules by name, those that are broken, the verdict, what is missing and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stbench.errors import printable

RULES: dict[str, str] = {
    "manifest": "the manifest is readable and its suite digest is that of its stories",
    "records": "every record is readable and stands where its story and shot say",
    "key-chain": "every shot's key and inputs follow from the identity, the story, the seed and the shots before it",
    "seeds": "every shot's seed follows from the run's seed, the story and the shot's place",
    "digests": "every file has the bytes that its record states",
    "decode": "every video decodes to the frames, size and rate of its record, every still to its size",
    "counts": "the manifest's status and counts are those of the records",
    "films": "every film is joined from the recorded shots",
    "scores": "every score is readable, given once, and about a shot of this run",
    "comparable": "all values of a metric are of one version, unit and encoder",
    "report": "the report's files are as they were written",
    "journal": "the journal holds whole lines and knows how every shot came to be",
    "timing": "every measured time is possible: not negative, of a shot of this run, no longer than the shot took",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A broken rule: where, and what was found."""

    rule: str
    where: str
    found: str


@dataclass(kw_only=True)
class CheckResult:
    """What the verifier found.

    Attributes:
        run: The folder.
        problems: Broken rules.
        remarks: Facts that break no rule.
        done: Verified shots.
        expected: Shots of the run.
        missing: Story and shot → why it is not there, as far as the journal knows.
        command: What was asked for last, as far as the journal knows.
    """

    run: Path
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    done: int = 0
    expected: int = 0
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    command: str | None = None

    @property
    def verdict(self) -> Literal["valid", "partial", "invalid"]:
        """Of the whole folder."""
        return "invalid" if self.problems else "valid" if self.done == self.expected else "partial"

    def lines(self) -> list[str]:
        """For people: the verdict, every rule, every problem."""
        broken = {problem.rule for problem in self.problems}
        text = [f"{self.verdict.upper()}  {self.run}   {self.done}/{self.expected} shots"]
        text += [f"  {'FAIL' if rule in broken else 'ok  '}  {rule:<10} {meaning}" for rule, meaning in RULES.items()]
        text += [f"  FAIL  {problem.rule}: {problem.where}: {problem.found}" for problem in self.problems]
        text += [f"  miss  {story} {shot}: {reason}" for (story, shot), reason in self.missing.items()]
        text += [f"  note  {remark}" for remark in self.remarks]
        if self.verdict != "valid":
            text += ["  next  repeat the command that made it: only what is missing or damaged is made"]
            text += [f"        {self.command}"] if self.command else []
        return [printable(line) for line in text]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        broken = {problem.rule for problem in self.problems}
        return {
            "verdict": self.verdict,
            "run": str(self.run),
            "n": {"done": self.done, "expected": self.expected},
            "rules": {rule: "fail" if rule in broken else "ok" for rule in RULES},
            "problems": [{"rule": p.rule, "where": p.where, "found": p.found} for p in self.problems],
            "missing": [{"story": story, "shot": shot, "reason": reason} for (story, shot), reason in self.missing.items()],
            "remarks": self.remarks,
            "command": self.command,
        }
