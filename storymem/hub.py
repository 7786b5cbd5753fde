"""Weights of the hub: whether they are here and whole, what to say where they are not, and how to get them.

Nothing is ever downloaded unless asked: `fetch` is the one function that downloads; it continues what broke off. What is published, and
where it is looked for, is in `storymem.repositories`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stbench.errors import UserError
from storymem import adapters
from storymem.folders import EXPERTS, find
from storymem.repositories import (
    CLIP,
    ENVIRONMENT,
    GB,
    HPSV3,
    JUDGES,
    LORA,
    M2V,
    OF_ENCODER,
    PARTS,
    QWEN2_VL,
    Repository,
    cached,
    in_root,
    local,
    repository,
    roots,
)

__all__ = [
    "CLIP",
    "ENVIRONMENT",
    "HPSV3",
    "LORA",
    "M2V",
    "PARTS",
    "QWEN2_VL",
    "Repository",
    "cached",
    "download",
    "fetch",
    "in_root",
    "incomplete_error",
    "judges",
    "local",
    "missing_error",
    "missing_files",
    "need",
    "repository",
    "roles_of",
    "roots",
    "state",
]


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
