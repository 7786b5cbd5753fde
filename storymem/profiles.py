"""Named models: where their weights are and the settings that they were made for.

`world` is embedded in the package. `wan2.2-a14b` is the real thing, from `$STBENCH_MODELS` or the Hugging Face cache.
Anything else is a hub id or the path of a folder: one with a `profile.json` of its own, a folder of downloads, or one base
model in either layout, which gets Wan2.2's settings. `--set weights.t2v=…`, `weights.m2v=…` and `weights.lora=…` point to
each part by itself. Only the profile differs: the code that runs them is the same.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stbench.errors import UserError
from storymem import adapters, hub
from storymem.folders import EXPERTS, experts_in, find
from storymem.settings import WAN, Profile, read_profile

__all__ = ["EMBEDDED", "NAMES", "OVERRIDES", "PARTS", "WAN", "Model", "Profile", "about", "read_profile", "resolve"]

EMBEDDED = Path(__file__).parent / "models"
NAMES = ("world", WAN.name)

PARTS = ("t2v", "m2v", "lora")
LIGHTNING = {"m2v": "lightning", "t2v": "lightning_t2v"}  # base → its few-step adapters (recipe=lightning)
OVERRIDES = tuple(f"weights.{part}" for part in (*PARTS, *LIGHTNING.values()))  # keys of `--set`


@dataclass(frozen=True, kw_only=True)
class Model:
    """A profile and the folders that its weights are in.

    Attributes:
        profile: Settings.
        m2v: Base of memory shots; where none is needed, the same as `t2v`.
        t2v: Base of text-to-video shots; text encoder, tokenizer and VAE come from it.
        lora: Adapters, one per expert, high noise first: peft folders or files of weights.
        needs: Which of "t2v", "m2v" and "lora" the method uses.
    """

    profile: Profile
    m2v: Path
    t2v: Path
    lora: tuple[Path, ...]
    needs: tuple[str, ...] = PARTS
    lightning: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)  # "m2v", "t2v" → few-step adapters, one per expert

    @property
    def shared(self) -> bool:
        """Whether the same transformer makes text-to-video and memory shots."""
        return self.m2v == self.t2v

    def without_memory(self, *, first_frames: bool) -> Model:
        """For shots without memory: the memory adapter is left out, so that training it anew makes no such shot another one.

        Args:
            first_frames: Whether shots start from known frames; a profile may say that these run with the adapter.
        """
        if first_frames and self.profile.i2v_uses_lora:
            return self
        return replace(self, lora=(), needs=tuple(part for part in self.needs if part != "lora"))

    def weight_parts(self, *, memory: bool) -> dict[Path, tuple[str, ...]]:
        """Folders and what in them changes pixels (sub-folders, files), with or without those of shots that start from pictures."""
        experts = EXPERTS[: self.profile.experts]
        parts = {self.t2v: _parts_in(self.t2v, ("tokenizer", "text_encoder", "vae", *experts))}
        if memory:
            parts[self.m2v] = parts[self.t2v] if self.shared else _parts_in(self.m2v, ("vae", *experts))
            for path in self.lora:
                parts[path] = (".",)
        for path in (path for base in sorted(self.lightning) for path in self.lightning[base]):
            parts[path] = (".",)
        return parts


def _parts_in(base: Path, roles: tuple[str, ...]) -> tuple[str, ...]:
    """Where these components are in a base folder, relative to it."""
    found = ((role, find(base, role)) for role in roles)
    return tuple(part.path.relative_to(base).as_posix() if part else role for role, part in found)


_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def resolve(name: str, options: Mapping[str, str] | None = None, *, needs: tuple[str, ...] = PARTS) -> Model:
    """The model behind a profile name, a hub id or a path.

    Args:
        name: "world", "wan2.2-a14b", a hub id, a model folder, or a folder of downloads.
        options: `--set` options; `weights.*` say where parts are, `mode` which published adapter is meant.
        needs: Parts that the method uses; of models from the hub, the others need not be there.

    Raises:
        UserError: Unknown name, or weights that are not there (with the commands that get them).
    """
    given = _overrides(options or {})
    few_steps = {base: given.pop(name) for base, name in LIGHTNING.items() if name in given}
    model = _resolve(name, given, options or {}, needs)
    found = {base: adapters.locate(path, experts=model.profile.experts, mode="") for base, path in few_steps.items()}
    return replace(model, lightning=found) if found else model


def _resolve(name: str, given: Mapping[str, Path], options: Mapping[str, str], needs: tuple[str, ...]) -> Model:
    folder = EMBEDDED / name if name in NAMES else Path(name).expanduser()
    if name == WAN.name:
        return _assemble(WAN, given, needs, options)
    if name in NAMES and not (folder / "profile.json").is_file():
        raise UserError("the embedded weights are missing", where=str(folder), hint="install the package again, or train them")
    if (folder / "profile.json").is_file():
        return _with_profile(folder, given, options, needs)
    if folder.is_dir():
        return _without_profile(folder, given, needs, options)
    if _HUB_ID.fullmatch(name) and not name.startswith((".", "~")):
        return _from_hub(name, given, needs, options)
    raise UserError(f"no model {name!r}", expected=f"one of: {', '.join(NAMES)}, a hub id, or the path of a model folder")


def _mode(options: Mapping[str, str]) -> str:
    """Which published adapters are meant."""
    return "mm2v" if options.get("mode") == "mm2v" else "mi2v"


def about(name: str) -> str:
    """One line about a named model for people: picture, steps, licence, and whether its weights are on this machine."""
    profile = WAN if name == WAN.name else read_profile(EMBEDDED / name / "profile.json")
    picture = f"{profile.width}x{profile.height}, {profile.frames} frames at {profile.fps:g} fps, {profile.steps} steps"
    if name != WAN.name:
        resolve(name)
        return f"{picture}; weights: {profile.licence}; here (embedded)"
    states = {part: hub.state(part) for part in hub.PARTS}
    none = set(states.values()) == {"missing"}
    where = "none is here" if none else ", ".join(f"{part} {state}" for part, state in states.items())
    get = "" if all(state.startswith("here") for state in states.values()) else f"; to get them: stbench fetch {name}"
    return f"{picture}; weights: {profile.licence}; {where}{get}"


def _overrides(options: Mapping[str, str]) -> dict[str, Path]:
    """Parts that `--set weights.*` places, each a folder (or, for an adapter, a file), or a hub id in the cache."""
    given: dict[str, Path] = {}
    for key, value in options.items():
        if not key.startswith("weights."):
            continue
        if key not in OVERRIDES:
            near = difflib.get_close_matches(key, OVERRIDES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else None
            raise UserError(f"unknown option {key!r}", where="--set", expected="one of: " + ", ".join(OVERRIDES), hint=hint)
        given[key.removeprefix("weights.")] = _place(value, f"--set {key}")
    return given


def _place(value: str, where: str) -> Path:
    path = Path(value).expanduser()
    if path.exists():
        return path
    found = hub.cached(value) if _HUB_ID.fullmatch(value) else None
    if found is None:
        raise UserError(f"{value!r} is not on this machine", where=where, expected="a folder, or a hub id that was downloaded")
    return found


def _assemble(profile: Profile, given: Mapping[str, Path], needs: tuple[str, ...], options: Mapping[str, str]) -> Model:
    """A model from parts that are given, or else found on this machine."""
    mode = _mode(options)
    repositories = {part: hub.repository(part, mode) for part in needs if part not in given}
    found = {part: path for part, wanted in repositories.items() if (path := hub.local(wanted))}
    missing = {part: wanted for part, wanted in repositories.items() if part not in found}
    if missing:
        also = hub.judges(profile.keyframe_encoder, options.get("quality", profile.quality)) if "lora" in needs else {}
        raise hub.missing_error(profile.name, missing | also)
    for part, path in found.items():
        whole = part if "t2v" in needs else "t2v"  # where one base is all there is, it must hold every component
        if lost := hub.missing_files(path, hub.roles_of(whole)):
            raise hub.incomplete_error(path, lost, repositories[part])
    places = {**found, **given}
    lora = adapters.locate(places["lora"], experts=profile.experts, mode=mode) if "lora" in needs else ()
    base = {part: places[part] for part in ("t2v", "m2v") if part in needs}
    only = next(iter(base.values()))
    return Model(profile=profile, t2v=base.get("t2v", only), m2v=base.get("m2v", only), lora=lora, needs=needs)


def _with_profile(folder: Path, given: Mapping[str, Path], options: Mapping[str, str], needs: tuple[str, ...]) -> Model:
    """A folder with a profile of its own: all parts that it names must be there, unless given otherwise."""
    profile = read_profile(folder / "profile.json")
    places = {field: given.get(field) or _part(folder, getattr(profile, field)) for field in ("m2v", "t2v")}
    if "lora" in given:
        lora = adapters.locate(given["lora"], experts=profile.experts, mode=_mode(options))
    else:
        lora = tuple(adapters.beside(_part(folder, part)) for part in profile.lora)
    return Model(
        profile=profile, m2v=places["m2v"], t2v=places["t2v"], lora=lora, needs=(*(part for part in PARTS if part != "lora" or lora),)
    )


def _part(folder: Path, part: str) -> Path:
    """A part that a profile names: a folder or file inside of the model folder, or a hub id in the cache."""
    inside = _inside(folder, part)
    if not inside.exists() and _HUB_ID.fullmatch(part) and (found := hub.cached(part)):
        return found
    return inside


def _without_profile(folder: Path, given: Mapping[str, Path], needs: tuple[str, ...], options: Mapping[str, str]) -> Model:
    """A folder of downloads, or one base model, with the settings of Wan2.2."""
    downloads = {part: path for part in PARTS if (path := hub.in_root(folder, hub.repository(part, _mode(options))))}
    if downloads:
        return _assemble(WAN, {**downloads, **given}, needs, options)
    return _one_base(folder, folder.resolve().name, given, needs, options)


def _from_hub(hub_id: str, given: Mapping[str, Path], needs: tuple[str, ...], options: Mapping[str, str]) -> Model:
    """A base model by its hub id, from this machine."""
    known = next((wanted for wanted in hub.PARTS.values() if hub_id in (wanted.hub_id, *wanted.also)), None)
    found = next((path for root in hub.roots() if (path := root / hub_id.rpartition("/")[2]).is_dir()), None) or hub.cached(hub_id)
    if found is None:
        if known is None:
            raise UserError("not on this machine", where=hub_id, hint=f"read its licence, then run: hf download {hub_id}")
        part = next(part for part, repository in hub.PARTS.items() if repository is known)
        raise hub.missing_error(hub_id, {part: replace(known, hub_id=hub_id)})
    return _one_base(found, hub_id.rpartition("/")[2], given, needs, options)


def _one_base(folder: Path, name: str, given: Mapping[str, Path], needs: tuple[str, ...], options: Mapping[str, str]) -> Model:
    from storymem.fit import in_channels

    experts = experts_in(folder)
    if experts == 0:
        expected = "profile.json, or a base model in diffusers' or the original layout, or a folder of downloads"
        raise UserError("no model is in this folder", where=str(folder), expected=expected)
    part = "m2v" if in_channels(folder) > 16 else "t2v"
    changes: dict[str, Any] = {"name": name, "licence": "see the licences of its weights"}
    profile = WAN.model_copy(update=changes | ({} if experts == 2 else {"boundary": None, "boundary_t2v": None, "lora": WAN.lora[:1]}))
    places = {part: folder, **given}
    if "lora" not in places and adapters.has_adapters(folder, experts=experts):
        places["lora"] = folder
    return _assemble(profile, places, needs, options)


def _inside(folder: Path, part: str) -> Path:
    path = (folder / part).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UserError(f"{part!r} leaves the model folder", where=str(folder / "profile.json"), expected="a folder inside of it")
    return path
