"""A finished run that is asked for again: "nothing to do" in a moment, without loading a model or a metric.

At the end of a complete run a stamp is left: a hash of what was asked, of the program's own files and of the model's. The
same command compares it, looks at every file of every shot (hashing only what was touched, see `stbench.verified`), and is done.
Whatever does not match, or cannot be known cheaply, takes the long way, which decides as ever.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.config import IDENTITY, RunConfig
from stbench.errors import UserError
from stbench.files import read_small_json, write_json
from stbench.journal import segments
from stbench.keys import digest
from stbench.methods import METHODS
from stbench.store import RunFolder
from stbench.suites import load_suite, with_references
from stbench.sums import altered
from stbench.verified import FILE as VERIFIED
from stbench.verified import Verified

if TYPE_CHECKING:
    from stbench.runner import RunOutcome

FILE = ".finished.json"
PACKAGES = ("stbench", "storymem", "metrics", "reports")
OUTSIDE = ("stbench.external.", "stbench.adoption.")  # methods that film with what is not among the program's own files
EMBEDDED = "world"  # the model whose files are among the program's own


def leave_stamp(config: RunConfig, outcome: RunOutcome) -> None:
    """Remember a complete, scored run."""
    mark = _mark(config)
    if mark is None or outcome.verdict != "complete" or not outcome.scored:
        return
    root = outcome.folder.path
    paths = {name: _relative(value, root) for name, value in outcome.paths.items()}
    write_json(root / FILE, {"mark": mark, "protocol": config.protocol, "paths": paths, "stats": _stats(outcome.folder)})


def distrust(root: Path) -> None:
    """Something in the folder is not what it was: forget what was known of it, so that the next run reads every file."""
    for name in (FILE, VERIFIED):
        with contextlib.suppress(OSError):
            (root / name).unlink(missing_ok=True)


def finished(config: RunConfig, out: Path) -> RunOutcome | None:
    """The outcome of a run that has nothing to do, or None where that is not certain."""
    from stbench.filming import reusable
    from stbench.runner import RunOutcome
    from stbench.scores import aggregate

    try:
        stamp = read_small_json(out / FILE)
        if not config.score or config.repeat > 1 or stamp["mark"] != _mark(config):  # whether a repetition is due, the run itself decides
            return None
        folder = RunFolder.open(out)
        paths = {name: _absolute(value, out) for name, value in stamp["paths"].items()}
        if (
            folder.manifest.status != "complete"
            or stamp["stats"] != _stats(folder)
            or not all(_exists(v) for v in paths.values())
            or altered(folder.report_path)
        ):
            return None
        verified = Verified(out)
        if any(record is None for story in folder.stories for _, record in reusable(folder, story, verified=verified)):
            return None
        verified.save()
        rows = [row for row in folder.scores() if row.protocol == stamp["protocol"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError):
        return None
    aggregates = tuple(aggregate(rows))
    if not aggregates or not all(line.complete for line in aggregates):
        return None
    return RunOutcome(
        verdict="complete",
        folder=folder,
        made=0,
        reused=folder.manifest.counts.expected,
        failed=0,
        skipped=0,
        aggregates=aggregates,
        paths=paths,
        command=config.command(),
        scored=True,
    )


def _mark(config: RunConfig) -> str | None:
    """Hash of what was asked and of every file of the program; None for models and methods that live elsewhere."""
    target = METHODS.target(config.method)
    if config.model != EMBEDDED or target.partition(":")[0].partition(".")[0] not in PACKAGES or target.startswith(OUTSIDE):
        return None
    asked = {name: value for name, value in asdict(config).items() if RunConfig.__dataclass_fields__[name].metadata == IDENTITY}
    suite = with_references(load_suite(config.suite), config.references)
    return digest({"asked": asked, "suite": suite.digest, "limit": config.limit, "program": _program()})


def _program() -> dict[str, list[int]]:
    """Size and time of every file of the four packages."""
    import importlib.util

    found: dict[str, list[int]] = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(place).rglob("*")):
                if path.suffix in (".py", ".json", ".safetensors"):
                    stat = path.stat()
                    found[f"{package}/{path.relative_to(place).as_posix()}"] = [stat.st_size, stat.st_mtime_ns]
    return found


def _stats(folder: RunFolder) -> list[list[int]]:
    """Size and time of every file beside the shots that the run consists of."""
    films = [folder.film_path(story.id) for story in folder.stories]
    journals = [file for path in (folder.events_path, folder.timing_path) for file in (path, *segments(path))]
    files = [folder.scores_path, *journals, *films, *(film.with_suffix(".json") for film in films)]
    found = [path.stat() for path in files]
    return [[stat.st_size, stat.st_mtime_ns] for stat in found]


def _relative(value: Any, root: Path) -> Any:
    if isinstance(value, Path):
        return value.resolve().relative_to(root.resolve()).as_posix() if value.resolve().is_relative_to(root.resolve()) else str(value)
    if isinstance(value, Mapping):
        return {name: _relative(part, root) for name, part in value.items()}
    return [_relative(part, root) for part in value] if isinstance(value, list | tuple) else value


def _absolute(value: Any, root: Path) -> Any:
    if isinstance(value, str):
        return root / value if value != "." else root
    if isinstance(value, Mapping):
        return {name: _absolute(part, root) for name, part in value.items()}
    return [_absolute(part, root) for part in value]


def _exists(value: Any) -> bool:
    if isinstance(value, Path):
        return value.exists()
    return all(_exists(part) for part in (value.values() if isinstance(value, Mapping) else value))
