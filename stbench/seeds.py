"""Seeds: each shot has its own, derived from the run's seed, the story and the shot's place in the whole story.

A seed that restarted in every scene would give two scenes the same noise; one that counted over the run would change when a
story is left out. Derived seeds do neither, and are recorded with every shot.
"""

from __future__ import annotations

import hashlib

SEED_BITS = 63


def shot_seed(*, run_seed: int, story: str, index: int) -> int:
    """Seed of one shot, in 0 … 2^63 - 1 (torch generators take 64 bits signed).

    Args:
        run_seed: Seed of the run.
        story: Story id.
        index: Index of the shot over the whole story, from 0.

    Example:
        >>> shot_seed(run_seed=0, story="cat", index=0) == shot_seed(run_seed=0, story="cat", index=0)
        True
        >>> shot_seed(run_seed=0, story="cat", index=0) == shot_seed(run_seed=0, story="cat", index=1)
        False
    """
    text = f"stbench-seed-1\n{run_seed}\n{story}\n{index}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> (64 - SEED_BITS)
