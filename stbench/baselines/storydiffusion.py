"""`storydiffusion`: a story's keyframes by SDXL with consistent self-attention (arXiv 2405.01434), then image-to-video for each shot.

Taken to be the paper's own settings, without its text at hand: SDXL untrained, 50 DDIM steps, guidance 5.0, half of the other images'
tokens sampled. Of its two parts only the first is used, as in StoryMem's comparison "StoryDiffusion + Wan2.2-I2V": its motion predictor
makes way for Wan.

Where papers are silent, and what is done here:

- Two stages (`storydiffusion_attention`): the first four shots are the id images, drawn in one batch; each later image is drawn by itself
  and reads them. Both stages go through a step together, so the bank holds one step only: the same numbers as drawing one stage after the
  other.
- Every self-attention layer of the U-Net is replaced, in every step.
- A keyframe is drawn from the shot's first-frame prompt as it is; no description of a character is put in front, no style, no negative
  prompt.
- Each image starts from noise of its own shot's seed; samples of tokens come from the seed of the story's first shot.
- 1344x768, the size nearest to 832x480 in shape that SDXL was trained on; the animator crops and shrinks it.
- Every shot starts from its own keyframe, whether it continues the previous one or not.
- The scheduler of the checkpoint gives the noise schedule; the VAE decodes in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from stbench.baselines import weights
from stbench.baselines.keyframed import Keyframe, Keyframed, KeyframeOptions, Painter, frame_prompt, place, to_pixels
from stbench.baselines.storydiffusion_attention import TokenBank, use_consistent_attention
from stbench.story import Story
from stbench.timing import Stopwatch

if TYPE_CHECKING:
    import numpy as np
    import torch

PART = "sdxl"
COMPONENTS = {
    "scheduler": "diffusers:DDIMScheduler",
    "tokenizer": "transformers:AutoTokenizer",
    "tokenizer_2": "transformers:AutoTokenizer",
    "text_encoder": "transformers:CLIPTextModel",
    "text_encoder_2": "transformers:CLIPTextModelWithProjection",
    "unet": "diffusers:UNet2DConditionModel",
}
VAE = {"vae": "diffusers:AutoencoderKL"}
_FILES = ("model_index.json", "scheduler/*", "tokenizer*/*", "*/config.json", "text_encoder*/*fp16*", "unet/*fp16*", "vae/*fp16*")
_BYTES = 6_940_000_000  # 3.47 billion parameters of U-Net, text encoders and VAE in float16


class StoryDiffusionOptions(KeyframeOptions):
    """Options of the painter."""

    steps: int = Field(default=50, alias="keyframes.steps", ge=1, le=1000)
    guidance: float = Field(default=5.0, alias="keyframes.guidance", ge=1)
    width: int = Field(default=1344, alias="keyframes.width", ge=16, multiple_of=16)
    height: int = Field(default=768, alias="keyframes.height", ge=16, multiple_of=16)
    dtype: Literal["float32", "bfloat16", "float16"] = Field(default="float16", alias="keyframes.dtype")
    id_images: int = Field(default=4, alias="keyframes.id_images", ge=1)
    sampling_rate: float = Field(default=0.5, alias="keyframes.sampling_rate", ge=0, le=1)


class StoryDiffusion(Keyframed):
    """Keyframes with consistent self-attention (SDXL, 3.5 B, Open RAIL++-M), then Wan2.2-I2V (27 B, 14 B active, Apache-2.0) per shot."""

    name = "storydiffusion"
    version = 1
    base_model = "SDXL"
    licence = "CreativeML Open RAIL++-M"
    about = "consistent self-attention"
    options_type: ClassVar[type[KeyframeOptions]] = StoryDiffusionOptions

    @classmethod
    def repositories(cls) -> dict[str, Any]:
        """SDXL's own, half-precision files only."""
        return {
            PART: weights.repository(
                hub_id="stabilityai/stable-diffusion-xl-base-1.0",
                licence=cls.licence,
                size_bytes=_BYTES,
                what="text-to-image base (SDXL)",
                only=_FILES,
            )
        }

    @classmethod
    def check_part(cls, part: str, place: Path) -> None:
        """All components of SDXL."""
        weights.check_whole(place, {**COMPONENTS, **VAE}, cls.repositories()[part])

    def digests(self) -> dict[str, str]:
        """Of the files that are read."""
        return {PART: weights.digest(self.places[PART], {**COMPONENTS, **VAE})}

    def drawing_files(self) -> list[Path]:
        """Of the U-Net."""
        return weights.files(self.places[PART] / "unet")

    def painter(self, device: str) -> Painter:
        """Load SDXL."""
        return SdxlPainter(self.places[PART], self.options, device)


class SdxlPainter:
    """SDXL with consistent self-attention.

    Args:
        folder: Its weights in diffusers' layout.
        options: How to draw.
        device: Where.
    """

    def __init__(self, folder: Path, options: StoryDiffusionOptions, device: str):
        import torch
        from diffusers import StableDiffusionXLPipeline

        parts = weights.load(folder, COMPONENTS, dtype=options.dtype) | weights.load(folder, VAE, dtype="float32")
        self.options, self.device = options, torch.device(device)
        self.pipeline = place(StableDiffusionXLPipeline(**parts, add_watermarker=False), device)

    def paint(self, story: Story, seeds: Sequence[int], watch: Stopwatch) -> list[Keyframe]:
        """One picture per shot."""
        import torch

        prompts = [frame_prompt(shot) for shot in story.shots]
        with torch.no_grad():
            with watch.time("keyframe_text", images=len(prompts)):
                texts = [self._encode(prompt) for prompt in prompts]
            with watch.time("keyframe_denoise", images=len(prompts), steps=self.options.steps):
                latents = self._denoise(texts, seeds)
            with watch.time("keyframe_decode", images=len(prompts)):
                pictures = [self._decode(latents[image : image + 1]) for image in range(len(prompts))]
        self.pipeline.maybe_free_model_hooks()
        return [Keyframe(pixels=pixels, text_cut=self._is_cut(prompt)) for prompt, pixels in zip(prompts, pictures, strict=True)]

    def _is_cut(self, prompt: str) -> bool:
        tokenizer = self.pipeline.tokenizer
        return len(tokenizer(prompt).input_ids) > int(tokenizer.model_max_length)

    def _encode(self, prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Text of one image for each pass, without prompt first: (groups, tokens, D) and pooled (groups, D')."""
        import torch

        guided = self.options.guidance != 1.0
        given, free, pooled, pooled_free = self.pipeline.encode_prompt(prompt, device=self.device, do_classifier_free_guidance=guided)
        return (torch.cat([free, given]), torch.cat([pooled_free, pooled])) if guided else (given, pooled)

    def _denoise(self, texts: Sequence[tuple[torch.Tensor, torch.Tensor]], seeds: Sequence[int]) -> torch.Tensor:
        """Latents (images, 4, h, w) float32: in each step first the id images together, then every other one from what they left."""
        import torch

        scheduler, unet = self.pipeline.scheduler, self.pipeline.unet
        bank = TokenBank(rate=self.options.sampling_rate, seed=seeds[0], groups=len(texts[0][0]))
        use_consistent_attention(unet, bank)
        scheduler.set_timesteps(self.options.steps, device=self.device)
        scale = self.pipeline.vae_scale_factor
        shape = (unet.config.in_channels, self.options.height // scale, self.options.width // scale)
        noise = [torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds]
        latents = torch.stack(noise).to(self.device) * scheduler.init_noise_sigma
        first = min(self.options.id_images, len(seeds))
        for step, timestep in enumerate(scheduler.timesteps):
            bank.step, bank.stage = step, "write"
            latents[:first] = self._step(latents[:first], timestep, texts[:first])
            bank.stage = "read"
            for image in range(first, len(seeds)):
                latents[image : image + 1] = self._step(latents[image : image + 1], timestep, texts[image : image + 1])
        return latents

    def _step(self, latents: torch.Tensor, timestep: Any, texts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """One step of some images (n, 4, h, w) in one batch."""
        import torch

        unet, options, groups = self.pipeline.unet, self.options, len(texts[0][0])
        text = torch.stack([given for given, _ in texts], dim=1).flatten(0, 1)  # all images without prompt, then all with
        pooled = torch.stack([given for _, given in texts], dim=1).flatten(0, 1)
        size = torch.tensor([[options.height, options.width, 0, 0, options.height, options.width]], dtype=text.dtype, device=self.device)
        inputs = self.pipeline.scheduler.scale_model_input(torch.cat([latents] * groups), timestep).to(unet.dtype)
        conditions = {"text_embeds": pooled, "time_ids": size.expand(len(inputs), -1)}
        out = unet(inputs, timestep, encoder_hidden_states=text, added_cond_kwargs=conditions, return_dict=False)[0].float()
        if groups == 2:
            free, given = out.chunk(2)
            out = free + options.guidance * (given - free)
        return torch.as_tensor(self.pipeline.scheduler.step(out, timestep, latents, return_dict=False)[0])

    def _decode(self, latents: torch.Tensor) -> np.ndarray:
        """(1, 4, h, w) → (H, W, 3) uint8."""
        vae = self.pipeline.vae
        picture: np.ndarray = to_pixels(vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0])[0]
        return picture
