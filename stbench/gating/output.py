"""What a gate says: lines for people, a summary in Markdown, JUnit XML, GitHub annotations."""

from __future__ import annotations

import re
import textwrap
from xml.etree import ElementTree as ET

from stbench.commands.output import printable
from stbench.endcard import WIDTH
from stbench.gating.judge import Decision, Verdict

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]|[\ud800-\udfff]")  # not allowed in XML 1.0, or of no use


def number(value: float | None, unit: str, *, signed: bool = False) -> str:
    """A number with as many digits as make sense.

    Example:
        >>> number(0.6235, "share"), number(12.3456, "s", signed=True), number(None, "s"), number(61.25, "GiB")
        ('0.624', '+12.35', '-', '61.25')
    """
    if value is None:
        return "-"
    digits = 2 if unit == "GiB" or (unit == "s" and abs(value) >= 10) else 3
    return f"{value:{'+' if signed else ''}.{digits}f}"


def facts(verdict: Verdict) -> str:
    """Numbers of a verdict: `0.623 -> 0.601 share  -0.022 (-3.5%)  95% -0.040 .. -0.004`; "" where there are none."""
    v = verdict
    if v.change is None:
        return ""
    share = "" if v.share is None else f" ({100 * v.share:+.1f}%)"
    parts = [f"{number(v.base, v.unit)} -> {number(v.new, v.unit)} {v.unit}", f"{number(v.change, v.unit, signed=True)}{share}"]
    if v.low is not None:
        parts.append(f"95% {number(v.low, v.unit, signed=True)} .. {number(v.high, v.unit, signed=True)}")
    if v.noise is not None:
        parts.append(f"noise {number(v.noise, v.unit)}")
    return "  ".join(parts)


def headline(decision: Decision) -> str:
    """Verdict, counts, and what was compared."""
    total, failed = len(decision.verdicts), len(decision.failed)
    count = f"{failed} of {total} rules failed" if failed else f"all {total} rules hold" if total else "no rules"
    return f"GATE {decision.verdict.upper()}  {count}  {decision.run} against {decision.base}"


def lines(decision: Decision) -> list[str]:
    """For a terminal of 80 columns."""
    found = []
    for verdict in decision.verdicts:
        found.append(f"{'pass' if verdict.passed else 'FAIL'}  {verdict.rule}")
        found += [line for text in (facts(verdict), verdict.reason) for line in _wrapped(text, "      ", "      ")]
    notes = [line for note in decision.notes for line in _wrapped(note, "note: ", "      ")]
    return [*found, *notes, *_wrapped(headline(decision), "", "      ")]


def markdown(decision: Decision) -> str:
    """For a pull request."""
    mark = "passed" if decision.verdict == "pass" else "FAILED"
    head = [f"### stbench gate {mark}", "", f"`{_cell(decision.run)}` against {_cell(decision.base)}", ""]
    table = ["| | rule | base | new | change | 95% by story | why |", "|---|---|---:|---:|---:|---:|---|"]
    for v in decision.verdicts:
        share = "" if v.share is None else f" ({100 * v.share:+.1f}%)"
        change = "-" if v.change is None else f"{number(v.change, v.unit, signed=True)}{share}"
        interval = "-" if v.low is None else f"{number(v.low, v.unit, signed=True)} .. {number(v.high, v.unit, signed=True)}"
        cells = ("pass" if v.passed else "**FAIL**", f"`{v.rule}`", number(v.base, v.unit), number(v.new, v.unit), change, interval)
        table.append("| " + " | ".join([*cells, _cell(v.reason)]) + " |")
    notes = ["", *(f"- {_cell(note)}" for note in decision.notes)] if decision.notes else []
    return "\n".join([*head, *table, *notes]) + "\n"


def junit(decision: Decision) -> str:
    """JUnit XML: one test case per rule."""
    suite = ET.Element("testsuite", name="stbench gate", tests=str(len(decision.verdicts)), failures=str(len(decision.failed)), errors="0")
    for verdict in decision.verdicts:
        case = ET.SubElement(suite, "testcase", classname=f"stbench.gate.{verdict.kind}", name=_plain(verdict.rule), time="0")
        said = _plain("\n".join(filter(None, (facts(verdict), verdict.reason))))
        if not verdict.passed:
            ET.SubElement(case, "failure", message=_plain(verdict.reason)).text = said
        elif said:
            ET.SubElement(case, "system-out").text = said
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def github(decision: Decision) -> list[str]:
    """GitHub's workflow commands: an error per failed rule, a notice with the verdict."""
    errors = [
        f"::error title={_property(f'gate {v.rule}')}::{_data('  '.join(filter(None, (v.reason, facts(v)))))}" for v in decision.failed
    ]
    return [*errors, f"::notice title=stbench gate::{_data(headline(decision))}"]


def _data(text: str) -> str:
    """Escaped as GitHub wants the message of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escaped as GitHub wants a property of a command.

    Example:
        >>> _property("gate shot.p50:10%")
        'gate shot.p50%3A10%25'
    """
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _wrapped(text: str, first: str, later: str) -> list[str]:
    """Lines of at most 80 columns; a long word, such as a path, stays whole."""
    return textwrap.wrap(
        printable(text), WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )


def _plain(text: str) -> str:
    return _CONTROL.sub("?", text)


def _cell(text: str) -> str:
    """Text inside a table of Markdown: one line, no bar, no tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
