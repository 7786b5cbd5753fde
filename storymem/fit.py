"""Do the parts of a model fit together? Compared from configs and shapes, before any weight is read."""

from __future__ import annotations

from pathlib import Path

from stbench.errors import UserError
from storymem import condition
from storymem.checkpoints import component_config
from storymem.folders import EXPERTS, find
from storymem.profiles import Model

__all__ = ["EXPERTS", "check_fit", "in_channels"]


def in_channels(base: Path) -> int:
    """Input channels of the (high-noise) transformer of a base model folder: 16 for text-to-video, 36 with a condition."""
    return int(component_config(base, EXPERTS[0])[0].get("in_channels", 0))


def check_fit(model: Model) -> None:
    """Compare the parts of a model with each other and with its profile.

    Raises:
        UserError: Channels, text width or picture size that do not fit together; an expert too few or too many.
    """
    text_width = component_config(model.t2v, "text_encoder")[0].get("d_model")
    _check_experts(model, model.t2v, (16, 36), text_width)
    if "m2v" in model.needs:
        _check_experts(model, model.m2v, (36,), text_width)
    _check_picture(model)


def _check_experts(model: Model, base: Path, channels: tuple[int, ...], text_width: object) -> None:
    for number, role in enumerate(EXPERTS):
        if number >= model.profile.experts:
            if (extra := find(base, role)) is not None:
                raise UserError("a second expert is there", where=str(extra.path), expected="none, since the profile has no boundary")
            continue
        config, where = component_config(base, role)
        if config.get("in_channels") not in channels:
            wanted = " or ".join(map(str, channels))
            raise UserError(f"field 'in_channels' is {config.get('in_channels')}", where=where, expected=wanted)
        if config.get("text_dim") != text_width:
            raise UserError(
                f"field 'text_dim' is {config.get('text_dim')}", where=where, expected=f"{text_width}, the text encoder's width"
            )


def _check_picture(model: Model) -> None:
    vae, where = component_config(model.t2v, "vae")
    if vae.get("z_dim") != condition.LATENT_CHANNELS:
        raise UserError(f"field 'z_dim' is {vae.get('z_dim')}", where=where, expected=f"{condition.LATENT_CHANNELS}")
    unit = 2 ** (len(vae.get("dim_mult", ())) - 1) * (vae.get("patch_size") or 1) * 2
    profile = model.profile
    if profile.width % unit or profile.height % unit:
        raise UserError(f"size is {profile.width}x{profile.height}", where=profile.name, expected=f"multiples of {unit}")
