"""Which weights are published where, under which licence, how large they are, which method uses them, and whether they are on this machine.

Weights are looked for, in this order: in the folders of `$STBENCH_MODELS` (under the last part of their hub id, in either layout), then in
the Hugging Face cache. Imports no torch, so that lists are quick; whether what is here is whole is `storymem.hub`'s to say.

Sizes are computed from the published shapes: two experts of 14.29 billion parameters in float32, umT5-xxl's encoder of
5.68 billion in bfloat16, a VAE of 0.5 GB.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = "STBENCH_MODELS"
GB = 10**9


@dataclass(frozen=True, kw_only=True)
class Repository:
    """One published set of weights.

    Attributes:
        hub_id: The repository that `fetch` takes.
        also: Other repositories with the same weights (the original layout).
        licence: Its licence.
        size_bytes: About what a download takes.
        what: What it is, in words.
        only: Patterns of the files needed; empty: all.
        files: Files that must be there.
    """

    hub_id: str
    also: tuple[str, ...] = ()
    licence: str
    size_bytes: int
    what: str
    only: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Last part of the hub id."""
        return self.hub_id.rpartition("/")[2]

    def command(self, into: Path | None = None) -> str:
        """The shell command that downloads it, into the Hugging Face cache or a folder; repeated, it continues."""
        only = "".join(f" --include '{pattern}'" for pattern in self.only)
        return f"hf download {self.hub_id}{only}" + (f" --local-dir {into / self.folder}" if into else "")

    def about(self) -> str:
        """Hub id, licence and size."""
        size = self.size_bytes / GB
        about = f"{size:.{0 if size >= 10 else 1}f} GB" if size >= 0.1 else f"{size * 1000:.0f} MB"
        return f"{self.hub_id} ({self.licence}; about {about})"


_BASE_BYTES = 126 * GB
_NON_COMMERCIAL = "cc-by-nc-4.0: non-commercial"
T2V = Repository(
    hub_id="Wan-AI/Wan2.2-T2V-A14B-Diffusers",
    also=("Wan-AI/Wan2.2-T2V-A14B",),
    licence="Apache-2.0",
    size_bytes=_BASE_BYTES,
    what="text-to-video base",
)
M2V = Repository(
    hub_id="Wan-AI/Wan2.2-I2V-A14B-Diffusers",
    also=("Wan-AI/Wan2.2-I2V-A14B",),
    licence="Apache-2.0",
    size_bytes=_BASE_BYTES,
    what="image-to-video base, which memory shots use too",
)
LORA = Repository(
    hub_id="Kevin-thu/StoryMem",
    licence=_NON_COMMERCIAL,
    size_bytes=5 * GB // 2,  # two adapters of 613.4 million parameters in bfloat16
    what="StoryMem's memory adapters (LoRA)",
    only=("Wan2.2-MI2V-A14B/*",),
)
LORA_MM2V = Repository(
    hub_id=LORA.hub_id, licence=_NON_COMMERCIAL, size_bytes=LORA.size_bytes, what="its MM2V adapters", only=("Wan2.2-MM2V-A14B/*",)
)
CLIP = Repository(
    hub_id="openai/clip-vit-base-patch32",
    licence="MIT",
    size_bytes=6 * GB // 10,
    what="CLIP, which finds keyframes",
    only=("*.json", "*.txt", "pytorch_model.bin"),
    files=("config.json", "vocab.json"),
)
HPSV3 = Repository(
    hub_id="MizzenAI/HPSv3",
    licence="MIT",
    size_bytes=17 * GB,  # 8.3 billion parameters in bfloat16
    what="HPSv3, which judges keyframes",
    only=("HPSv3.safetensors",),
    files=("HPSv3.safetensors",),
)
QWEN2_VL = Repository(
    hub_id="Qwen/Qwen2-VL-7B-Instruct",
    licence="Apache-2.0",
    size_bytes=GB // 50,
    what="HPSv3's tokenizer",
    only=("*.json", "merges.txt"),
    files=("config.json", "tokenizer.json"),
)
BASES: dict[str, Repository] = {"t2v": T2V, "m2v": M2V, "lora": LORA}
JUDGES: dict[str, Repository] = {"clip": CLIP, "hpsv3": HPSV3, "qwen2-vl": QWEN2_VL}
PARTS = BASES | JUDGES
OF_METHOD: Mapping[str, tuple[str, ...]] = {  # with the 14B weights; StoryMem and its presets need every part
    "wan-t2v": ("t2v",),
    "wan-i2v-chain": ("t2v", "m2v"),
    "frozen": ("t2v",),  # its first shot is wan-t2v's
    "no-quality-filter": (*BASES, "clip"),
}
OF_ENCODER = {"clip-vit-b-32": ("clip",), "hpsv3": ("hpsv3", "qwen2-vl")}  # name of an encoder or quality model → parts


def repository(part: str, mode: str = "mi2v") -> Repository:
    """The repository of a part; that of "lora" depends on the mode."""
    return LORA_MM2V if part == "lora" and mode == "mm2v" else PARTS[part]


def roots() -> list[Path]:
    """Folders of `$STBENCH_MODELS`."""
    return [Path(part).expanduser() for part in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if part]


def in_root(root: Path, wanted: Repository) -> Path | None:
    """A repository's folder in a folder of downloads."""
    for hub_id in (wanted.hub_id, *wanted.also):
        for path in (root / hub_id.rpartition("/")[2], root / hub_id):
            if path.is_dir():
                return path
    return None


def local(wanted: Repository) -> Path | None:
    """The folder of a repository on this machine, or None; never asks the network."""
    for root in roots():
        if path := in_root(root, wanted):
            return path
    return next((path for hub_id in (wanted.hub_id, *wanted.also) if (path := cached(hub_id))), None)


def cached(hub_id: str) -> Path | None:
    """The snapshot of a hub id in the Hugging Face cache, or None; never asks the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, FileNotFoundError, HFValidationError):
        return None
