"""Train the embedded generator: `python -m storymem.training vae|base|decoder|memory|card|all --work DIR --out DIR`.

The VAE comes first. `base` and `decoder` (the VAE's decoder alone, on fixed latents) need only the VAE and may run side by side;
`memory` needs the base. Each stage continues from its last checkpoint in `--work` and can be stopped at any time. `all` runs them
in order; each writes its part of the model folder when it is done, and `card` measures it and writes MODEL_CARD.md. Rendered clips
and latents are kept in `--work` (about 2 GB).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from storymem.positions import STRIDE
from storymem.training.memory import RANK

STEPS = {"vae": 2200, "base": 15600, "decoder": 2400, "memory": 12000}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the command line says."""

    work: Path
    out: Path
    clips: int
    seed: int
    steps: int | None
    rank: int
    stride: int
    compile: bool


def run(stage: str, recipe: Recipe) -> None:
    """Run one stage to its end."""
    from diffusers import AutoencoderKLWan

    from storymem.training.base import load_base, train_base
    from storymem.training.card import write_card
    from storymem.training.export import save_base, save_memory, save_vae
    from storymem.training.latent_data import latent_clips
    from storymem.training.memory import train_memory
    from storymem.training.vae import refine_decoder, train_vae

    work, out, seed = recipe.work, recipe.out, recipe.seed
    if stage == "card":
        write_card(out, work)
        return
    place, data, steps = work / stage, work / "data", recipe.steps or STEPS[stage]
    if stage == "vae":
        save_vae(train_vae(place, steps=steps, seed=seed, clips=recipe.clips, data=data), out)
        return
    vae = AutoencoderKLWan.from_pretrained(out / "vae", torch_dtype=torch.float32)
    latents = latent_clips(vae, data, recipe.clips)
    if stage == "base":
        save_base(train_base(place, latents, steps=steps, seed=seed, compiled=recipe.compile), out)
    elif stage == "decoder":
        save_vae(refine_decoder(vae, place, latents, steps=steps, seed=seed, data=data), out)
    else:
        model = load_base(work / "base" / "checkpoint.pt")
        trained = train_memory(
            place, model, latents, steps=steps, seed=seed, rank=recipe.rank, stride=recipe.stride, compiled=recipe.compile
        )
        save_memory(trained, out)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m storymem.training", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("stage", choices=[*STEPS, "card", "all"])
    parser.add_argument("--work", type=Path, default=Path("training/world"), help="checkpoints, logs, rendered clips, latents")
    parser.add_argument("--out", type=Path, default=Path("storymem/models/world"), help="the model folder to write")
    parser.add_argument("--steps", type=int, help=f"default: {STEPS}")
    parser.add_argument("--clips", type=int, default=6000, help="rendered training clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rank", type=int, default=RANK, help="of the memory LoRA")
    parser.add_argument("--stride", type=int, default=STRIDE, help="S, the stride of the memory's temporal positions")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="compile the transformer of base and memory (needs a C++ compiler)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe = Recipe(**{field.name: getattr(args, field.name) for field in fields(Recipe)})
    for stage in [*STEPS, "card"] if args.stage == "all" else [args.stage]:
        print(f"{stage}: work in {args.work / stage}", flush=True)
        run(stage, recipe)


if __name__ == "__main__":
    main()
