"""How much memory a shot needs on the device, in each phase and placement, before anything is loaded.

What is held are weights, by placement (`storymem.placements`); what comes on top is what the code of the phase allocates, from running
it on the meta device (`storymem.trace`). Not included: what the library itself takes (a CUDA context: about half a gigabyte), and what
the allocator rounds up or cannot reuse.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from storymem import condition, conditioning, cost, ghosts, hpsv3
from storymem.cost import Precision, Work
from storymem.placements import BLOCKS_AT_ONCE, Placement
from storymem.sizes import Sizes, bytes_of
from storymem.trace import trace

FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stage of a shot: what is on the device during it, at most."""

    name: str  # text_encode, memory_encode, denoise, vae_decode, and keyframes where a large model judges them
    weights_bytes: int
    activation_bytes: int

    @property
    def total_bytes(self) -> int:
        """Weights and activations."""
        return self.weights_bytes + self.activation_bytes


@dataclass(frozen=True, kw_only=True)
class Peak:
    """Memory of one shot in a placement.

    Attributes:
        placement: Where weights are.
        phases: In order.
        host_bytes: Weights that wait in main memory.
    """

    placement: Placement
    phases: tuple[Phase, ...]
    host_bytes: int

    @property
    def device_bytes(self) -> int:
        """The most at once."""
        return max(phase.total_bytes for phase in self.phases)


def peak(
    sizes: Sizes,
    work: Work,
    placement: Placement,
    *,
    precision: Precision | None = None,
    batch_guidance: bool = False,
    tiling: bool = False,
    on_cpu: bool = False,
) -> Peak:
    """The most memory of one shot in a film that needs all parts of the model.

    Args:
        sizes: Of the model.
        work: The shot.
        placement: Where weights are.
        precision: Types.
        batch_guidance: Whether a step runs with and without the prompt in one batch.
        tiling: Whether the VAE works tile by tile.
        on_cpu: Whether the device is a CPU, which needs more for convolutions.
    """
    precision = precision or Precision()
    held, waiting = _weights(sizes, work, placement, precision)
    encoded, decoded = _vae_peaks(sizes, work, precision, tiling=tiling, on_cpu=on_cpu)
    activations = {
        "text_encode": _text_peak(sizes, work, precision),
        "memory_encode": encoded,
        "denoise": _denoise_peak(sizes, work, precision, batch=2 if batch_guidance else 1, on_cpu=on_cpu),
        "vae_decode": decoded,
    }
    if sizes.judge is not None:
        judge, activations["keyframes"] = _judge(ghosts.key(sizes.judge), placement)
        held["keyframes"] = held["vae_decode"] + judge
        waiting += bytes_of(ghosts.judge(ghosts.key(sizes.judge)))
    phases = tuple(Phase(name=name, weights_bytes=held[name], activation_bytes=activations[name]) for name in activations)
    return Peak(placement=placement, phases=phases, host_bytes=waiting)


def _weights(sizes: Sizes, work: Work, placement: Placement, precision: Precision) -> tuple[dict[str, int], int]:
    """Bytes of weights on the device in each phase, and in main memory. The text encoder is freed when the prompts are encoded."""
    vae = bytes_of(ghosts.latents(sizes, precision.vae).vae)
    text = ghosts.weights(sizes, "text_encoder", precision.text_encoder)
    memory = ghosts.weights(sizes, "m2v", precision.transformer, with_lora=True)
    own = ghosts.weights(sizes, "t2v", precision.transformer)
    working = own if work.base == "t2v" and not sizes.shared else memory
    whole = {name: ghosts.blocks_of(sizes, name) for name in ("t2v", "m2v", "text_encoder")}
    every = sizes.experts * (memory.total(whole["m2v"]) + (0 if sizes.shared else own.total(whole["t2v"])))
    if placement == "resident":
        return {
            "text_encode": vae + text.total(whole["text_encoder"]),
            "memory_encode": vae + every,
            "denoise": vae + every,
            "vae_decode": vae + every,
        }, 0
    at_once = BLOCKS_AT_ONCE if placement == "group-offload" else max(whole.values())
    held = {
        "text_encode": vae + text.total(min(at_once, whole["text_encoder"])),
        "memory_encode": vae,
        "denoise": vae + working.total(min(at_once, whole[work.base])),
        "vae_decode": vae,
    }
    return held, every


@lru_cache(maxsize=8)
def _judge(config: str, placement: Placement) -> tuple[int, int]:
    """Bytes of HPSv3's weights on the device while it judges, and what its language model allocates."""
    net = ghosts.judge(config)
    whole, block = net.language_model, bytes_of(net.language_model.layers[0])
    at_once = bytes_of(whole.embed_tokens) + BLOCKS_AT_ONCE * block if placement == "group-offload" else bytes_of(net)
    words = torch.empty(1, hpsv3.TOKENS, whole.config.hidden_size, dtype=whole.dtype, device="meta")
    positions = torch.arange(hpsv3.TOKENS, device="meta").expand(3, 1, -1)
    return at_once, trace(lambda: whole(inputs_embeds=words, position_ids=positions, use_cache=False)).peak_bytes


def _text_peak(sizes: Sizes, work: Work, precision: Precision) -> int:
    return _traced_text(ghosts.model(sizes, "text_encoder", precision.text_encoder, layers=1), work.text_tokens)


@lru_cache(maxsize=64)
def _traced_text(model: Any, tokens: int) -> int:
    ids = torch.zeros(1, tokens, dtype=torch.long, device="meta")
    return trace(lambda: model(ids)).peak_bytes


def _denoise_peak(sizes: Sizes, work: Work, precision: Precision, *, batch: int, on_cpu: bool) -> int:
    """A forward pass, and what the loop holds beside it: noise, latents, two velocities, the solver's history, condition, inputs."""
    stride = ghosts.vae_stride(sizes)
    pixels = work.latent_frames * (work.height // stride) * (work.width // stride)
    channels = int(getattr(sizes, work.base)["in_channels"])
    held = FLOAT_BYTES * pixels * (5 * condition.LATENT_CHANNELS + channels * (1 + batch))
    return held + cost.forward(sizes, work, precision, batch=batch, with_adapter=work.base == "m2v", on_cpu=on_cpu).peak_bytes


def _vae_peaks(sizes: Sizes, work: Work, precision: Precision, *, tiling: bool, on_cpu: bool) -> tuple[int, int]:
    """Encoding the condition, and decoding the video to bytes."""
    vae = ghosts.latents(sizes, precision.vae).vae
    height, width = work.height, work.width
    if tiling:
        height, width = min(height, vae.tile_sample_min_height), min(width, vae.tile_sample_min_width)
    config = ghosts.key(sizes.vae)
    encoded = 0 if work.base == "t2v" else _encode_peak(config, precision.vae, work.frames, (height, width), work.known, on_cpu)
    decoded = _decode_peak(config, precision.vae, work.frames, (height, width), on_cpu)
    return encoded, decoded + (_held_tiles(vae, work) if tiling else 0)


@lru_cache(maxsize=256)
def _encode_peak(config: str, dtype: str, frames: int, size: tuple[int, int], known: int, on_cpu: bool) -> int:
    latents = ghosts.latents_of(config, dtype)

    def encode() -> torch.Tensor:
        latents.forget_blank()
        first = torch.empty(known, 3, *size, device="meta") if known else None
        return conditioning.channels(latents, frames=frames, size=size, known=first)

    return trace(encode, on_cpu=on_cpu).peak_bytes


@lru_cache(maxsize=256)
def _decode_peak(config: str, dtype: str, frames: int, size: tuple[int, int], on_cpu: bool) -> int:
    latents = ghosts.latents_of(config, dtype)
    height, width = (side // latents.spatial_stride for side in size)

    def decode() -> torch.Tensor:
        z = torch.empty(1, condition.LATENT_CHANNELS, condition.latent_frames(frames), height, width, device="meta")
        return condition.unpack(latents.decode(z)[0])

    return trace(decode, on_cpu=on_cpu).peak_bytes


def _held_tiles(vae: object, work: Work) -> int:
    """Decoded tiles, which are all held until the picture is put together from them."""
    sides = []
    for side, tile, step in (
        (work.height, vae.tile_sample_min_height, vae.tile_sample_stride_height),  # type: ignore[attr-defined]
        (work.width, vae.tile_sample_min_width, vae.tile_sample_stride_width),  # type: ignore[attr-defined]
    ):
        sides.append(sum(min(tile, side - start) for start in range(0, side, step)))
    return FLOAT_BYTES * 3 * work.frames * sides[0] * sides[1]
