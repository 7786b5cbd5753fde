"""Shared fixtures: one tiny model per session, and an encoder without weights."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside this file: tiny, published

from tiny import make_tiny_model

from stbench.encoders import ENCODERS


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny", keyframe_encoder="thumbnail")


@pytest.fixture(autouse=True)
def _thumbnail_encoder() -> None:
    ENCODERS.add("thumbnail", "tiny:Thumbnail")
