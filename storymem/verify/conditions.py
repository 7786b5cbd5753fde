"""Condition channels of every mode: the mask exactly, the latents through the VAE, and images at the size of the first memory image.

Shapes: M memory images, k known frames, H, W pixels, T latent frames, h, w latent size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from stbench.errors import UserError
from stbench.oracle import Check, Unchecked, broken
from storymem import condition, conditioning
from storymem.verify.models import Models, max_abs, rel_l2, unequal
from storymem.verify.tolerances import tolerance

KNOWN = {"m2v": None, "mi2v": "in.first", "mm2v": "in.motion"}  # mode: the input that holds its known frames
_NEEDS_VAE = "needs the VAE's files, which are not in this folder"


@dataclass(frozen=True, kw_only=True)
class Given:
    """The inputs of one case."""

    memory: tuple[torch.Tensor, ...]  # M images (H', W', 3) uint8, each of its own size
    known: torch.Tensor | None  # (k, H', W', 3) uint8
    frames: int
    size: tuple[int, int]
    lost: bool = False  # as released: the first frame is encoded, then overwritten, while the mask keeps it
    trusted: int | None = None


def mode_of(name: str, said: str = "") -> str:
    """The mode that a description ("MI2V as released") or else the first word of a name ("mi2v_released_mem1") tells.

    Example:
        >>> mode_of("m2v_3step"), mode_of("a", "MM2V"), mode_of("mi2v_mem2")
        ('m2v', 'mm2v', 'mi2v')
    """
    for text in (said, name):
        found = re.match(r"(m2v|mi2v|mm2v)(?![a-z0-9])", text.lower().replace("_", " "))
        if found:
            return found[1]
    raise UserError(f"the mode of {name!r} is not understood", expected=f"a name that starts with {', '.join(KNOWN)}")


def known_frames(mode: str, given: Mapping[str, torch.Tensor], first: str = "in.first") -> torch.Tensor | None:
    """The known frames of a mode, (k, H', W', 3)."""
    key = first if mode == "mi2v" else KNOWN[mode]
    if key is None:
        return None
    return given[key] if given[key].ndim == 4 else given[key][None]


def size_of(images: tuple[torch.Tensor, ...], known: torch.Tensor | None, max_area: int) -> tuple[int, int]:
    """Height and width of the video: from the first memory image, else from the known frames."""
    shape = images[0].shape[:2] if images else known.shape[1:3] if known is not None else None
    if shape is None:
        raise UserError("no image to take the size from", expected="memory or known frames")
    return condition.fit_area(int(shape[0]), int(shape[1]), max_area)


def channels(models: Models, given: Given) -> torch.Tensor:
    """The 20 condition channels (20, T, h, w) of a case, float32."""
    images = [_fit(image[None], given.size) for image in given.memory]
    return conditioning.channels(
        models.latents,
        frames=given.frames,
        size=given.size,
        memory=models.latents.encode_images(torch.cat(images))[0] if images else None,
        known=None if given.known is None else _fit(given.known, given.size),
        lost=given.lost,
        trusted=given.trusted,
    )


def mask(given: Given, height: int, width: int) -> torch.Tensor:
    """The mask channels alone (4, T, h, w): no VAE needed."""
    memory = len(given.memory)
    plain = condition.frame_mask(memory, given.frames, known=0 if given.known is None else len(given.known), trusted=given.trusted)
    return condition.spread_mask(condition.fold_mask(plain, memory), height, width)


def _fit(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return condition.resize(condition.to_model_range(images), *size)


def conditions(models: Models) -> Iterator[Check | Unchecked]:
    """Checks of condition.*."""
    fact = models.folder.json("condition")
    for name, case in fact["cases"].items():
        try:
            yield from _case(models, name, case) if isinstance(case, dict) else _published_error(models, name)
        except UserError as why:
            yield Unchecked(name=f"condition {name}", reason=str(why))
        except Exception as why:  # a case that lacks something is its own miss
            yield broken(f"condition {name}", why)
    for key in models.folder.tensors("condition"):
        if key.endswith(".first_resized"):
            yield Check(
                name=f"condition {key}",
                kind="max_abs",
                tolerance=tolerance("pixels", models.setting),
                measure=partial(_first_resized, models, key),
            )


def inputs(models: Models, name: str, case: Mapping[str, Any], first: str = "in.first") -> Given:
    """The inputs of a case of condition.json."""
    fact, given = models.folder.json("condition"), models.folder.tensors("condition")
    mode = mode_of(name, str(case.get("mode", "")))
    memory = tuple(given[f"in.mem{index}"] for index in case["mem"])
    known = known_frames(mode, given, first)
    trusted = re.search(r"fix_?mem\s*=?\s*(\d+)", f"{case.get('mode', '')} {name}")
    released = bool(case["u_input_is_all_zero"]) if "u_input_is_all_zero" in case else "released" in name
    return Given(
        memory=memory,
        known=known,
        frames=int(case.get("frame_num", fact["frame_num"])),
        size=size_of(memory, known, int(case.get("max_area", fact["max_area"]))),
        lost=released and known is not None and conditioning.first_is_lost("release-2025-12", len(known)),
        trusted=int(trusted[1]) if trusted else None,
    )


def _case(models: Models, name: str, case: dict[str, Any]) -> Iterator[Check | Unchecked]:
    given, stored = inputs(models, name, case), models.folder.tensors("condition")
    expected, limit = stored[f"{name}.y"], tolerance("condition", models.setting)
    stripes = len(expected) - condition.LATENT_CHANNELS  # channels of the mask, which come first

    yield Check(
        name=f"condition {name} mask", measure=lambda: unequal(mask(given, *expected.shape[-2:]), expected[:stripes]) + _told(given, case)
    )
    if f"{name}.resized" in stored:
        yield Check(
            name=f"condition {name} resized",
            kind="max_abs",
            tolerance=tolerance("pixels", models.setting),
            measure=lambda: max_abs(
                torch.cat([_fit(image[None], given.size) for image in given.memory])[:, :, None], stored[f"{name}.resized"]
            ),
        )
    if not models.has_vae:
        yield Unchecked(name=f"condition {name} latents", reason=_NEEDS_VAE)
        return

    def made() -> torch.Tensor:
        return models.keep(("condition", name), lambda: channels(models, given))

    yield Check(
        name=f"condition {name} latents", kind="rel_l2", tolerance=limit, measure=lambda: rel_l2(made()[stripes:], expected[stripes:])
    )
    yield Check(name=f"condition {name} mask in y", measure=lambda: unequal(made()[:stripes], expected[:stripes]))
    stated = case.get("max_abs_dy_between_two_first_frames")
    if stated is not None and "in.first2" in stored:
        other = inputs(models, name, case, "in.first2")
        yield Check(
            name=f"condition {name} another first frame",
            kind="abs",
            tolerance=limit * max(1.0, float(stated)),
            measure=lambda: abs(max_abs(channels(models, other), made()) - float(stated)),
        )


def _told(given: Given, case: Mapping[str, Any]) -> float:
    """How many entries of the folded mask differ from what the JSON tells."""
    folded = mask(given, 1, 1)[:, :, 0, 0]
    told = case.get("msk_frame_values", {})
    return float(sum(folded[int(channel)].tolist() != list(values) for channel, values in told.items()))


def _first_resized(models: Models, key: str) -> float:
    stored = models.folder.tensors("condition")
    expected = stored[key]
    return max_abs(_fit(stored["in.first"][None], (int(expected.shape[-2]), int(expected.shape[-1])))[0][:, None], expected)


def _published_error(models: Models, name: str) -> Iterator[Check | Unchecked]:
    """Where the published code crashes, ours has to give an answer: without memory, or with motion frames of another size."""
    given, fact = models.folder.tensors("condition"), models.folder.json("condition")
    frames, area = int(fact["frame_num"]), int(fact["max_area"])
    if not models.has_vae:
        yield Unchecked(name=f"condition {name}", reason=_NEEDS_VAE)
        return
    if "motion frames" in name:
        known = given["in.motion"]
        target = re.search(r"target (\d+)x(\d+)", name)
        size = (int(target[1]), int(target[2])) if target else size_of((given["in.mem0"],), None, area)
        motion = re.search(r"motion frames (\d+)x(\d+)", name)
        if motion:  # the stored frames at the size that broke the published code
            known = condition.unpack(_fit(known, (int(motion[1]), int(motion[2]))).transpose(0, 1))
        odd = Given(memory=(given["in.mem0"],), known=known, frames=frames, size=size)
    elif "memory_size 0" in name:
        known = known_frames("mi2v", given) if "first frame" in name else None
        odd = Given(memory=(), known=known, frames=frames, size=size_of((given["in.mem0"],), known, area))
    else:
        yield Unchecked(name=f"condition {name}", reason="this error of the published code is not understood")
        return
    yield Check(name=f"condition {name}", measure=lambda: float((~torch.isfinite(channels(models, odd))).sum()))
