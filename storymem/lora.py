"""Memory LoRA: read under any key naming, attach through peft, and prove that it took.

A loader that finds no matching key loads nothing and says nothing; a plain loader scales by alpha/r where StoryMem uses
rsLoRA, alpha/sqrt(r) (11 times more at rank 128). So here every key must be used, every block must have every kind of
layer, every shape must fit, the update must not be zero, and the scale that peft applies is compared with the config.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stbench.errors import UserError
from storymem.layouts import LINEARS, module_name
from storymem.stored import read_json, some

ADAPTER = "memory"
TARGETS = tuple(LINEARS.values())  # layers of a block that StoryMem's own adapters touch
_PREFIXES = ("module.", "base_model.model.", "model.", "diffusion_model.", "transformer.", "transformer_2.", "dit.")
_PAIR = re.compile(r"(.+)\.lora_(A|B|down|up)(?:\.\w+)?\.weight")


@dataclass(frozen=True, kw_only=True)
class LoraSpec:
    """Scale of an adapter, from its `adapter_config.json` or, where there is none, from the model's profile."""

    alpha: float
    rank_stabilised: bool  # rsLoRA: alpha / sqrt(r), else alpha / r
    rank: int | None = None  # expected, if stated
    targets: tuple[str, ...] = ()  # layer kinds that must be there, if stated

    def scale(self, rank: int) -> float:
        """Factor of B @ A.

        Example:
            >>> LoraSpec(alpha=4, rank_stabilised=True).scale(4)
            2.0
        """
        return self.alpha / math.sqrt(rank) if self.rank_stabilised else self.alpha / rank


@dataclass(frozen=True, kw_only=True)
class LoraProof:
    """What was attached."""

    modules: int
    parameters: int
    rank: int
    scale: float
    update_norm: float  # Frobenius norm of scale * B @ A over all modules


def read_spec(folder: Path) -> LoraSpec | None:
    """The spec in a peft adapter folder, or None if it has no `adapter_config.json`."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        return None
    return spec_from(read_json(path), str(path))


def spec_from(config: Mapping[str, Any], where: str) -> LoraSpec:
    """The spec in a peft config.

    Raises:
        UserError: Fields missing or of another kind, an alpha or rank that is not positive, settings that change the sum.
    """
    unusual = [name for name in ("use_dora", "rank_pattern", "alpha_pattern", "lora_bias", "layer_replication") if config.get(name)]
    if unusual:
        raise UserError(f"field {unusual[0]!r} is set", where=where, expected="a plain LoRA: one rank, one alpha, B @ A")
    try:
        targets = config.get("target_modules") or ()
        spec = LoraSpec(
            alpha=float(config["lora_alpha"]),
            rank=int(config["r"]),
            rank_stabilised=config.get("use_rslora", False) in (True, "true", "True"),
            targets=tuple(str(target) for target in targets) if isinstance(targets, list) else (),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"not a peft adapter config ({error!r})", where=where, expected="fields r, lora_alpha, use_rslora") from error
    if not (math.isfinite(spec.alpha) and spec.alpha > 0 and spec.rank and spec.rank > 0):
        raise UserError(f"lora_alpha is {spec.alpha} and r is {spec.rank}", where=where, expected="numbers above 0")
    return spec


def split_alpha(state: Mapping[str, torch.Tensor], where: str = "LoRA") -> tuple[dict[str, torch.Tensor], float | None]:
    """Weights without `….alpha`, and the one alpha that those state (None without them).

    Raises:
        UserError: Several alphas, or one that is no number.
    """
    alphas = {key: value for key, value in state.items() if key.endswith(".alpha")}
    wrong = [key for key, value in alphas.items() if value.numel() != 1]
    if wrong:
        raise UserError(f"{some(wrong)} is no number", where=where, expected="one alpha per module")
    found = {float(value) for value in alphas.values()}
    if len(found) > 1:
        raise UserError(f"{len(found)} different alphas: {some([f'{value:g}' for value in sorted(found)])}", where=where, expected="one")
    return {key: value for key, value in state.items() if key not in alphas}, found.pop() if found else None


def pair_up(state: Mapping[str, torch.Tensor], where: str = "LoRA") -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Group LoRA weights by diffusers' module name: {module: (A (r, in), B (out, r))}.

    Accepts peft's `base_model.model.*`, `diffusion_model.*`, bare names, `.default.` adapters, original Wan and diffusers'
    module names, and down/up for A/B.

    Raises:
        UserError: A key that is no LoRA weight, or a pair with one half missing.
    """
    halves: dict[str, dict[str, torch.Tensor]] = {}
    strange: list[str] = []
    for key, value in state.items():
        name = key
        while prefix := next((prefix for prefix in _PREFIXES if name.startswith(prefix)), ""):
            name = name.removeprefix(prefix)
        match = _PAIR.fullmatch(name)
        if match is None or value.ndim != 2:
            strange.append(key)
            continue
        half = {"down": "A", "up": "B"}.get(match[2], match[2])
        pair = halves.setdefault(module_name(match[1]), {})
        if half in pair:
            raise UserError(f"two weights for lora_{half} of {module_name(match[1])}", where=where, expected="one")
        pair[half] = value
    if strange:
        raise UserError(f"{len(strange)} keys are no LoRA weights: {some(strange)}", where=where, expected="…lora_A.weight, …lora_B.weight")
    lonely = [module for module, pair in halves.items() if len(pair) != 2]
    if lonely:
        raise UserError(f"half of the pair is missing for {some(lonely)}", where=where, expected="lora_A and lora_B of each module")
    return {module: (pair["A"], pair["B"]) for module, pair in halves.items()}


def attach(transformer: Any, state: Mapping[str, torch.Tensor], spec: LoraSpec, *, where: str = "LoRA", name: str = ADAPTER) -> LoraProof:
    """Attach an adapter to a diffusers transformer, enabled, and prove it; beside others if it has some.

    Raises:
        UserError: Keys left over or missing, wrong shapes, another rank than stated, an update of norm zero.
    """
    pairs = pair_up(state, where)
    rank = _check(transformer, pairs, spec, where)
    layers = add_empty(transformer, sorted(pairs), rank=rank, spec=spec, name=name)
    scale, squared, parameters = spec.scale(rank), 0.0, 0
    if set(layers) != set(pairs):
        raise UserError(f"adapter on {len(layers)} modules, weights for {len(pairs)}", where=where)
    for module, (down, up) in pairs.items():
        layer = layers[module]
        with torch.no_grad():
            layer.lora_A[name].weight.copy_(down)
            layer.lora_B[name].weight.copy_(up)
        if not math.isclose(layer.scaling[name], scale, rel_tol=1e-6):
            raise UserError(f"{module} is scaled by {layer.scaling[name]}", where=where, expected=f"{scale}")
        squared += _update_norm_squared(down, up)
        parameters += down.numel() + up.numel()
    norm = scale * math.sqrt(squared)
    if not (math.isfinite(norm) and norm > 0):
        raise UserError(f"the update has norm {norm}", where=where, expected="a trained LoRA: finite and not zero")
    return LoraProof(modules=len(pairs), parameters=parameters, rank=rank, scale=scale, update_norm=norm)


def add_empty(transformer: Any, modules: Sequence[str], *, rank: int, spec: LoraSpec, name: str = ADAPTER) -> dict[str, Any]:
    """Put an untrained adapter on the named modules, enabled; the layers that have it now, by name."""
    from peft import LoraConfig

    config = LoraConfig(
        r=rank, lora_alpha=spec.alpha, use_rslora=spec.rank_stabilised, lora_dropout=0.0, target_modules=list(modules), bias="none"
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`")  # a second adapter is meant
        transformer.add_adapter(config, name)
    return {path: module for path, module in transformer.named_modules() if name in getattr(module, "lora_A", ())}


def use_adapters(transformer: Any, names: Sequence[str]) -> None:
    """Switch on exactly these adapters of a transformer, each at the scale that it was attached with."""
    if names:
        transformer.enable_adapters()
        transformer.set_adapter(list(names))
    else:
        transformer.disable_adapters()


def _update_norm_squared(down: torch.Tensor, up: torch.Tensor) -> float:
    """||B A||² through the small r × r Gram matrices."""
    down, up = down.float(), up.float()
    return float(((up.T @ up) * (down @ down.T)).sum())


def _check(transformer: Any, pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]], spec: LoraSpec, where: str) -> int:
    """Every module exists, every block is complete, every shape fits; returns the one rank."""
    linears = {
        name.removesuffix(".base_layer"): module  # where another adapter is attached already
        for name, module in transformer.named_modules()
        if isinstance(module, torch.nn.Linear) and ".lora_" not in name
    }
    unknown = [name for name in pairs if name not in linears]
    if unknown or not pairs:
        what = f"{len(unknown)} keys fit no layer of the transformer: {some(unknown)}" if unknown else "no weights"
        raise UserError(what, where=where, expected=f"modules such as blocks.0.{next(iter(LINEARS.values()))}")
    kinds = {_kind(name) for name in pairs if _kind(name)} | {LINEARS.get(target, target) for target in spec.targets if "." in target}
    missing = [name for name in linears if _kind(name) in kinds and name not in pairs]
    if missing:
        raise UserError(f"no weights for {len(missing)} layers: {some(missing)}", where=where, expected="every block of the transformer")
    ranks = {down.shape[0] for down, _ in pairs.values()} | ({spec.rank} if spec.rank else set())
    if len(ranks) != 1:
        raise UserError(f"ranks {sorted(ranks)} in weights and config", where=where, expected="one rank")
    rank = ranks.pop()
    for name, (down, up) in pairs.items():
        layer = linears[name]
        found = (tuple(down.shape), tuple(up.shape))
        expected = ((rank, layer.in_features), (layer.out_features, rank))
        if found != expected:
            raise UserError(f"{name} has shapes {found}", where=where, expected=f"{expected}")
    return rank


def _kind(module: str) -> str | None:
    match = re.fullmatch(r"blocks\.\d+\.(.+)", module)
    return match[1] if match else None
