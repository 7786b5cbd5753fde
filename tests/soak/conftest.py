from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for path in (HERE, HERE.parent / "stbench" / "plugins"):
    if str(path) not in sys.path:
        sys.path.append(str(path))


@pytest.fixture(scope="session")
def server():
    """Runs commands in processes of their own."""
    from forked import Server

    server = Server()
    yield server
    server.close()
