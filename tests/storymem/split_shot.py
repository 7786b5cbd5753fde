"""One memory shot whose latents are kept: run alone or under torchrun by test_parallel.py.

python split_shot.py MODEL OUT.pt        torchrun --nproc-per-node 2 split_shot.py MODEL OUT.pt
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from storymem import shots
from storymem.generator import Take
from storymem.options import MemoryOptions, parse
from storymem.profiles import resolve


def main(model_path: str, out: str) -> None:
    """Rank 0 makes the shot and saves its latents; the others help."""
    torch.set_num_threads(1)
    model = resolve(model_path)
    options = parse(MemoryOptions, {}, model.profile)
    if shots.parallel.world().rank:
        while shots.OnWan(model, options).serve("cpu"):
            pass
        return
    with shots.loaded(model, "cpu", options) as generator:
        picture = np.random.default_rng(0).integers(0, 256, (*generator.size, 3), dtype=np.uint8)
        kept, decode = [], generator.latents.decode

        def keep(latents: torch.Tensor) -> torch.Tensor:
            kept.append(latents.clone())
            return decode(latents)

        generator.latents.decode = keep
        memory = torch.cat([generator.encode_image(picture)] * 2, dim=2)
        sampling = options.sampling(generator.profile, from_text=False)
        generator.take(Take(prompt="a cat in the park", seed=0, sampling=sampling, memory=memory))
        torch.save(kept[0], out)
    shots.parallel.release("cpu")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
