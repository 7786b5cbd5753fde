"""Where the published weights come from, where they are on this machine, and how to get them.

Nothing is ever downloaded unless asked. Weights are looked for, in this order: in the folders of `$STBENCH_MODELS` (under
the last part of their hub id, in either layout), then in the Hugging Face cache. `fetch` is the one function that downloads;
it continues what broke off.

Sizes are computed from the published shapes: two experts of 14.29 billion parameters in float32, umT5-xxl's encoder of
5.68 billion in bfloat16, a VAE of 0.5 GB.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stbench.errors import UserError
from storymem import adapters
from storymem.folders import EXPERTS, find

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
    what="base of memory shots",
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


def need(wanted: Repository) -> Path:
    """The folder of a repository that is not a base model.

    Raises:
        UserError: It is not on this machine, or not whole; with its licence, its size and the command that gets it.
    """
    path = local(wanted)
    if path is None:
        part = next(part for part, known in PARTS.items() if known == wanted)
        raise missing_error(wanted.hub_id, {part: wanted})
    if lost := [path / name for name in wanted.files if not (path / name).is_file()]:
        raise incomplete_error(path, lost, wanted)
    return path


def judges(*encoders: str) -> dict[str, Repository]:
    """What these encoders and quality models need, and is not on this machine."""
    parts = [part for name in encoders for part in OF_ENCODER.get(name, ())]
    return {part: JUDGES[part] for part in parts if local(JUDGES[part]) is None}


def missing_files(base: Path, roles: tuple[str, ...]) -> list[Path]:
    """Files of a base model folder that a broken download left out."""
    missing: list[Path] = []
    for role in roles:
        part = find(base, role)
        missing += part.missing_files() if part else [base / role]
    return missing


def roles_of(part: str) -> tuple[str, ...]:
    """Components that a part must hold: text encoder, tokenizer and VAE are taken from the text-to-video base."""
    return {"t2v": ("tokenizer", "text_encoder", "vae", *EXPERTS), "m2v": EXPERTS}.get(part, ())


def state(part: str, *, mode: str = "mi2v", into: Path | None = None) -> str:
    """Whether a published part is on this machine (or in the folder `into`): "here (PATH)", "incomplete (…)" or "missing"."""
    wanted = repository(part, mode)
    path = (in_root(into, wanted) if into else None) or local(wanted)
    if path is None:
        return "missing"
    if part == "lora":
        try:
            adapters.locate(path, experts=2, mode=mode)
        except UserError as error:
            return f"incomplete ({error.what})"
        return f"here ({path})"
    lost = missing_files(path, roles_of(part)) + [path / name for name in wanted.files if not (path / name).is_file()]
    return f"incomplete ({len(lost)} files missing, first {lost[0].relative_to(path)})" if lost else f"here ({path})"


def missing_error(where: str, missing: Mapping[str, Repository]) -> UserError:
    """The one message about weights that are not here: licences, sizes, the exact commands, what to do then."""
    models = Path("models")
    listed = "; ".join(f"{wanted.what}: {wanted.about()}" for wanted in missing.values())
    total = sum(wanted.size_bytes for wanted in missing.values()) / GB
    commands = " && ".join(wanted.command(models) for wanted in missing.values())
    settings = " ".join(f"--set weights.{part}=DIR" for part in missing if part not in JUDGES)
    pointed = f" (or point to them: {settings})" if settings else ""
    return UserError(
        f"weights are not on this machine: {listed}" + (f"; {total:.0f} GB in all" if len(missing) > 1 else ""),
        where=where,
        hint=f"read the licences, then run: {commands} && export {ENVIRONMENT}={models}{pointed}",
    )


def incomplete_error(base: Path, lost: list[Path], wanted: Repository) -> UserError:
    """A download that broke off, with the command that continues it."""
    named = replace(wanted, hub_id=next((name for name in wanted.also if name.endswith(f"/{base.name}")), wanted.hub_id))
    command = named.command(None if base.parent.name == "snapshots" else base.parent)
    count = f"{len(lost)} files missing, first {lost[0].name}"
    return UserError(f"the download is not complete: {count}", where=str(base), hint=f"it continues with: {command}")


def fetch(wanted: Repository, into: Path, *, roles: tuple[str, ...] = (), endpoint: str | None = None) -> Path:
    """Download a repository to `into`/<its name>, continuing what is there, and return that folder.

    Args:
        wanted: What to download.
        into: Folder of downloads.
        roles: Components that must be whole afterwards.
        endpoint: Address of the hub, if not the usual one.

    Raises:
        UserError: Not enough space, no such repository, or the connection broke; finished files are kept.
    """
    folder = into / wanted.folder
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    have = sum(path.stat().st_size for path in folder.glob("[!.]*/**/*") if path.is_file()) if folder.is_dir() else 0
    free = shutil.disk_usage(there).free
    if free + have < wanted.size_bytes:
        needed = (wanted.size_bytes - have) / GB
        raise UserError(f"{free / GB:.0f} GB are free", where=str(there), expected=f"{needed:.0f} GB for {wanted.hub_id}")
    download(wanted.hub_id, folder, only=wanted.only, endpoint=endpoint)
    if lost := missing_files(folder, roles):
        raise incomplete_error(folder, lost, wanted)
    return folder


def download(hub_id: str, folder: Path, *, only: tuple[str, ...] = (), endpoint: str | None = None) -> Path:
    """Download a repository into a folder, with every failure as one line; repeated, it continues.

    Within a call, a file whose connection breaks goes on at its next byte. After a call that failed, finished files are kept;
    whether a half one is depends on the version of huggingface_hub.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    patterns = list(only) or None
    try:
        HfApi(endpoint=endpoint).model_info(hub_id)  # without this, a hub out of reach would pass for a finished download
        return Path(snapshot_download(hub_id, local_dir=folder, allow_patterns=patterns, endpoint=endpoint))
    except GatedRepoError as error:
        raise UserError("access is gated", where=hub_id, hint="accept its licence on its page, then `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise UserError("no such repository, or no access to it", where=hub_id, hint="check the name, or `hf auth login`") from error
    except OfflineModeIsEnabled as error:
        raise UserError("offline mode is on", where=hub_id, hint="unset HF_HUB_OFFLINE to download") from error
    except Exception as error:
        if not (isinstance(error, HfHubHTTPError | OSError | ValueError) or _is_network(error)):
            raise
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:200]
        hint = f"finished files are kept in {folder}; the same command continues"
        raise UserError(f"the download broke off ({reason})", where=hub_id, hint=hint) from error


def _is_network(error: Exception) -> bool:
    """Whether an error is of the network library under huggingface_hub, which differs between its versions."""
    return any(kind.__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "requests", "urllib3") for kind in type(error).__mro__)
