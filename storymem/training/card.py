"""The model card: data, recipe, time, curves, measured quality, sha256. Written from logs and measurements, never by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stbench.world.data import random_truth
from stbench.world.reader import read_shot
from stbench.world.render import render_shot
from storymem.condition import unpack
from storymem.training import base, memory, vae
from storymem.training.export import weight_table

RECONSTRUCTED = 300
STAGES = ("vae", "base", "decoder", "memory")
READ = ("place", "species", "action", "size", "colour", "accessory")


@torch.no_grad()
def reconstruction(model: Any, *, count: int = RECONSTRUCTED, seed: int = 5) -> dict[str, float]:
    """Share of rendered clips (looks of all splits) whose attributes are still read right after encode-decode, and PSNR in dB."""
    rng = np.random.default_rng(seed)
    hits: dict[str, list[float]] = {name: [] for name in (*READ, "psnr", "psnr_character")}
    for _ in range(count):
        truth = random_truth(rng, split="any")
        shot = render_shot(truth)
        latents = model.encode(vae.to_video(shot.frames[None])).latent_dist.mode()
        frames = unpack(model.decode(latents).sample[0]).numpy()
        squared = np.square(frames.astype(np.float64) - shot.frames) / 255**2
        hits["psnr"].append(float(-10 * np.log10(squared.mean())))
        hits["psnr_character"].append(float(-10 * np.log10(squared[shot.mask].mean())))
        reading = read_shot(frames)
        for name in READ:
            hits[name].append(float(getattr(reading, name) == getattr(truth, name)))
    return {name: float(np.mean(values)) for name, values in hits.items()}


def last_row(folder: Path) -> dict[str, float]:
    """The last line of a training's log."""
    row: dict[str, float] = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    return row


def _last_with(folder: Path, key: str, count: int = 5) -> float:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return float(np.mean([row[key] for row in rows if key in row][-count:]))


def write_card(out: Path, work: Path) -> Path:
    """MODEL_CARD.md beside the weights, with the three curves and what `work/note.txt` says of this training."""
    from diffusers import AutoencoderKLWan

    model = AutoencoderKLWan.from_pretrained(out / "vae", torch_dtype=torch.float32).eval()
    kept = reconstruction(model)
    rows = {stage: last_row(work / stage) for stage in STAGES}
    for stage in rows:
        shutil.copyfile(work / stage / "curve.png", out / f"curve-{stage}.png")
    stages = "\n".join(f"| {name} | {row['step']} | {row['seconds']:.0f} | {row['loss']:.3f} |" for name, row in rows.items())
    given = ", ".join(f"{share:.0%} {count}" for count, share in base.KNOWN_SHARES.items() if count)
    note = (work / "note.txt").read_text().strip() + "\n\n" if (work / "note.txt").exists() else ""
    text = f"""# world: the embedded generator

A small Wan: `AutoencoderKLWan` (stride 4×8×8, 16 channels), `WanTransformer3DModel` (36 input channels, 6 layers, one expert), a
two-layer `UMT5EncoderModel` with a word-level vocabulary, and a memory LoRA (rsLoRA, rank {memory.RANK}, every linear layer of the
blocks). 80×48 pixels, 17 frames, 8 fps. It knows Story World and nothing else. Licence: Apache-2.0.

## Data and recipe

Clips rendered by `stbench.world` (seed 0; 6,000 for all but the first stage); for every species one look in eight is left out, so
that a look kept at test time was read from memory. No other data. `python -m storymem.training all` trains it from nothing;
seed 0 throughout.
The base learns text-to-video and image-to-video together (given first frames, share of the samples: {given}). The VAE's decoder was
trained further on its fixed latents. The memory LoRA saw 1 to {max(memory.COUNTS)} memory frames, and the first frame in
{memory.MI2V_SHARE:.0%} of its samples.

| stage | steps | seconds (one or two CPU threads, shared machine) | last loss |
|---|---|---|---|
{stages}

{note}## Measured quality (on the fp16 weights stored here)

Attributes still read right after encode-decode of {RECONSTRUCTED} rendered clips:
{", ".join(f"{name} {kept[name]:.1%}" for name in READ)}; PSNR {kept["psnr"]:.1f} dB, on the character {kept["psnr_character"]:.1f} dB.

Memory, at noise level 0.9: loss {_last_with(work / "memory", "loss_high"):.3f} with the true memory,
{_last_with(work / "memory", "gap"):+.3f} with another sample's (mean of the last five measurements).

What films made with it score is printed by `tox -e bench`.

![VAE](curve-vae.png) ![decoder](curve-decoder.png) ![base](curve-base.png) ![memory LoRA](curve-memory.png)

## Files

{weight_table(out)}"""
    (out / "MODEL_CARD.md").write_text(text)
    return out / "MODEL_CARD.md"
