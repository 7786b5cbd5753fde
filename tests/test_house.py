"""The house rules that no linter knows: who may import whom, how long a file may be, what import costs, which words stay out."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("stbench", "storymem", "metrics", "reports")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAX_LINES = 350

MODELS = {"torch", "torchvision", "diffusers", "transformers", "peft", "accelerate", "open_clip"}
FORBIDDEN_IMPORTS = {
    "stbench": {"storymem", "metrics", "reports"},
    "storymem": {"metrics", "reports"},
    "metrics": {"storymem", "reports"},
    "reports": {"storymem", "metrics"} | MODELS,
}
# Spelt in halves, so that this file does not hold them.
FORBIDDEN_WORDS = ("/wo" + "rk/", "../sha" + "red", "pypi" + ".org", "files.python" + "hosted")
TEXT_SUFFIXES = {".py", ".md", ".toml", ".ini", ".yml", ".yaml", ".json", ".txt", ""}


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def imports(tree: ast.AST) -> set[str]:
    """Top-level packages that a file imports anywhere, also inside functions; relative imports stay in their package."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def eager_imports(tree: ast.Module) -> set[str]:
    """Top-level packages imported when the module is imported: not in functions, not under `if TYPE_CHECKING`."""
    names: set[str] = set()
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= imports(node)
        else:
            pending += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return names


def tracked_files() -> list[Path]:
    """What git knows or would add; without git (an unpacked archive), the sources."""
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False)
    listed = [ROOT / line for line in done.stdout.splitlines()] if done.returncode == 0 else list(SOURCES)
    return sorted(path for path in listed if path.is_file() and path.suffix in TEXT_SUFFIXES)


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_point_one_way(package: str) -> None:
    wrong = {}
    for path in SOURCES:
        if package_of(path) == package:
            found = imports(ast.parse(path.read_text(encoding="utf-8"))) & FORBIDDEN_IMPORTS[package]
            if found:
                wrong[str(path.relative_to(ROOT))] = sorted(found)
    assert not wrong


def test_harness_imports_no_model_library_at_module_level() -> None:
    wrong = {}
    for path in SOURCES:
        if package_of(path) == "stbench":
            found = eager_imports(ast.parse(path.read_text(encoding="utf-8"))) & MODELS
            if found:
                wrong[str(path.relative_to(ROOT))] = sorted(found)
    assert not wrong


def test_import_of_the_command_line_is_light() -> None:
    code = "import sys, stbench.cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = (MODELS | {"numpy", "pandas", "pydantic", "scipy", "matplotlib", "av", "PIL"}) & set(done.stdout.split())
    assert not heavy


def test_files_stay_short() -> None:
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > MAX_LINES}
    assert not long, f"over {MAX_LINES} lines"


def test_no_file_names_a_place_that_only_one_machine_has() -> None:
    wrong = []
    for path in tracked_files():
        text = path.read_text(encoding="utf-8", errors="replace")
        wrong += [f"{path.relative_to(ROOT)}: {word}" for word in FORBIDDEN_WORDS if word in text]
    assert not wrong


def modules_with_doctests() -> list[str]:
    names = []
    for path in SOURCES:
        if ">>> " in path.read_text(encoding="utf-8"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


@pytest.mark.parametrize("name", modules_with_doctests())
def test_examples_in_docstrings_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
