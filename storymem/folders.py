"""Where the components of a base model are: diffusers' folder layout, or the authors' own.

    role             diffusers          original
    transformer      transformer/       high_noise_model/ (or the folder itself, for models with one expert)
    transformer_2    transformer_2/     low_noise_model/
    vae              vae/               Wan2.1_VAE.pth
    text_encoder     text_encoder/      models_t5_umt5-xxl-enc-bf16.pth
    tokenizer        tokenizer/         google/umt5-xxl/

Looked up role by role, so a folder that mixes the two works. Hub ids of the two: `Wan-AI/Wan2.2-T2V-A14B-Diffusers` and
`Wan-AI/Wan2.2-T2V-A14B`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stbench.errors import UserError
from storymem.stored import SUFFIXES, missing_shards, read_json

Layout = Literal["diffusers", "original"]
EXPERTS = ("transformer", "transformer_2")  # high noise, low noise
_ORIGINAL = {
    "transformer": ("high_noise_model",),
    "transformer_2": ("low_noise_model",),
    "vae": ("Wan2.1_VAE.pth", "Wan2.1_VAE.safetensors"),
    "text_encoder": ("models_t5_umt5-xxl-enc-bf16.pth", "models_t5_umt5-xxl-enc-bf16.safetensors"),
    "tokenizer": ("google/umt5-xxl",),
}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "spiece.model")


@dataclass(frozen=True, kw_only=True)
class Component:
    """One component of a base model.

    Attributes:
        role: "transformer", "transformer_2", "vae", "text_encoder" or "tokenizer".
        layout: Whose names and config it has.
        path: Its folder or file.
    """

    role: str
    layout: Layout
    path: Path

    @property
    def config_path(self) -> Path | None:
        """Its config.json, if it has one."""
        path = self.path / "config.json"
        return path if path.is_file() else None

    def missing_files(self) -> list[Path]:
        """Files that an index or the layout promises and that are not there (a download that broke off)."""
        if self.role == "tokenizer":
            return [] if any((self.path / name).is_file() for name in _TOKENIZER_FILES) else [self.path / _TOKENIZER_FILES[0]]
        if not self.path.is_dir():
            return []
        for suffix in SUFFIXES:
            for index in sorted(self.path.glob(f"*{suffix}.index.json")):
                return missing_shards(index)
        found = any(path.suffix in SUFFIXES for path in self.path.iterdir())
        return [] if found else [self.path / "diffusion_pytorch_model.safetensors"]


def find(base: Path, role: str) -> Component | None:
    """A component of a base model folder, or None; `base` may also be the component's own folder or file."""
    if base.is_file():
        return Component(role=role, layout="original", path=base)
    own = base / role
    if (own / "config.json").is_file() or (role == "tokenizer" and own.is_dir()):
        return Component(role=role, layout=_layout_of(own), path=own)
    for name in _ORIGINAL.get(role, ()):
        if (base / name).exists():
            return Component(role=role, layout="original", path=base / name)
    if role == "tokenizer" and any((base / name).is_file() for name in _TOKENIZER_FILES):
        return Component(role=role, layout="diffusers", path=base)
    if role != "tokenizer" and (base / "config.json").is_file() and not (role == EXPERTS[1] and _whole(base)):
        layout = _layout_of(base)
        if layout == "diffusers" or role in EXPERTS:
            return Component(role=role, layout=layout, path=base)
    return None


def require(base: Path, role: str) -> Component:
    """A component of a base model folder.

    Raises:
        UserError: It is in neither layout.
    """
    if found := find(base, role):
        return found
    if not base.exists():
        raise UserError("folder is missing", where=str(base), expected="a model folder in diffusers' or the original layout")
    own = base / role
    if own.is_dir() and role != "tokenizer":
        raise UserError("file is missing", where=str(own / "config.json"), expected="the config of the component")
    if (base / "Wan2.2_VAE.pth").exists() and role == "vae":
        raise UserError("holds the VAE of Wan2.2's 5B model", where=str(base), expected="Wan2.1_VAE.pth, which the A14B models use")
    original = " or ".join(_ORIGINAL[role])
    if layout_of(base) == "original":
        raise UserError("file or folder is missing", where=str(base / _ORIGINAL[role][0]), expected=f"{original}: the {role}")
    own_file = own if role == "tokenizer" else own / "config.json"
    kind = "folder" if role == "tokenizer" else "file"
    raise UserError(
        f"{kind} is missing", where=str(own_file), expected=f"the {role}, here (diffusers' layout) or as {original} (original layout)"
    )


def layout_of(base: Path) -> Layout | None:
    """The layout of a base model folder, by its transformer (or, without one, by anything it has)."""
    for role in ("transformer", "transformer_2", "vae", "text_encoder"):
        if found := find(base, role):
            return found.layout
    return None


def experts_in(base: Path) -> int:
    """How many experts a base model folder has: 0, 1 or 2."""
    return sum(find(base, role) is not None for role in EXPERTS)


def _layout_of(folder: Path) -> Layout:
    """Whose config.json: the authors' says `dim` where diffusers says `num_attention_heads`."""
    path = folder / "config.json"
    if not path.is_file():
        return "diffusers"
    config = read_json(path)
    return "original" if "dim" in config and "num_attention_heads" not in config else "diffusers"


def _whole(base: Path) -> bool:
    """Whether a folder with its own config.json is a whole base model, not a component."""
    return any((base / name).exists() for role in ("vae", "text_encoder") for name in (role, *_ORIGINAL[role]))
