"""Train the embedded generator: `python -m storymem.training vae|base|memory|card|all --work DIR --out DIR`.

Each stage continues from its last checkpoint in `--work` and can be stopped at any time. `all` runs them in order; each
writes its part of the model folder when it is done, and `card` measures it and writes MODEL_CARD.md. Rendered clips and
latents are kept in `--work` (about 1 GB).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

STEPS = {"vae": 2200, "base": 2250, "memory": 1020}


def run(stage: str, *, work: Path, out: Path, steps: int | None, clips: int, seed: int) -> None:
    """Run one stage to its end."""
    from diffusers import AutoencoderKLWan

    from storymem.training.base import WorldBase, train_base
    from storymem.training.card import write_card
    from storymem.training.export import save_base, save_memory, save_vae
    from storymem.training.latent_data import latent_clips
    from storymem.training.memory import train_memory
    from storymem.training.vae import train_vae

    if stage == "card":
        write_card(out, work)
        return
    count = steps or STEPS[stage]
    if stage == "vae":
        save_vae(train_vae(work / "vae", steps=count, seed=seed, clips=clips, data=work / "data"), out)
        return
    vae = AutoencoderKLWan.from_pretrained(out / "vae", torch_dtype=torch.float32)
    latents = latent_clips(vae, work / "data", clips, seed=0)
    if stage == "base":
        save_base(train_base(work / "base", latents, steps=count, seed=seed), out)
        return
    model = WorldBase(seed)
    saved = torch.load(work / "base" / "checkpoint.pt", weights_only=True)["model"]
    tied = {"text_encoder.encoder.embed_tokens.weight": saved["text_encoder.shared.weight"]}  # a checkpoint holds it once
    model.load_state_dict(saved | tied, strict=True)
    save_memory(train_memory(work / "memory", model, latents, steps=count, seed=seed), out)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m storymem.training", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("stage", choices=[*STEPS, "card", "all"])
    parser.add_argument("--work", type=Path, default=Path("training/world"), help="checkpoints, logs, rendered clips, latents")
    parser.add_argument("--out", type=Path, default=Path("storymem/models/world"), help="the model folder to write")
    parser.add_argument("--steps", type=int, help=f"default: {STEPS}")
    parser.add_argument("--clips", type=int, default=4000, help="rendered training clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for stage in [*STEPS, "card"] if args.stage == "all" else [args.stage]:
        print(f"{stage}: work in {args.work / stage}", flush=True)
        run(stage, work=args.work, out=args.out, steps=args.steps, clips=args.clips, seed=args.seed)


if __name__ == "__main__":
    main()
