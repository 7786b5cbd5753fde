"""The README shows what the program prints, and its methods. `python tests/test_docs.py` writes the blocks anew.

Terminal libraries change how they draw a help page (boxes, widths, `TEXT` or `<str>`), not what it says; so words are
compared, without spacing, box characters and the names of types.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"```text\n\$ (stbench [^\n]*--help)\n(.*?)```", re.DOTALL)
METHODS = re.compile(r"<!-- methods:begin -->\n(.*?)<!-- methods:end -->", re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)[^)]*\)")


def run_help(command: str) -> str:
    """What `command` prints, 100 columns wide, without colours."""
    env = dict(os.environ, COLUMNS="100", TERMINAL_WIDTH="100", NO_COLOR="1", TERM="dumb", PYTHONIOENCODING="utf-8")
    env.pop("FORCE_COLOR", None)
    line = [sys.executable, "-c", "from stbench.cli import main; main()", *shlex.split(command)[1:]]
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8", check=True)
    lines = [text.rstrip() for text in done.stdout.replace("-c [", "stbench [").splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def words(text: str) -> list[str]:
    return re.sub(r"[─-╿]|<[a-z ]+>|\b(TEXT|PATH|INTEGER( RANGE)?)\b", " ", text).split()


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall(README.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("command", "shown"), blocks(), ids=lambda value: value if value.startswith("stbench") else "")
def test_readme_shows_the_real_help(command: str, shown: str) -> None:
    assert words(shown) == words(run_help(command)), "run: python tests/test_docs.py"


def method_table() -> str:
    """The README's table of methods, from the registry."""
    from stbench.catalogue import own_methods

    return "| method | what it is |\n|---|---|\n" + "".join(f"| `{name}` | {about} |\n" for name, about in own_methods())


def test_readme_lists_every_method_as_the_registry_does() -> None:
    assert METHODS.findall(README.read_text(encoding="utf-8")) == [method_table()], "run: python tests/test_docs.py"


def test_readme_has_help_blocks() -> None:
    assert len(blocks()) >= 2


@pytest.mark.parametrize("page", [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / target).exists()]
    assert not missing


def test_readme_names_the_two_commands_that_ci_runs() -> None:
    text = README.read_text(encoding="utf-8")
    assert "pip install . && stbench run --method storymem" in text
    assert "pip install tox && tox" in text
    assert "pip install tox && tox" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    text = METHODS.sub(lambda _: f"<!-- methods:begin -->\n{method_table()}<!-- methods:end -->", text)
    README.write_text(BLOCK.sub(lambda match: f"```text\n$ {match[1]}\n{run_help(match[1])}```", text), encoding="utf-8")
