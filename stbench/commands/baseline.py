"""`stbench baseline`: keep what a run measured in a small file that a gate compares with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stbench.commands.output import print_json
from stbench.errors import UserError

_EPILOG = """\b
Examples:
  stbench baseline runs/main -o baseline.json --rule truth_colour_kept:2%
  stbench baseline runs/main -o baseline.json --aa 3 --rule shot.p50:10%
  stbench baseline runs/main -o baselines

\b
A file that is there is replaced, and its number grows; a folder gets the next
0001.json, 0002.json, ... Commit it. --aa films the run N times more with its own
command and keeps how far the numbers lie apart; a rule below that is refused."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=_EPILOG)(baseline)


def baseline(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="A .json file, or a folder of numbered ones.", show_default=False)],
    rule: Annotated[list[str] | None, typer.Option(metavar="RULE", help="A rule that `stbench gate` applies; may be repeated.")] = None,
    aa: Annotated[int, typer.Option(min=0, max=100, help="Repeat the run so often to measure A/A noise first.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Keep a run's scores, times and memory as the baseline of a gate."""
    from stbench.gating.baseline import Baseline, save
    from stbench.gating.evidence import evidence_of
    from stbench.gating.judge import judge
    from stbench.gating.noise import film_again, noise_of, refuse_below_noise
    from stbench.gating.output import lines
    from stbench.gating.rules import parse_rules
    from stbench.store import RunFolder

    rules = parse_rules(rule or [])
    folder = RunFolder.open(run)
    evidence = evidence_of(folder)
    if evidence.problems:
        raise UserError("; ".join(evidence.problems.values()), where=str(run), expected="a run that can be trusted")
    if not evidence.metrics and not evidence.seconds:
        raise UserError("has neither scores nor warm shots with times", where=str(run), hint=f"stbench score {run}")
    noise = None
    if aa:
        noise = noise_of([evidence, *film_again(folder, aa, say=lambda text: print(text, file=sys.stderr, flush=True))])
        refuse_below_noise(rules, noise, evidence)
    made = Baseline(rules=tuple(one.text for one in rules), noise=noise, evidence=evidence)
    itself = judge(made, evidence, [one for one in rules if not one.ahead])
    if itself.failed:
        raise UserError(f"the run does not hold its own rules: {' '.join(lines(itself)[:2])}", where=str(run))
    path, made = save(made, out)
    print(f"baseline {made.number} of {evidence.run}: {path} ({path.stat().st_size} bytes)", file=sys.stderr)
    for text in _said(made.noise.largest, made.noise.share) if made.noise else ():
        print(f"  {text}", file=sys.stderr)
    if json:
        print_json({"baseline": str(path), "number": made.number, "noise": made.noise.model_dump() if made.noise else None})


def _said(largest: dict[str, float], share: dict[str, float]) -> list[str]:
    """Noise, name by name."""
    return [f"A/A {name}: {value:.4g}" + (f" ({100 * share[name]:.1f}%)" if name in share else "") for name, value in largest.items()]
