"""`ic-lora`: a story's keyframes as storyboards by FLUX.1-dev with the in-context storyboard adapter, then image-to-video for each shot.

From arXiv 2410.23775 and its public README: one image of three panels, 1024x1536 in all, a caption with [MOVIE-SHOTS] and [SCENE-k], the
adapter `film-storyboard` on FLUX.1-dev. This is "IC-LoRA + Wan2.2-I2V" of StoryMem's comparison.

Where papers are silent, and what is done here:

- A story has more shots than a board has panels. Boards overlap by one shot (`ic_lora_panels.plan_boards`): that panel is given, and the
  others are drawn in its context. A given panel is held to what it was: after each step its tokens are set to its finished latents,
  noised to the level of that step (the paper conditions on images in this way too, with SDEdit). The last board overlaps by more where it
  would not be full.
- The caption is the story's overview, then each shot's first-frame prompt as it is; no names are put in angle brackets. Text beyond 512
  tokens is not read.
- 28 steps and guidance 3.5, diffusers' defaults for FLUX.1-dev; the adapter at full weight.
- Each panel starts from noise of its own shot's seed.
- Panels are cut at equal heights; the animator crops and shrinks them.
- Every shot starts from its own keyframe, whether it continues the previous one or not.

Shapes: T tokens of a panel (16 x 16 pixels each), C channels of a token. Panels lie one under the other, so a panel's tokens are
consecutive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from stbench.baselines import weights
from stbench.baselines.ic_lora_panels import PANELS_MAX, Board, board_prompt, cut_panels, plan_boards
from stbench.baselines.keyframed import Keyframe, Keyframed, KeyframeOptions, Painter, frame_prompt, place, to_pixels
from stbench.errors import UserError
from stbench.story import Story
from stbench.timing import Stopwatch

if TYPE_CHECKING:
    import torch

FLUX, ADAPTER = "flux", "storyboard"
ADAPTER_FILE = "film-storyboard.safetensors"
COMPONENTS = {
    "scheduler": "diffusers:FlowMatchEulerDiscreteScheduler",
    "tokenizer": "transformers:AutoTokenizer",
    "tokenizer_2": "transformers:AutoTokenizer",
    "text_encoder": "transformers:CLIPTextModel",
    "text_encoder_2": "transformers:T5EncoderModel",
    "transformer": "diffusers:FluxTransformer2DModel",
    "vae": "diffusers:AutoencoderKL",
}
_FILES = ("model_index.json", "scheduler/*", "tokenizer*/*", "text_encoder*/*", "transformer/*", "vae/*")
_FLUX_BYTES = 33_700_000_000  # 16.9 billion parameters of transformer, text encoders and VAE in bfloat16
_ADAPTER_BYTES = 172_000_000
TEXT_LENGTH = 512
TOKEN_PX = 16


class IcLoraOptions(KeyframeOptions):
    """Options of the painter; width and height are of a panel."""

    steps: int = Field(default=28, alias="keyframes.steps", ge=1, le=1000)
    guidance: float = Field(default=3.5, alias="keyframes.guidance", ge=1)
    width: int = Field(default=1024, alias="keyframes.width", ge=16, multiple_of=TOKEN_PX)
    height: int = Field(default=512, alias="keyframes.height", ge=16, multiple_of=TOKEN_PX)
    dtype: Literal["float32", "bfloat16", "float16"] = Field(default="bfloat16", alias="keyframes.dtype")
    panels: int = Field(default=PANELS_MAX, alias="keyframes.panels", ge=1, le=PANELS_MAX)
    overlap: int = Field(default=1, alias="keyframes.overlap", ge=0)
    lora_weight: float = Field(default=1.0, alias="keyframes.lora_weight", gt=0, le=2)

    @model_validator(mode="after")
    def _gets_ahead(self) -> Self:
        if self.overlap >= self.panels:
            raise ValueError(f"keyframes.overlap is {self.overlap}; expected fewer than the {self.panels} panels of a board")
        return self


class IcLora(Keyframed):
    """Storyboard keyframes (FLUX.1-dev, 12 B, non-commercial, with IC-LoRA), then Wan2.2-I2V (27 B, 14 B active, Apache-2.0) per shot."""

    name = "ic-lora"
    version = 1
    base_model = "FLUX.1-dev"
    licence = "FLUX.1 [dev] Non-Commercial License"
    about = "the in-context storyboard adapter (IC-LoRA)"
    options_type: ClassVar[type[KeyframeOptions]] = IcLoraOptions

    @classmethod
    def repositories(cls) -> dict[str, Any]:
        """FLUX.1-dev and the storyboard adapter."""
        return {
            FLUX: weights.repository(
                hub_id="black-forest-labs/FLUX.1-dev",
                licence=f"{cls.licence}; accept it on its page, then `hf auth login`",
                size_bytes=_FLUX_BYTES,
                what="text-to-image base (FLUX.1-dev)",
                only=_FILES,
            ),
            ADAPTER: weights.repository(
                hub_id="ali-vilab/In-Context-LoRA",
                licence="MIT; its base is non-commercial",
                size_bytes=_ADAPTER_BYTES,
                what="in-context storyboard adapter (LoRA)",
                only=(ADAPTER_FILE,),
            ),
        }

    @classmethod
    def check_part(cls, part: str, place: Path) -> None:
        """All components of FLUX, or the adapter's file."""
        if part == ADAPTER:
            adapter_file(place)
        else:
            weights.check_whole(place, COMPONENTS, cls.repositories()[part])

    def digests(self) -> dict[str, str]:
        """Of the files that are read."""
        adapter = adapter_file(self.places[ADAPTER])
        return {FLUX: weights.digest(self.places[FLUX], COMPONENTS), ADAPTER: weights.digest(adapter, {})}

    def drawing_files(self) -> list[Path]:
        """Of the transformer and its adapter."""
        return [*weights.files(self.places[FLUX] / "transformer"), adapter_file(self.places[ADAPTER])]

    def painter(self, device: str) -> Painter:
        """Load FLUX and its adapter."""
        return FluxPainter(self.places[FLUX], adapter_file(self.places[ADAPTER]), self.options, device)


def adapter_file(place: Path) -> Path:
    """The adapter in its repository's folder, or a file of one's own; a `UserError` if it is not there."""
    path = place if place.is_file() else place / ADAPTER_FILE
    if not path.is_file() or path.suffix != ".safetensors":
        raise UserError("file is missing", where=str(path), expected="the storyboard adapter as .safetensors")
    return path


class FluxPainter:
    """FLUX.1-dev with the storyboard adapter.

    Args:
        folder: Its weights in diffusers' layout.
        adapter: The adapter's file.
        options: How to draw.
        device: Where.
    """

    def __init__(self, folder: Path, adapter: Path, options: IcLoraOptions, device: str):
        import torch
        from diffusers import FluxPipeline

        pipeline = FluxPipeline(**weights.load(folder, COMPONENTS, dtype=options.dtype))
        attach_adapter(pipeline, adapter, options.lora_weight)
        self.options, self.device = options, torch.device(device)
        self.pipeline = place(pipeline, device)

    def paint(self, story: Story, seeds: Sequence[int], watch: Stopwatch) -> list[Keyframe]:
        """One picture per shot."""
        import torch

        options, count = self.options, len(story.shots)
        boards = plan_boards(count, panels=options.panels, overlap=options.overlap)
        captions = [board_prompt(story.overview, [frame_prompt(story.shots[index]) for index in board.shots]) for board in boards]
        with torch.no_grad():
            with watch.time("keyframe_text", boards=len(boards)):
                texts = [self._encode(caption) for caption in captions]
            with watch.time("keyframe_denoise", images=count, boards=len(boards), steps=options.steps):
                drawn = self._denoise(boards, texts, seeds)
            with watch.time("keyframe_decode", boards=len(boards)):
                pictures = [self._decode(tokens, len(board.shots)) for board, tokens in zip(boards, drawn, strict=True)]
        self.pipeline.maybe_free_model_hooks()
        keyframes = []
        for board, caption, picture in zip(boards, captions, pictures, strict=True):
            cut = len(self.pipeline.tokenizer_2(caption).input_ids) > TEXT_LENGTH
            panels = cut_panels(picture, len(board.shots))[board.known :]
            keyframes += [Keyframe(pixels=np.ascontiguousarray(panel), text_cut=cut) for panel in panels]
        return keyframes

    def _encode(self, caption: str) -> dict[str, torch.Tensor]:
        text, pooled, _ = self.pipeline.encode_prompt(caption, None, device=self.device, max_sequence_length=TEXT_LENGTH)
        return {"prompt_embeds": text, "pooled_prompt_embeds": pooled}

    def _denoise(self, boards: Sequence[Board], texts: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[torch.Tensor]:
        """Tokens (1, panels * T, C) of each board; what an earlier board has drawn is given to the next."""
        import torch

        finished: dict[int, torch.Tensor] = {}
        drawn = []
        for board, text in zip(boards, texts, strict=True):
            noise = torch.cat([self._noise(seeds[index]) for index in board.shots], dim=1).to(self.device, self.pipeline.dtype)
            known = torch.cat([finished[index] for index in board.shots[: board.known]], dim=1) if board.known else noise[:, :0]
            tokens = self._draw(text, noise, known, len(board.shots))
            size = tokens.shape[1] // len(board.shots)
            for panel, index in enumerate(board.shots):
                finished.setdefault(index, tokens[:, panel * size : (panel + 1) * size])
            drawn.append(tokens)
        return drawn

    def _noise(self, seed: int) -> torch.Tensor:
        """Noise of one panel, (1, T, C), drawn on the CPU so that every device starts from the same."""
        import torch

        scale, channels = self.pipeline.vae_scale_factor, self.pipeline.transformer.config.in_channels // 4
        shape = (1, channels, self.options.height // scale, self.options.width // scale)
        return pack(torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)))

    def _draw(self, text: Mapping[str, Any], noise: torch.Tensor, known: torch.Tensor, panels: int) -> torch.Tensor:
        """One board; its first tokens are held to `known`, noised to the level of each step."""

        def hold(pipeline: Any, step: int, timestep: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            level = pipeline.scheduler.sigmas[step + 1].to(known)
            latents = state["latents"]
            latents[:, : known.shape[1]] = (1 - level) * known + level * noise[:, : known.shape[1]]
            return {"latents": latents}

        drawn: torch.Tensor = self.pipeline(
            **text,
            latents=noise,
            height=self.options.height * panels,
            width=self.options.width,
            num_inference_steps=self.options.steps,
            guidance_scale=self.options.guidance,
            callback_on_step_end=hold,
            output_type="latent",
            return_dict=False,
        )[0]
        return drawn

    def _decode(self, tokens: torch.Tensor, panels: int) -> np.ndarray:
        """(1, panels * T, C) → the board (H, W, 3) uint8."""
        vae = self.pipeline.vae
        latents = unpack(tokens, self.options.width // TOKEN_PX) / vae.config.scaling_factor + vae.config.shift_factor
        board: np.ndarray = to_pixels(vae.decode(latents, return_dict=False)[0])[0]
        return board


def pack(latents: torch.Tensor) -> torch.Tensor:
    """FLUX's tokens: (B, c, h, w) → (B, h/2 * w/2, 4c), row by row."""
    blocks = latents.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (B, c, h/2, 2, w/2, 2)
    return blocks.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpack(tokens: torch.Tensor, columns: int) -> torch.Tensor:
    """The inverse of `pack`, for `columns` tokens in a row."""
    blocks = tokens.unflatten(1, (-1, columns)).unflatten(3, (-1, 2, 2))  # (B, h/2, w/2, c, 2, 2)
    return blocks.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def attach_adapter(pipeline: Any, path: Path, weight: float) -> int:
    """Attach the adapter to FLUX's transformer and prove it; how many layers have it.

    Raises:
        UserError: It is no adapter of FLUX's transformer, a weight of it was not used or is another one there, or it changes nothing.
    """
    import torch

    where = str(path)
    try:
        state = pipeline.lora_state_dict(str(path.parent), weight_name=path.name, local_files_only=True)
        pipeline.load_lora_weights(dict(state), adapter_name=ADAPTER)
    except Exception as error:  # whatever the parsers of the file raise: it is input
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"cannot be attached to FLUX's transformer ({reason})", where=where, expected="a LoRA of FLUX.1-dev") from error
    wanted = {name.removeprefix("transformer."): value for name, value in state.items() if not name.endswith(".alpha")}
    found = {name.replace(f".{ADAPTER}.", "."): value for name, value in pipeline.transformer.named_parameters() if f".{ADAPTER}." in name}
    strange = sorted(set(wanted) ^ set(found))
    if strange or not wanted:
        raise UserError(f"{len(strange)} weights are left over or missing: {', '.join(strange[:4])}", where=where, expected="all used")
    if other := [name for name, value in wanted.items() if not torch.equal(found[name].cpu(), value.to(found[name].dtype).cpu())]:
        raise UserError(f"{other[0]} is not what was loaded", where=where)
    ups = [name for name in wanted if ".lora_B." in name]
    if not any(value.isfinite().all() and value.any() for value in (wanted[name] for name in ups)):
        raise UserError("the adapter changes nothing, or is not finite", where=where, expected="a trained LoRA")
    pipeline.set_adapters([ADAPTER], [weight])
    return len(ups)
