"""tests/oracle: tiny weights and the numbers that the published code computed with them, read as `stbench verify` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel

from stbench.oracle import OracleFolder, Setting
from storymem.verify.models import Models, padded, rel_l2

FOLDER = Path(__file__).parent.parent / "oracle"
ORACLE = OracleFolder(FOLDER)
tensors, facts = ORACLE.tensors, ORACLE.json


def part(name: str, prefix: str) -> dict[str, torch.Tensor]:
    """The tensors of a file whose names start with `prefix.`, without it."""
    return tensors(name).part(prefix)


def transformer(name: str, prefix: str, config: dict[str, Any]) -> WanTransformer3DModel:
    """A fresh transformer with the weights of a file."""
    return Models(ORACLE, Setting()).transformer(name, prefix, config)


__all__ = ["FOLDER", "ORACLE", "facts", "padded", "part", "rel_l2", "tensors", "transformer"]
