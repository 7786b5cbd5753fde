"""`stbench suite convert`: a file or a folder of scripts, written in another dialect. Nothing is overwritten."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stbench.dialects import NAMES, SUITE_SUFFIXES
from stbench.dialects.convert import SUFFIX, convert, dialect_of
from stbench.errors import UserError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Written:
    """A file that was written, and what its dialect could not hold."""

    path: Path
    dialect: str
    losses: tuple[str, ...]


def convert_files(source: Path, out: Path, to: str | None) -> list[Written]:
    """Convert one script, or every script of a folder.

    Args:
        source: A script or a folder of scripts.
        out: A file, or a folder where `source` is one; must not exist.
        to: A dialect; None takes it from the name of `out`, ST-Bench's for `.json` and folders.

    Raises:
        UserError: A bad script, an unknown dialect, or `out` exists. Every script is read before the first is written.
    """
    if to is not None and to not in NAMES:
        raise UserError(f"unknown dialect {to!r}", where="--to", expected="one of: " + ", ".join(NAMES), hint=did_you_mean(to, NAMES))
    dialect = to or (dialect_of(out) if not source.is_dir() else None) or "st-bench"
    if out.exists():
        raise UserError("exists already", where=str(out), expected="a new file or folder", hint="nothing was changed")
    if not source.is_dir():
        done = convert(source, dialect)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(done.text, encoding="utf-8")
        return [Written(path=out, dialect=dialect, losses=done.losses)]
    files = [file for file in sorted(source.iterdir()) if file.name.lower().endswith(SUITE_SUFFIXES) and file.name != "suite.json"]
    if not files:
        raise UserError("holds no scripts", where=str(source), expected="at least one of *" + ", *".join(SUITE_SUFFIXES))
    results = [(out / f"{file.stem.removesuffix('.story')}{SUFFIX.get(dialect, '.json')}", convert(file, dialect)) for file in files]
    if double := next((path for path, _ in results if sum(path == other for other, _ in results) > 1), None):
        raise UserError(f"two scripts would become {double.name}", where=str(source), expected="file names that differ")
    out.mkdir(parents=True)
    for path, done in results:
        path.write_text(done.text, encoding="utf-8")
    return [Written(path=path, dialect=dialect, losses=done.losses) for path, done in results]
