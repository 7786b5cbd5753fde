"""A method of one's own as a small package: the files that `stbench method new` copies, with other names, and the copying."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from stbench.errors import UserError
from stbench.files import loud

FOLDER = Path(__file__).parent
FILES = {  # in the template → in the package
    "my_method.py": "my_method.py",
    "tests/test_my_method.py": "tests/test_my_method.py",
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
}


def check_name(name: str) -> str:
    """Refuse what cannot be the name of a method, or is one already.

    Raises:
        UserError: It is not a plain name, or taken.
    """
    from stbench.methods import METHODS

    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > 40 or keyword.iskeyword(module):
        raise UserError(f"found {name!r:.60}", where="NAME", expected="small letters, digits and hyphens, as my-method")
    if name in METHODS.names():
        raise UserError(f"there is a method {name!r} already", where="NAME", expected="another name")
    return name


def write_package(name: str, out: Path) -> list[Path]:
    """Write the package of a method into a new or empty folder.

    Args:
        name: A checked name, as `my-method`.
        out: The folder.

    Returns:
        The files.

    Raises:
        UserError: The folder is in use.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("is not an empty folder", where=str(out), expected="a new or empty one", hint="nothing was changed")
    words = {"my_method": name.replace("-", "_"), "my-method": name, "MyMethod": "".join(part.capitalize() for part in name.split("-"))}
    written = []
    for source, target in FILES.items():
        text = (FOLDER / source).read_text(encoding="utf-8")
        for word, own in words.items():
            text, target = text.replace(word, own), target.replace(word, own)
        path = out / target
        with loud(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
