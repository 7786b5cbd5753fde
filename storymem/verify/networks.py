"""Single forward passes: transformer (with and without LoRA, at every temporal position stored), VAE, text encoder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from stbench.oracle import Check, Unchecked
from storymem import condition, denoise, latents, positions
from storymem.verify.models import Models, lora_spec, max_abs, padded, rel_l2
from storymem.verify.tolerances import tolerance

BASE, LORA = "transformer_m2v", "transformer_m2v_lora"
_OUT = re.compile(r"out(?P<lora>_lora)?_t(?P<t>\d+)(?:_ctx(?P<context>\w+))?")
_ROPE = re.compile(r"rope_neg_(?P<kind>stride|offset)(?P<by>\d+)(?:_t(?P<t>\d+))?")


def transformer(models: Models) -> Iterator[Check | Unchecked]:
    """Checks of transformer_m2v.*: outputs per timestep and prompt, and with explicit temporal positions."""
    given, fact = models.folder.tensors(BASE), models.folder.json(BASE)
    limit, memory = tolerance("transformer", models.setting), int(fact["memory_size"])
    frames = given["x"].shape[1] - memory
    released = positions.temporal_positions(memory, frames, variant="release-2025-12")

    def check(key: str, timestep: int, context: str, where: list[int], name: str | None = None) -> Check:
        return Check(
            name=f"transformer {name or key}",
            kind="rel_l2",
            tolerance=limit,
            measure=lambda: rel_l2(_velocity(models, _base(models), timestep, context, where), given[key]),
        )

    for key in given:
        if out := _OUT.fullmatch(key):
            yield check(key, int(out["t"]), "context" + (out["context"] or ""), released)
        elif rope := _ROPE.fullmatch(key):
            yield check(key, _timestep(models, key, rope), "context", _places(rope, memory, frames))
    if "neg_minusM_to_minus1" in fact.get("rope_max_abs_diff_vs_released", {}):  # a shift of all positions changes nothing
        first = next(key for key in given if _OUT.fullmatch(key))
        shifted = [place - memory for place in released]
        yield check(first, int(_OUT.fullmatch(first)["t"]), "context", shifted, f"{first}, positions {shifted[0]} … {shifted[-1]}")  # type: ignore[index]


def transformer_with_lora(models: Models) -> Iterator[Check | Unchecked]:
    """Checks of transformer_m2v_lora: the adapter on the transformer of transformer_m2v, and its scale."""
    if not models.folder.has(f"{BASE}.json", f"{BASE}.safetensors"):
        yield Unchecked(name="lora", reason=f"needs {BASE}.json and {BASE}.safetensors, which are not in this folder")
        return
    given, fact = models.folder.tensors(LORA), models.folder.json(BASE)
    memory = int(fact["memory_size"])
    released = positions.temporal_positions(memory, models.folder.tensors(BASE)["x"].shape[1] - memory, variant="release-2025-12")

    def error(key: str, timestep: int, context: str) -> float:
        model = models.transformer(BASE, "sd", fact["config"], adapter=f"{LORA}:lora", spec=fact["lora"])
        return rel_l2(_velocity(models, model, timestep, context, released), given[key])

    def scale(stated: float) -> float:
        return abs(lora_spec(fact["lora"]).scale(fact["lora"]["r"]) - stated)

    said = re.search(r"=\s*([\d.]+)\s*$", str(fact.get("lora_effective_scaling", "")))
    if said:
        yield Check(name="lora scale", kind="abs", tolerance=1e-6, measure=partial(scale, float(said[1])))
    limit = tolerance("transformer", models.setting)
    for key in given:
        if out := _OUT.fullmatch(key):
            measure = partial(error, key, int(out["t"]), "context" + (out["context"] or ""))
            yield Check(name=f"lora {key}", kind="rel_l2", tolerance=limit, measure=measure)


def _base(models: Models) -> Any:
    return models.transformer(BASE, "sd", models.folder.json(BASE)["config"])


@torch.no_grad()
def _velocity(models: Models, model: Any, timestep: int, context: str, where: list[int]) -> torch.Tensor:
    given, length = models.folder.tensors(BASE), models.folder.json(BASE)["config"]["text_len"]
    inputs = torch.cat([given["x"], given["y"]])[None].to(models.device)
    text = padded(given[context], length)[None].to(models.device)
    with positions.positions_set(model, where):
        return denoise.predict(model, inputs, torch.tensor([timestep]), text)[0]


def _places(rope: re.Match[str], memory: int, frames: int) -> list[int]:
    """Temporal positions that a name like rope_neg_stride5 or rope_neg_offset5 stands for."""
    by = int(rope["by"])
    if rope["kind"] == "stride":
        return positions.temporal_positions(memory, frames, variant="paper", stride=by)
    return [place - by for place in range(1 - memory, 1)] + list(range(frames))


def _timestep(models: Models, key: str, rope: re.Match[str]) -> int:
    """The timestep of a rope case: in its name; else the one at which it differs from the released output by what the JSON states."""
    if rope["t"]:
        return int(rope["t"])
    given = models.folder.tensors(BASE)
    outs = {int(match["t"]): name for name in given if (match := _OUT.fullmatch(name)) and not match["context"]}
    stated = models.folder.json(BASE).get("rope_max_abs_diff_vs_released", {}).get(key.removeprefix("rope_"))
    differences = {timestep: max_abs(given[key], given[name]) for timestep, name in outs.items()}
    if stated is not None:
        return min(differences, key=lambda timestep: abs(differences[timestep] - stated))
    return min(differences, key=lambda timestep: differences[timestep])  # positions change less than another timestep does


def vae(models: Models) -> Iterator[Check | Unchecked]:
    """Checks of vae.*: encode a video and single images, raw and normalised; decode."""
    name = models.vae_name
    given, limit = models.folder.tensors(name), tolerance("vae", models.setting)

    def check(key: str, compute: Any) -> Iterator[Check]:
        if key in given:
            yield Check(name=f"vae {key}", kind="rel_l2", tolerance=limit, measure=lambda: rel_l2(compute(), given[key]))

    def pixels() -> torch.Tensor:
        return condition.to_model_range(given["in.video_u8"].permute(1, 2, 3, 0))

    def video() -> torch.Tensor:
        return models.latents.encode(pixels().transpose(0, 1)[None])

    def images(key: str) -> torch.Tensor:
        count = given[key].shape[0]
        return models.latents.encode_images(pixels()[:count])[0].transpose(0, 1)[:, :, None]

    yield from check("out.mu_video", video)
    yield from check("out.mu_video_raw", lambda: latents.denormalise(video(), models.latents.mean, models.latents.std))
    for key in ("out.mu_images", "out.mu_single0"):
        yield from check(key, partial(images, key))
    yield from check("out.decode", lambda: models.latents.decode(given["in.z"]))
    yield from check(
        "out.decode_images", lambda: models.latents.decode(given["in.z"][0].transpose(0, 1)[: len(given["out.decode_images"]), :, None])
    )


def text_encoder(models: Models) -> Iterator[Check | Unchecked]:
    """Checks of t5.*: the encoder's output where there is text (what it says at padded places is never used)."""
    given = models.folder.tensors("t5")

    @torch.no_grad()
    def error(row: int) -> float:
        encoder = models.keep(("t5",), models.text_encoder)
        ids, mask = given["ids"][row : row + 1].to(models.device), given["mask"][row : row + 1].to(models.device)
        found = encoder(ids, attention_mask=mask).last_hidden_state.float()
        kept = given["mask"][row].bool()
        return rel_l2(found[0].cpu()[kept], given["out"][row][kept])

    for row in range(len(given["ids"])):
        yield Check(name=f"t5 text {row}", kind="rel_l2", tolerance=tolerance("text", models.setting), measure=partial(error, row))
