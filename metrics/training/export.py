"""A finished training becomes a model folder: float16 weights, settings, a card; its quality is measured on what was saved."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from metrics.training.clip import ClipTask
from metrics.training.dino import DinoTask
from metrics.training.quality import clip_quality, dino_quality

WHAT = {
    "world-clip": "a clip encoder and a text encoder with one feature space, for Story World (48x80 pixels)",
    "world-dino": "a frame encoder for Story World (48x80 pixels)",
}
RECIPE = {
    "world-clip": (
        "contrastive: every clip meets a caption with its look and one without, films of several clips meet overviews; "
        "clips with the same facts share a caption's weight; "
        "batches of 16 groups of 4 near twins; small moves and zooms, blur and noise, no colour jitter; AdamW, warm-up and cosine"
    ),
    "world-dino": (
        "two shots of one character attract, other characters repel (the contrast of SimCLR, arXiv 2002.05709); nothing is named; "
        "batches of 16 groups of 4 near twins; small moves and zooms, blur and noise, no colour jitter; AdamW, warm-up and cosine; "
        "features are centred on the training data's mean"
    ),
}


def save_model(net: nn.Module, config: Mapping[str, Any], folder: Path) -> None:
    """Write float16 weights and settings."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().half().contiguous() for name, tensor in net.state_dict().items()}
    save_file(state, str(folder / "model.safetensors"))
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def draw_curve(log: Path, out: Path) -> None:
    """Training log → PNG, one line per logged number, each on its own scale."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [json.loads(line) for line in log.read_text().splitlines()]
    names = [name for name in rows[-1] if name not in ("step", "seconds")]
    figure, axes = plt.subplots(1, len(names), figsize=(2.6 * len(names), 2.2), layout="constrained")
    for axis, name in zip(axes, names, strict=True):
        axis.plot([row["step"] for row in rows], [row[name] for row in rows], linewidth=1)
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
    figure.savefig(out, dpi=90)
    plt.close(figure)


def write_card(folder: Path, name: str, facts: Mapping[str, Any], quality: Mapping[str, float]) -> None:
    """MODEL_CARD.md with everything that a reader needs to judge or repeat the training."""
    weights = (folder / "model.safetensors").read_bytes()
    lines = [f"# {name}", "", f"{WHAT[name][0].upper()}{WHAT[name][1:]}. Apache-2.0.", "", "## Data and recipe", ""]
    lines += [f"Clips rendered by `stbench.world`, looks of the held-out split left out. {RECIPE[name]}.", ""]
    lines += ["| | |", "|---|---|", *(f"| {key.replace('_', ' ')} | {value} |" for key, value in facts.items()), ""]
    lines += ["## Measured quality (on the float16 weights stored here)", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value:.3f} |" for key, value in quality.items()]
    lines += ["", "![training curve](curve.png)", "", "## Limits", ""]
    lines += ["It knows Story World and nothing else: features of other films are deterministic, and meaningless.", ""]
    lines += [f"`model.safetensors`: {len(weights)} bytes, sha256 `{hashlib.sha256(weights).hexdigest()}`", ""]
    (folder / "MODEL_CARD.md").write_text("\n".join(lines))


def export(task: ClipTask | DinoTask, *, settings: Mapping[str, Any], done: Mapping[str, Any], out: Path, model: Path) -> None:
    """Write the model folder, measure it, write its card.

    Args:
        task: The trained task.
        settings: Command-line settings that the result depends on.
        done: What the training took.
        out: Folder with the log.
        model: Folder to write.
    """
    if isinstance(task, ClipTask):
        name = "world-clip"
        save_model(task.net, {"network": asdict(task.config), "vocabulary": list(task.words.words)}, model)
        quality = clip_quality(model)
    else:
        name = "world-dino"
        save_model(task.finish(), {"network": asdict(task.config)}, model)
        quality = dino_quality(model)
    draw_curve(out / "log.jsonl", model / "curve.png")
    repeat = f"python -m metrics.training {name.removeprefix('world-')} --out DIR --steps {done['steps']}"
    repeat += "".join(f" --{key} {value}" for key, value in settings.items() if value is not None)
    parameters = sum(p.numel() for p in task.parameters())
    facts = {**settings, **done, "trained parameters": parameters, "torch": torch.__version__, "machine": platform.machine()}
    write_card(model, name, {**facts, "repeat with": f"`{repeat}`"}, quality)
    print(json.dumps({"model": str(model), **{k: round(v, 4) for k, v in quality.items()}}), flush=True)
