"""The `--set key=value` options of the StoryMem methods; what is not set comes from the model's profile."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from stbench.errors import UserError
from storymem.attention import AUTO, choose_backend
from storymem.cost import Precision
from storymem.denoise import Sampling, Solver
from storymem.placements import Placement
from storymem.positions import Variant
from storymem.profiles import OVERRIDES, Profile
from storymem.quality import QUALITY, THRESHOLDS
from storymem.recipes import LIGHTNING_SAMPLING, Recipe
from storymem.running import Running
from storymem.settings import Dtype

Mode = Literal["auto", "m2v", "mm2v"]
MOTION_FRAMES = 5  # of MM2V: two latent frames


RUNTIME: dict[str, Any] = {"role": "runtime"}  # marks options that cannot change a pixel


class SamplingOptions(BaseModel):
    """Options of every method on a Wan model: how to sample, and how to run the model (`storymem.running`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    steps: int = Field(ge=1, le=1000)
    shift: float = Field(gt=0)
    shift_t2v: float = Field(gt=0)
    guidance: tuple[float, float]  # low-noise, high-noise expert
    guidance_t2v: tuple[float, float]
    solver: Solver
    dtype: Dtype
    dtype_text: Dtype = Field(alias="dtype.text")
    dtype_vae: Dtype = Field(alias="dtype.vae")
    attention: str = Field(default=AUTO)
    vae_tiling: bool = Field(default=False, alias="vae.tiling")
    compile: bool = False
    recipe: Recipe = "exact"
    cache_threshold: float = Field(default=0.05, alias="cache.threshold", gt=0, le=1)
    lightning_weight: float = Field(default=1.0, alias="lightning.weight", ge=0.6, le=1)
    placement: Placement | Literal["auto"] = Field(default="auto", json_schema_extra=RUNTIME)

    @field_validator("attention")
    @classmethod
    def _known_attention(cls, value: str) -> str:
        return _known(lambda name: choose_backend(name, "cpu"), value)

    @field_validator("guidance", "guidance_t2v", mode="before")
    @classmethod
    def _one_or_two(cls, value: Any) -> Any:
        if isinstance(value, str):
            parts = value.split(",")
            return parts * 2 if len(parts) == 1 else parts
        return value

    @model_validator(mode="after")
    def _recipe_fits(self) -> Self:
        if self.recipe == "lightning" and {*self.guidance, *self.guidance_t2v} != {1.0}:
            raise ValueError("recipe=lightning was distilled without guidance; leave guidance out")
        if self.recipe == "lightning" and self.steps > 8:
            raise ValueError("recipe=lightning samples in 4 steps (8 at most); more steps leave what it was distilled for")
        if self.recipe == "fp8" and self.placement == "group-offload":
            raise ValueError("recipe=fp8 cannot be combined with placement=group-offload; use placement=offload")
        if self.recipe == "cache" and self.compile:
            raise ValueError("recipe=cache decides while it runs which blocks to skip, so compile=true gains nothing; leave one out")
        return self

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

    def running(self) -> Running:
        """How to run the model."""
        precision = Precision(transformer=self.dtype, text_encoder=self.dtype_text, vae=self.dtype_vae)
        return Running(
            placement=self.placement,
            attention=self.attention,
            precision=precision,
            tiling=self.vae_tiling,
            compiled=self.compile,
            recipe=self.recipe,
            cache_threshold=self.cache_threshold,
            lightning_weight=self.lightning_weight,
            memory=getattr(self, "memory_size", 0),
        )

    def resolved(self) -> dict[str, Any]:
        """All options that can change a pixel, by the name that `--set` knows, JSON-able."""
        runtime = {name for name, field in type(self).model_fields.items() if field.json_schema_extra == RUNTIME}
        return self.model_dump(mode="json", by_alias=True, exclude=runtime)


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
    positions_stride: int = Field(alias="positions.stride", ge=0)
    quality: str
    quality_threshold: float | None = Field(default=None, alias="quality.threshold", allow_inf_nan=False)

    @field_validator("quality")
    @classmethod
    def _known_quality(cls, value: str) -> str:
        return _known(QUALITY.target, value)

    @model_validator(mode="after")
    def _published_policy(self) -> Self:
        if self.memory_policy == "prompt" and self.variant == "release-2025-12":
            raise ValueError("the first release knows recency only; use variant=paper for memory.policy=prompt")
        if self.quality_threshold is None:
            raise ValueError(f"no threshold is known for quality={self.quality}; give quality.threshold")
        return self


def _known(look_up: Callable[[str], object], name: str) -> str:
    """A name that can be looked up; ValueError, as pydantic wants it, where it cannot."""
    try:
        look_up(name)
    except UserError as error:
        raise ValueError(str(error)) from error
    return name


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
    for name, same in (("shift_t2v", "shift"), ("guidance_t2v", "guidance"), ("dtype.text", "dtype")):
        if defaults[name] is None:
            defaults[name] = defaults[same]
    if (judge := options.get("quality", profile.quality)) != profile.quality and "quality.threshold" in names:
        defaults["quality.threshold"] = THRESHOLDS.get(judge)
    if options.get("recipe") == "lightning":
        defaults |= LIGHTNING_SAMPLING
    try:
        return kind.model_validate(defaults | dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        key = str(first["loc"][0]) if first["loc"] else ""
        raise UserError(f"{key} = {options.get(key)!r}: {message}" if key else message, where="--set") from error
