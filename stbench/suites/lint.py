"""`stbench suite lint`: every script of a suite against the rules, one story in memory at a time."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stbench.errors import UserError
from stbench.story import Story
from stbench.suites.index import INDEX, SuiteFiles, load_entry, refuse_duplicate
from stbench.suites.measure import Facts
from stbench.suites.promises import broken_promises
from stbench.suites.rules import ERROR, NOTE, WARNING, findings
from stbench.suites.tokens import CLIP, UMT5, VICLIP

MAX_COMPARED = 20_000  # prompts remembered for repeats between stories: eight bytes each
KEPT = 1_000  # problems in the JSON report
_LINE = re.compile(r"^line (\d+): ")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One finding in one file. `line` counts from 1; None where the file does not show it."""

    level: str
    rule: str
    file: str
    line: int | None
    field: str
    message: str

    def text(self) -> str:
        """One line, with file, line and field first, so that editors can jump to it."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.level}: {self.field + ': ' if self.field else ''}{self.message}  [{self.rule}]"

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict."""
        return dict(vars(self))


@dataclass
class Report:
    """What was found, counted; the first problems in full."""

    facts: Facts = field(default_factory=Facts)
    counts: Counter[str] = field(default_factory=Counter)  # level → problems
    by_rule: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    shared_prompts: int = 0  # prompts that an earlier story has as well
    compared_prompts: int = 0

    def clean(self, *, strict: bool = False) -> bool:
        """No errors; with `strict`, no warnings either."""
        return not self.counts[ERROR] and not (strict and self.counts[WARNING])

    def to_json(self, *, strict: bool = False) -> dict[str, Any]:
        """JSON-able dict with a verdict."""
        return {
            "verdict": "clean" if self.clean(strict=strict) else "failed",
            "errors": self.counts[ERROR],
            "warnings": self.counts[WARNING],
            "notes": self.counts[NOTE],
            "rules": dict(self.by_rule),
            "problems": [problem.to_json() for problem in self.problems],
            "prompts_in_several_stories": self.shared_prompts,
            "facts": self.facts.to_json(),
        }


def lint(files: SuiteFiles, on_problem: Callable[[Problem], None] = lambda _: None) -> Report:
    """Check every script of a suite; a bad script is a problem, not an exception.

    Args:
        files: The suite.
        on_problem: Called with each problem as it is found.
    """
    report = Report()
    seen_ids: dict[str, str] = {}
    seen_prompts: set[int] = set()

    def add(problem: Problem) -> None:
        report.counts[problem.level] += 1
        report.by_rule[problem.rule] += 1
        if len(report.problems) < KEPT:
            report.problems.append(problem)
        on_problem(problem)

    for entry in files.entries:
        try:
            refuse_duplicate(entry.path, seen_ids)
            source, story = load_entry(entry)
        except UserError as error:
            add(_bad_script(entry.path, error))
            continue
        lengths = report.facts.add(story)
        for found in findings(source.data, story, lengths):
            line = source.line_of(found.field)
            add(Problem(level=found.level, rule=found.rule, file=str(entry.path), line=line, field=found.field, message=found.message))
        _count_shared(story, seen_prompts, report)
    for message in broken_promises(files.design, report.facts):
        where = str(files.entries[0].path.parent / INDEX)
        add(Problem(level=ERROR, rule="promise", file=where, line=None, field="design", message=message))
    return report


def _bad_script(path: Path, error: UserError) -> Problem:
    """The loader's error, with its line and field taken apart again."""
    place = (error.where or "").removeprefix(str(path)).removeprefix(": ")
    match = _LINE.match(place + ": ")
    rest = place[match.end() :] if match and len(place) >= match.end() else "" if match else place
    message = error.what + (f"; expected {error.expected}" if error.expected else "") + (f"; {error.hint}" if error.hint else "")
    return Problem(
        level=ERROR, rule="script", file=str(path), line=int(match[1]) if match else None, field=rest.rstrip(": "), message=message
    )


def _count_shared(story: Story, seen: set[int], report: Report) -> None:
    """Prompts that an earlier story has too; memory stays bounded, so in a large suite only the first prompts are compared with."""
    texts = {" ".join(shot.prompt.lower().split()).encode("utf-8", "surrogatepass") for shot in story.shots}
    hashes = {int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") for text in texts}
    report.shared_prompts += len(hashes & seen)
    report.compared_prompts += len(hashes)
    if len(seen) < MAX_COMPARED:
        seen |= hashes


def summary(report: Report) -> list[str]:
    """A few lines for people, after the problems."""
    facts = report.facts
    lines = [
        f"{facts.stories} stories, {facts.shots} shots, {facts.cuts} cuts, {facts.continuations:.0%} continuations",
        f"{report.counts[ERROR]} errors, {report.counts[WARNING]} warnings, {report.counts[NOTE]} notes",
    ]
    if facts.shots:
        cut, unread = facts.cut_prompts[VICLIP.name], facts.unread_share(VICLIP.name)
        lines.append(f"{VICLIP.name} reads {VICLIP.tokens} tokens ({VICLIP.used_by}):")
        lines.append(f"  it cuts {cut} of {facts.shots} prompts; {unread:.0%} of all their tokens go unread")
        lines.append(f"CLIP reads {CLIP.tokens}: it cuts {facts.cut_prompts[CLIP.name]}")
        lines.append(f"umT5 reads {UMT5.tokens}: it cuts {facts.cut_prompts[UMT5.name]} (estimated)")
    if report.shared_prompts:
        lines.append(f"{report.shared_prompts} of {report.compared_prompts} prompts stand in an earlier story as well")
    return lines
