"""What several micro-benchmarks share: the world model, loaded once, and a run folder of six rendered shots."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from stbench.config import RunConfig
from stbench.display import Display
from stbench.store import RunFolder
from storymem.method import StoryMem, StoryMemShots


@pytest.fixture(scope="session")
def maker() -> Iterator[StoryMemShots]:
    """StoryMem on the world model, two prompts encoded."""
    with StoryMem.from_options(model="world", options={}).open("cpu") as loaded:
        loaded.generator.prepare_texts(["Wide shot of a cat walking right on the beach."])
        yield loaded


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """One story of the rendered truth, not scored."""
    out = tmp_path_factory.mktemp("runs") / "truth"
    return RunConfig(method="world-truth", suite="world-mini", limit=1, out=out, device="cpu", score=False)


@pytest.fixture(scope="session")
def run(config: RunConfig) -> RunFolder:
    """The run folder of `config`."""
    from stbench.runner import run as film

    return film(config, Display()).folder


@pytest.fixture(scope="session")
def frames(run: RunFolder) -> np.ndarray:
    """(17, 48, 80, 3): a shot of the world."""
    return run.read_frames(run.story_records()[0].records[0])
