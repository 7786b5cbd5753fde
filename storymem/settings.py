"""The settings that a model was made for: the fields of `profile.json`, and Wan2.2 A14B's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from stbench.errors import UserError
from storymem.stored import read_json

Dtype = Literal["float32", "bfloat16", "float16"]

_WAN_NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，"
    "画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)


class Profile(BaseModel):
    """Settings of a model; the fields of `profile.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    licence: str
    about: str = ""
    # folders relative to the profile's folder, or hub ids; each base in diffusers' or the original layout
    m2v: str = "."
    t2v: str = "."
    lora: tuple[str, ...] = ("memory_lora",)  # one per expert, high noise first; empty: none
    lora_alpha: float | None = None  # only for adapters without an adapter_config.json
    lora_rank_stabilised: bool = True
    i2v_uses_lora: bool = False  # whether a shot with a first frame and no memory runs with the adapter
    # picture
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    frames: int = Field(gt=0)
    fps: float = Field(gt=0)
    # sampling
    steps: int = Field(gt=0)
    solver: Literal["unipc", "dpm++"] = "unipc"
    shift: float = Field(gt=0)
    shift_t2v: float | None = Field(default=None, gt=0)
    guidance: tuple[float, float]  # low-noise expert, high-noise expert
    guidance_t2v: tuple[float, float] | None = None
    boundary: float | None = None
    boundary_t2v: float | None = None
    batch_guidance: bool = False
    text_length: int = Field(gt=0)
    negative_prompt: str = ""
    dtype: Dtype = "float32"  # of the transformers
    dtype_text: Dtype | None = None  # of the text encoder; None: the same
    dtype_vae: Dtype = "float32"
    threads: int | None = Field(default=None, gt=0)  # of the CPU, whatever it has: other numbers round otherwise; None: torch's own
    # memory
    memory_size: int = Field(default=10, ge=0)
    memory_sink: int = Field(default=3, ge=0)
    positions_stride: int = Field(default=5, ge=0)
    keyframes_max: int = Field(default=3, gt=0)
    keyframes_threshold: float = 0.9
    keyframe_encoder: str = "world-dino"
    prompt_encoder: str = "world-clip"  # of pictures and texts, for memory.policy=prompt
    quality: str = "contrast"
    quality_threshold: float = 0.0

    @field_validator("guidance", "guidance_t2v", mode="before")
    @classmethod
    def _one_for_both(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _fits(self) -> Profile:
        if (self.frames - 1) % 4:
            raise ValueError(f"frames is {self.frames}; expected 1 + a multiple of 4")
        if self.lora and len(self.lora) != self.experts:
            raise ValueError(f"{len(self.lora)} adapters for {self.experts} expert(s)")
        return self

    @property
    def experts(self) -> int:
        """2 where a boundary splits the noise levels."""
        return 1 if self.boundary is None else 2


WAN = Profile(
    name="wan2.2-a14b",
    licence="Apache-2.0 (Wan2.2), cc-by-nc-4.0 (StoryMem LoRA: non-commercial)",
    m2v="Wan-AI/Wan2.2-I2V-A14B-Diffusers",
    t2v="Wan-AI/Wan2.2-T2V-A14B-Diffusers",
    lora=("Wan2.2-MI2V-A14B/backbone_high_noise.safetensors", "Wan2.2-MI2V-A14B/backbone_low_noise.safetensors"),
    lora_alpha=128,
    width=832,
    height=480,
    frames=81,
    fps=16,
    steps=40,
    shift=4.0,
    shift_t2v=12.0,
    guidance=(3.5, 3.5),
    boundary=0.9,
    boundary_t2v=0.875,
    text_length=512,
    negative_prompt=_WAN_NEGATIVE,
    dtype="bfloat16",
    keyframe_encoder="clip-vit-b-32",
    prompt_encoder="clip-vit-b-32",
    quality="hpsv3",
    quality_threshold=3.0,
)


def read_profile(path: Path) -> Profile:
    """A profile from JSON; every field checked."""
    try:
        return Profile.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "profile"
        found = "" if first["type"] == "missing" else f" (found {first['input']!r})" if first["loc"] else ""
        raise UserError(f"field {field!r}: {first['msg']}{found}", where=str(path), expected="the fields of a model profile") from error
