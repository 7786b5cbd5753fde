"""`stbench gate`: did this run get worse than the base? For CI to require."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stbench.commands.output import print_json
from stbench.errors import EXIT_GATE_FAILED, EXIT_OK, UserError

if TYPE_CHECKING:
    from stbench.gating.baseline import Baseline
    from stbench.gating.evidence import Evidence
    from stbench.gating.judge import Decision
    from stbench.gating.rules import Rule
    from stbench.store import RunFolder

_EPILOG = """\b
Examples:
  stbench gate runs/pr --baseline baseline.json
  stbench gate runs/pr --baseline baseline.json --rule truth_colour_kept:2%
  stbench gate runs/pr --baseline runs/main --rule entity_consistency:0.01abs
  stbench gate runs/memory --baseline runs/independent \\
    --rule truth_colour_kept:+0.25abs
  stbench gate runs/pr --baseline baseline.json --rule shot.p50:10% \\
    --interleave "../main/venv/bin/stbench run --method storymem --out {out}"

\b
Rules: METRIC:2% or METRIC:0.01abs (at most so much worse), METRIC:+0.25abs (at
least so much better), STAGE.p50:10% (p90, mean), peak_mem:5%.
Exit codes: 0 all rules hold, 1 a rule fails, 2 usage."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(gate)


def gate(
    run: Annotated[Path, typer.Argument(help="The run to judge.", show_default=False)],
    baseline: Annotated[
        Path, typer.Option("--baseline", "-b", help="A file of `stbench baseline`, a folder of them, or a run.", show_default=False)
    ],
    rule: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="A rule; may be repeated.", show_default="those of the baseline")
    ] = None,
    interleave: Annotated[
        str | None,
        typer.Option(metavar="BASE_CMD", help="Judge times of fresh films: base (this command, with {out}) and new in turns."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=2, max=100, help="With --interleave: how often each films.")] = 3,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.", show_default=False)] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a summary for a pull request.", show_default=False)] = None,
    annotate: Annotated[
        bool | None, typer.Option("--annotate/--no-annotate", help="Print GitHub annotations.", show_default="in GitHub Actions")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Fail if a run is worse than a baseline: rule by rule, with a reason.

    Quality fails beyond the limit and only if the story-clustered interval of the paired change excludes zero. Time and memory fail on the
    same kind of device, beyond the limit and the stored A/A noise. What is missing or cannot be compared fails.
    """
    from stbench.gating import output
    from stbench.gating.baseline import open_baseline
    from stbench.gating.evidence import evidence_of
    from stbench.gating.rules import parse_rules
    from stbench.store import RunFolder

    base, folder = open_baseline(baseline), RunFolder.open(run)
    rules = parse_rules(rule) if rule else base.parsed()
    if not rules:
        raise UserError("the baseline has no rules, and none is given", where="--rule", expected="for example --rule shot.p50:10%")
    decision = _decide(base, folder, evidence_of(folder), rules, interleave, rounds)
    for path, text in ((junit, output.junit), (markdown, output.markdown)):
        if path is not None:
            _write(path, text(decision))
    for line in output.lines(decision):
        print(line, file=sys.stderr)
    for line in output.github(decision) if _wants(annotate) else ():
        print(line, file=sys.stderr)  # the runner reads commands from both streams
    if json:
        print_json(decision.to_json())
    raise typer.Exit(EXIT_OK if decision.verdict == "pass" else EXIT_GATE_FAILED)


def _decide(base: Baseline, folder: RunFolder, new: Evidence, rules: tuple[Rule, ...], interleave: str | None, rounds: int) -> Decision:
    """Quality from the run; with `--interleave`, times and memory from films made in turns."""
    from dataclasses import replace

    from stbench.gating.baseline import Baseline
    from stbench.gating.judge import judge
    from stbench.gating.noise import in_turns, merged, noise_of

    if interleave is None:
        decision = judge(base, new, rules)
        return replace(decision, notes=(*decision.notes, *_doubts(folder, rules)))
    costs = {rule.text for rule in rules if rule.kind != "quality"}
    if not costs:
        raise UserError("no rule is about time or memory", where="--interleave", expected="for example --rule shot.p50:10%")
    before, after = in_turns(folder, interleave, rounds, say=lambda text: print(text, file=sys.stderr, flush=True))
    fresh = Baseline(evidence=merged(before), noise=noise_of(before))
    timed = judge(fresh, merged(after), [rule for rule in rules if rule.text in costs])
    scored = judge(base, new, [rule for rule in rules if rule.text not in costs])
    decided = {verdict.rule: verdict for verdict in (*timed.verdicts, *scored.verdicts)}
    note = f"times and memory: {rounds} films of the base and of this program in turns, medians by shot; noise is that of the base's films"
    return replace(scored, verdicts=tuple(decided[rule.text] for rule in rules), notes=(*scored.notes, note))


def _doubts(folder: RunFolder, rules: tuple[Rule, ...]) -> list[str]:
    """Why the run's times may not be believed: a busy machine fails no gate by itself, and its reader should know."""
    from stbench.profiling.reading import read_timings
    from stbench.profiling.validity import validity

    if not any(rule.kind == "latency" for rule in rules):
        return []
    return [f"the times of this run are INVALID: {reason}" for reason in validity(read_timings(folder)).reasons]


def _wants(annotate: bool | None) -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true" if annotate is None else annotate


def _write(path: Path, text: str) -> None:
    from stbench.files import write_bytes

    write_bytes(path, text.encode())
