"""Oracles: folders with inputs and the numbers that somebody else's code computed from them, and how ours are held against them.

A verifier (one per format, in `storymem.verify` and `metrics.verify`) reads a folder and lists `Check`s: a name, a tolerance, and
a function that computes with the project's own code and returns the error. Here they are run, one by one, so that a broken file
or a crash is the miss of that case and of no other, and put together into a `Report`. What a folder lacks and what nobody understands
is named, not ignored.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stbench.errors import UserError

VERIFIERS = ("storymem.verify:VERIFIER", "metrics.verify:VERIFIER")
DOCUMENTS = (".md", ".txt", "")  # suffixes of files that explain and are not data


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What to compute with."""

    device: str = "cpu"
    dtype: str = "float32"  # of transformers and encoders; what always runs in float32 stays so
    attention: str | None = None  # a backend's name; None: whatever a fresh model uses


@dataclass(frozen=True, kw_only=True)
class Check:
    """One number to be equalled."""

    name: str  # "transformer out_t922": the file, then the case
    measure: Callable[[], float]  # computes and returns the error
    tolerance: float = 0.0
    kind: str = "exact"  # rel_l2, max_abs, abs or exact (then the error counts differences)

    def run(self) -> Case:
        """The case. Whatever the computation raises is its reason: a verifier reports, it does not crash."""
        try:
            error = float(self.measure())
        except Exception as why:
            return Case(name=self.name, kind=self.kind, tolerance=self.tolerance, error=None, reason=_one_line(why))
        reason = None if math.isfinite(error) else f"the error is {error}"
        return Case(name=self.name, kind=self.kind, tolerance=self.tolerance, error=error if reason is None else None, reason=reason)


@dataclass(frozen=True, kw_only=True)
class Unchecked:
    """Something that cannot be checked here, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """The outcome of a check; `error` is None where there is none, and then `reason` says why."""

    name: str
    kind: str
    tolerance: float
    error: float | None
    reason: str | None = None

    @property
    def passed(self) -> bool:
        """Whether there is an error and it is within tolerance."""
        return self.error is not None and self.error <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """The case as JSON."""
        row = {"case": self.name, "kind": self.kind, "error": self.error, "tolerance": self.tolerance, "pass": self.passed}
        return row if self.reason is None else row | {"reason": self.reason}

    def line(self) -> str:
        """One line for people.

        Example:
            >>> Case(name="vae decode", kind="rel_l2", tolerance=5e-6, error=7e-7).line()
            'pass  vae decode                                             rel_l2   7.0e-07  (tolerance 5e-06)'
        """
        error = "-" if self.error is None else f"{self.error:.1e}" if self.error else "0"
        line = f"{'pass' if self.passed else 'MISS'}  {self.name:<54} {self.kind:<8} {error:<8} (tolerance {self.tolerance:g})"
        return line if self.reason is None else f"{line}  {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """One format: which files it has, and how they are checked."""

    name: str
    about: str
    files: tuple[str, ...]  # glob patterns of the file names that it reads
    required: tuple[str, ...]  # those of them that a whole folder has
    checks: Callable[[OracleFolder, Setting], Iterator[Check | Unchecked]]
    notes: Callable[[Setting], tuple[str, ...]] = lambda setting: ()  # how tolerances and precision were chosen
    accept: Callable[[Setting], None] = lambda setting: None  # UserError for a setting that cannot be

    def known(self, folder: Path) -> list[str]:
        """Names of the files in the folder that belong to this format."""
        return sorted(path.name for path in folder.iterdir() if any(path.match(pattern) for pattern in self.files))


class Tensors(Mapping[str, Any]):
    """The tensors of one file; it remembers which were asked for, so that the others can be named."""

    def __init__(self, tensors: Mapping[str, Any]):
        self._tensors, self._read = dict(tensors), set[str]()

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return self._tensors[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, key: object) -> bool:
        return key in self._tensors

    def part(self, prefix: str) -> dict[str, Any]:
        """The tensors whose names start with `prefix.`, without it."""
        return {key.removeprefix(prefix + "."): self[key] for key in self if key.startswith(prefix + ".")}

    @property
    def unread(self) -> list[str]:
        """Names that nobody asked for."""
        return sorted(set(self._tensors) - self._read)


class OracleFolder:
    """Files of an oracle, each read once.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path):
        self.path = path
        self._json: dict[str, Any] = {}
        self._tensors: dict[str, Tensors] = {}

    def has(self, *names: str) -> bool:
        """Whether all these files are there."""
        return all((self.path / name).is_file() for name in names)

    def json(self, name: str) -> Any:
        """The content of `<name>.json`; `UserError` if it cannot be read."""
        if name not in self._json:
            path = self.path / f"{name}.json"
            try:
                self._json[name] = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError as error:
                raise UserError("not in this folder", where=path.name) from error
            except (OSError, ValueError) as error:
                raise UserError(f"cannot be read as JSON ({_one_line(error)})", where=path.name) from error
        return self._json[name]

    def tensors(self, name: str) -> Tensors:
        """The tensors of `<name>.safetensors`, on the CPU; `UserError` if it cannot be read."""
        if name not in self._tensors:
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            path = self.path / f"{name}.safetensors"
            try:
                self._tensors[name] = Tensors(load_file(path))
            except FileNotFoundError as error:
                raise UserError("not in this folder", where=path.name) from error
            except (SafetensorError, OSError) as error:
                raise UserError(f"not a whole safetensors file ({_one_line(error)})", where=path.name) from error
        return self._tensors[name]

    def unread(self) -> list[str]:
        """Results in the files that were opened that nobody asked for (inputs, named `in.*`, need not all be used)."""
        pairs = [(name, key) for name, tensors in sorted(self._tensors.items()) for key in tensors.unread]
        return [f"{name}.safetensors: {key}" for name, key in pairs if not key.startswith("in.")]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What verifying a folder found."""

    folder: str
    formats: tuple[str, ...]
    setting: Setting
    cases: tuple[Case, ...]
    absent: tuple[str, ...] = ()  # files of the format that are not in this folder
    unchecked: tuple[Unchecked, ...] = ()
    unknown: tuple[str, ...] = ()  # files and tensors that nobody understands
    notes: tuple[str, ...] = field(default=())

    @property
    def missed(self) -> tuple[Case, ...]:
        """The cases that are not within tolerance."""
        return tuple(case for case in self.cases if not case.passed)

    @property
    def verdict(self) -> str:
        """Equal or different; a folder in which nothing could be checked is not equal to anything."""
        return "equal" if self.cases and not self.missed else "different"

    def summary(self) -> str:
        """One line: how many cases passed."""
        count = f"{len(self.cases) - len(self.missed)} of {len(self.cases)} cases within tolerance"
        backend = f", attention {self.setting.attention}" if self.setting.attention else ""
        return f"{self.verdict.upper()}  {count}  ({' and '.join(self.formats)} on {self.setting.device}, {self.setting.dtype}{backend})"

    def to_json(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "verdict": self.verdict,
            "n_done": len(self.cases) - len(self.missed),
            "n_expected": len(self.cases),
            "folder": self.folder,
            "formats": list(self.formats),
            "device": self.setting.device,
            "dtype": self.setting.dtype,
            "attention": self.setting.attention,
            "cases": [case.to_json() for case in self.cases],
            "not_in_this_folder": list(self.absent),
            "not_checked": [{"case": item.name, "reason": item.reason} for item in self.unchecked],
            "not_understood": list(self.unknown),
            "notes": list(self.notes),
        }


def verifiers() -> list[Verifier]:
    """All formats that are known."""
    found = []
    for target in VERIFIERS:
        module, _, attribute = target.partition(":")
        found.append(getattr(importlib.import_module(module), attribute))
    return found


def verify(path: Path, setting: Setting, *, on_case: Callable[[Case], None] = lambda case: None) -> Report:
    """Hold the project's own computations against every number in a folder.

    Args:
        path: The folder; which format it has is seen from its files (both formats in one folder are fine).
        setting: Device, dtype and attention backend.
        on_case: Called with each case when it is done.

    Raises:
        UserError: The folder does not exist or holds no file of any known format.
    """
    if not path.is_dir():
        raise UserError("is not a folder", where=str(path), expected="a folder with the numbers of an oracle")
    present = {item.name for item in path.iterdir() if item.is_file()}
    formats = [verifier for verifier in verifiers() if verifier.known(path)]
    if not formats:
        names = "; ".join(f"{verifier.name} ({', '.join(verifier.required[:4])}, …)" for verifier in verifiers())
        raise UserError(f"holds no oracle ({len(present)} files)", where=str(path), expected=f"files of one of: {names}")
    for verifier in formats:
        verifier.accept(setting)
    folder, cases, unchecked = OracleFolder(path), [], []
    for verifier in formats:
        for item in _each(verifier, folder, setting):
            if isinstance(item, Unchecked):
                unchecked.append(item)
                continue
            case = item.run()
            on_case(case)
            cases.append(case)
    absent = [name for verifier in formats for name in verifier.required if name not in present]
    known = {name for verifier in formats for name in verifier.known(path)}
    unknown = sorted(name for name in present - known if Path(name).suffix not in DOCUMENTS)
    return Report(
        folder=str(path),
        formats=tuple(verifier.name for verifier in formats),
        setting=setting,
        cases=tuple(cases),
        absent=tuple(absent),
        unchecked=tuple(unchecked),
        unknown=(*unknown, *folder.unread()),
        notes=tuple(note for verifier in formats for note in verifier.notes(setting)),
    )


def broken(name: str, why: Exception) -> Check:
    """A check that misses because its file cannot be read or lacks a field."""

    def fail() -> float:
        raise why

    return Check(name=name, measure=fail)


def _each(verifier: Verifier, folder: OracleFolder, setting: Setting) -> Iterator[Check | Unchecked]:
    try:
        yield from verifier.checks(folder, setting)
    except Exception as why:
        yield broken(verifier.name, why)


def _one_line(why: Exception) -> str:
    text = " ".join(str(why).split())[:300]
    return text if isinstance(why, UserError) else f"{type(why).__name__}: {text}" if text else type(why).__name__
