"""StoryMem: multi-shot films from a single-shot video diffusion model and a memory of keyframes.

Pure functions first (`positions`, `condition`, `memory`, `keyframes`, `layouts`), one sampling loop (`denoise`), weights and
their proofs (`checkpoints`, `lora`, `profiles`), the loaded model (`generator`, `running`) and what films with it: the methods that
the benchmark runs (`method`, `independent`), the command (`cli`) and the class for programs (`pipeline`). What it costs is known
beforehand (`cost`, `peaks`). Method: arXiv 2512.19539.

Example:
    >>> from storymem import StoryMemPipeline
    >>> StoryMemPipeline.__name__
    'StoryMemPipeline'
"""

from typing import Any

__all__ = ["Film", "StoryMemPipeline"]


def __getattr__(name: str) -> Any:
    """The two names above, imported when they are asked for: they need torch."""
    if name in __all__:
        from storymem import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'storymem' has no attribute {name!r}")
