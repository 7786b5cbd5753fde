"""The `--set key=value` options of the StoryMem methods; what is not set comes from the model's profile."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from stbench.errors import UserError
from storymem.denoise import Sampling, Solver
from storymem.positions import Variant
from storymem.profiles import OVERRIDES, Profile

Mode = Literal["auto", "m2v", "mm2v"]
MOTION_FRAMES = 5  # of MM2V: two latent frames


class SamplingOptions(BaseModel):
    """Options of every method on a Wan model."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    steps: int = Field(ge=1, le=1000)
    shift: float = Field(gt=0)
    shift_t2v: float = Field(gt=0)
    guidance: tuple[float, float]  # low-noise, high-noise expert
    guidance_t2v: tuple[float, float]
    solver: Solver

    @field_validator("guidance", "guidance_t2v", mode="before")
    @classmethod
    def _one_or_two(cls, value: Any) -> Any:
        if isinstance(value, str):
            parts = value.split(",")
            return parts * 2 if len(parts) == 1 else parts
        return value

    def sampling(self, profile: Profile, *, from_text: bool) -> Sampling:
        """How to sample a text-to-video shot, or one with memory or known frames."""
        return Sampling(
            steps=self.steps,
            shift=self.shift_t2v if from_text else self.shift,
            guidance=self.guidance_t2v if from_text else self.guidance,
            boundary=profile.boundary_t2v if from_text and profile.boundary is not None else profile.boundary,
            solver=self.solver,
            batch_guidance=profile.batch_guidance,
        )

    def resolved(self) -> dict[str, Any]:
        """All options by the name that `--set` knows, JSON-able."""
        return self.model_dump(mode="json", by_alias=True)


class MemoryOptions(SamplingOptions):
    """Options of StoryMem.

    `memory.policy`: "recency" keeps the sink and the most recent keyframes, as published; "prompt" keeps the sink and those that
    resemble the shot's prompt most.
    """

    variant: Variant = "paper"
    mode: Mode = "auto"  # auto: MI2V where a shot continues the previous one, else M2V
    memory_size: int = Field(alias="memory.size", ge=0)
    memory_sink: int = Field(alias="memory.sink", ge=0)
    memory_policy: Literal["recency", "prompt"] = Field(default="recency", alias="memory.policy")
    keyframes_max: int = Field(alias="keyframes.max", ge=1)
    keyframes_threshold: float = Field(alias="keyframes.threshold", ge=-1, le=1)
    positions_stride: int = Field(alias="positions.stride", ge=1)

    @model_validator(mode="after")
    def _published_policy(self) -> Self:
        if self.memory_policy == "prompt" and self.variant == "release-2025-12":
            raise ValueError("the first release knows recency only; use variant=paper for memory.policy=prompt")
        return self


T = TypeVar("T", bound=SamplingOptions)


def parse(kind: type[T], options: Mapping[str, str], profile: Profile) -> T:
    """Options from strings over the profile's defaults.

    Raises:
        UserError: An unknown key (with the nearest one) or a value out of range.
    """
    names = {field.alias or name: name for name, field in kind.model_fields.items()}
    options = {key: value for key, value in options.items() if key not in OVERRIDES}  # those say where weights are
    for key in options:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            raise UserError(
                f"unknown option {key!r}",
                where="--set",
                expected="one of: " + ", ".join(sorted((*names, *OVERRIDES))),
                hint=f"did you mean {near[0]!r}?" if near else None,
            )
    defaults = {alias: getattr(profile, name) for alias, name in names.items() if name in Profile.model_fields}
    for name in ("shift", "guidance"):
        if defaults[f"{name}_t2v"] is None:
            defaults[f"{name}_t2v"] = defaults[name]
    try:
        return kind.model_validate(defaults | dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        key = str(first["loc"][0]) if first["loc"] else ""
        raise UserError(f"{key} = {options.get(key)!r}: {message}" if key else message, where="--set") from error
