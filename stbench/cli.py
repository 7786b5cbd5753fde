"""The command line. It parses and prints; the work is elsewhere, imported when a command runs.

People read stderr, programs read stdout: `--json` prints exactly one JSON object there. Exit codes: 0 fine, 2 usage or bad
input, 3 partial, 4 invalid run, 130 interrupted.
"""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from stbench.commands import baseline as baseline_command
from stbench.commands import compare as compare_command
from stbench.commands import fetch as fetch_command
from stbench.commands import gate as gate_command
from stbench.commands import method as method_command
from stbench.commands import paper as paper_command
from stbench.commands import plan as plan_command
from stbench.commands import profile as profile_command
from stbench.commands import protocol as protocol_command
from stbench.commands import report as report_command
from stbench.commands import score as score_command
from stbench.commands import status as status_command
from stbench.commands import suite as suite_command
from stbench.commands import trend as trend_command
from stbench.commands import validate_metrics as validate_metrics_command
from stbench.commands import verify as verify_command
from stbench.commands.output import examples, print_catalogue, print_json, printable
from stbench.errors import EXIT_INTERRUPTED, EXIT_INVALID, EXIT_OK, EXIT_PARTIAL, EXIT_USAGE, UserError

DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM)
__summary__ = "Story scripts to films, films to scores, scores to reports."


app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help=__summary__)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
RunArgument = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]


@app.command(
    epilog=examples(
        "stbench run --method storymem",
        "stbench run --method storymem --suite my-story.json --out runs/mine",
        "stbench run --method storymem --set memory.size=0 --seed 7",
        "stbench run --method storymem --reference hero.png --reference house.png",
        "stbench run --method storymem --suite world --json > result.json",
        "stbench run --method storymem --suite st-bench --gpus 0,1,2,3",
        "stbench run --method storymem --out s3://bucket/films",
    )
)
def run(
    method: Annotated[str, typer.Option(help="Method to run; see `stbench list methods`.", show_default=False)],
    suite: Annotated[str, typer.Option(help="A bundled suite, a script, or a folder of scripts.")] = "world-mini",
    model: Annotated[str, typer.Option(help="A model profile or a model folder; see `stbench list models`.")] = "world",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the run; each shot derives its own.")] = 0,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URL",
            help="Run folder; with a URL (s3://…) kept there, and filmed in runs/.",
            show_default="runs/<method>-<suite>-<model>-s<seed>",
        ),
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the method; may be repeated.")] = None,
    reference: Annotated[
        list[str] | None, typer.Option(metavar="IMAGE", help="A picture that memory starts with; may be repeated.", show_default=False)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N stories.", show_default=False)] = None,
    device: DeviceOption = "auto",
    executor: Annotated[
        str, typer.Option(metavar="local|ray", help="Where stories are filmed: processes here, or a Ray cluster.")
    ] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster, or auto.", show_default="one on this machine, for this run")
    ] = None,
    worker_gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs of one Ray worker, such as 0.5.", show_default="1 on cuda, else 0")
    ] = None,
    worker_memory: Annotated[
        float | None, typer.Option(min=0, metavar="GB", help="Memory of its machine that one Ray worker needs.", show_default=False)
    ] = None,
    shot_timeout: Annotated[
        float | None, typer.Option(min=1, metavar="SECONDS", help="End a worker that is silent for so long.", show_default=False)
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Keep the run there too (s3://…), shared with other machines.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes that film stories at the same time.")] = 1,
    score_workers: Annotated[
        int, typer.Option(min=0, max=64, help="Processes that score finished stories on the CPU while others are filmed.")
    ] = 0,
    gpus: Annotated[str | None, typer.Option(metavar="0,1,…", help="One such process on each of these GPUs.", show_default=False)] = None,
    protocol: Annotated[str, typer.Option(help="Protocol to score under; see `stbench list protocols`.")] = "world",
    retries: Annotated[int, typer.Option(min=0, max=20, help="How often a failed shot is tried again.")] = 1,
    on_error: Annotated[
        str, typer.Option(metavar="POLICY", help="When a shot keeps failing: skip-story, continue-story (without it) or stop.")
    ] = "skip-story",
    repeat: Annotated[int, typer.Option(min=1, max=10, help="Film every shot N times in all and record how far the copies differ.")] = 1,
    verify: Annotated[bool, typer.Option("--verify", help="With --repeat: exit with 4 if any frame differs.")] = False,
    score: Annotated[bool, typer.Option("--score/--no-score", help="Score and report after filming.")] = True,
    json: JsonFlag = False,
) -> None:
    """Film the stories of a suite with a method, score them, and report. The same command continues."""
    from stbench.config import RunConfig, check_device, check_executor, check_policy, parse_gpus, parse_options
    from stbench.runner import run as run_it
    from stbench.storage.mirror import places

    folder, mirror = places(out, mirror)
    config = RunConfig(
        method=method,
        suite=suite,
        model=model,
        seed=seed,
        options=parse_options(set_ or []),
        references=tuple(reference or ()),
        protocol=protocol,
        out=folder,
        limit=limit,
        device=check_device(device),
        executor=check_executor(executor, ray_address=ray_address, worker_gpus=worker_gpus, worker_memory=worker_memory, gpus=gpus),
        ray_address=ray_address,
        worker_gpus=worker_gpus,
        worker_memory=worker_memory,
        shot_timeout=shot_timeout,
        mirror=mirror,
        workers=workers,
        score_workers=score_workers if score else 0,
        gpus=parse_gpus(gpus, workers=workers, device=device),
        score=score,
        retries=retries,
        on_error=check_policy(on_error),
        repeat=max(repeat, 2) if verify else repeat,
        verify=verify,
        json=json,
    )
    from stbench.display import make_display
    from stbench.workers import helped, led

    if helped(config):
        return
    with led(config), make_display() as display:
        outcome = run_it(config, display)
    _end(outcome, json)


score_command.register(app)


report_command.register(app)


@app.command(epilog=examples("stbench check runs/memory"))
def check(run: RunArgument, json: JsonFlag = False) -> None:
    """Verify a run folder from its files alone: named rules, no model, no GPU."""
    from stbench.check import check_run

    result = check_run(run)
    if json:
        print_json(result.to_json())
    for line in result.lines():
        print(line, file=sys.stderr)
    _exit({"valid": EXIT_OK, "partial": EXIT_PARTIAL, "invalid": EXIT_INVALID}[result.verdict])


@app.command("list", epilog=examples("stbench list methods", "stbench list models --json"))
def list_(
    what: Annotated[str, typer.Argument(metavar="methods|metrics|protocols|models|suites", help="What to list.", show_default=False)],
    json: JsonFlag = False,
) -> None:
    """Names that other commands take, each with one line about it."""
    print_catalogue(what, json)


status_command.register(app)
compare_command.register(app)
paper_command.register(app)
method_command.register(app)
baseline_command.register(app)
gate_command.register(app)
plan_command.register(app)
verify_command.register(app)
validate_metrics_command.register(app)
profile_command.register(app)
trend_command.register(app)
fetch_command.register(app)
protocol_command.register(app)
suite_command.register(app)


def _end(outcome: Any, json: bool) -> NoReturn:
    from stbench.endcard import as_json, print_end_card

    print_end_card(outcome)
    if json:
        print_json(as_json(outcome))
    _exit(EXIT_OK if outcome.verdict == "complete" else EXIT_PARTIAL)


def _exit(code: int) -> NoReturn:
    raise typer.Exit(code)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point."""
    run_app(app, "stbench", arguments)


def run_app(app: typer.Typer, name: str, arguments: list[str] | None = None) -> NoReturn:
    """Run a command line: a `UserError` becomes one line and its exit code, Ctrl-C says what is safe, a bug keeps its traceback."""
    import signal

    words = sys.argv[1:] if arguments is None else arguments
    wants_json = "--json" in words
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's polite stop is a Ctrl-C
    try:
        code = app(args=words, prog_name=name, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else EXIT_OK)
    except UserError as error:
        _fail(str(error), error.exit_code, wants_json)
    except KeyboardInterrupt:
        _fail("interrupted", EXIT_INTERRUPTED, wants_json)
    except Exception as error:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            _fail(f"out of memory ({error or 'no more is said'}); what is finished is safe", EXIT_PARTIAL, wants_json)
        if isinstance(error, OSError) and error.errno in DISK_REFUSES:
            where = f"{error.filename}: " if error.filename else ""
            _fail(f"{where}{error.strerror}; what is finished is safe; mend the disk, then repeat the command", EXIT_PARTIAL, wants_json)
        if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            path = str(error.filename)
            _fail(f"{path if len(path) < 80 else path[:80] + '…'}: {error.strerror}", EXIT_USAGE, wants_json)
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # typer's own usage errors
            _fail(error.format_message(), EXIT_USAGE, wants_json, hint=f"{name} --help")
        if type(error).__name__ == "InterruptedRunError":
            _fail(f"{error}\ncontinue: {getattr(error, 'command', '')}", EXIT_INTERRUPTED, wants_json)
        raise


def _fail(line: str, code: int, wants_json: bool, hint: str = "") -> NoReturn:
    text = "\n".join(printable(part) for part in line.split("\n")) if code == EXIT_INTERRUPTED else printable(" ".join(line.split()))
    print(f"{'' if code == EXIT_INTERRUPTED else 'error: '}{text}{f'; try: {hint}' if hint else ''}", file=sys.stderr, flush=True)
    if wants_json:
        verdict = {EXIT_INTERRUPTED: "interrupted", EXIT_INVALID: "invalid"}.get(code, "error")
        print_json({"verdict": verdict, "error": text, "exit_code": code})
    sys.exit(code)


if __name__ == "__main__":
    main()
