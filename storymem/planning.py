"""The work of the StoryMem methods, for `stbench plan`: operations and bytes of each stage of a shot, and memory by placement.

Counted from sizes alone, without weights: products and attention in closed form (`storymem.cost`), convolutions by torch's counter and
all bytes by running the code on the meta device (`storymem.trace`, `storymem.peaks`). Not counted, since they take well under a second on a
GPU: keyframe embeddings, the judge's own passes, video files.

The setup "wan2.2" is the one of Wan2.2's published table: no adapter and no judge of keyframes; on one GPU experts come and go over PCIe;
on several, float32 shards of both experts are gathered block by block (FSDP) and tokens are exchanged around attention (Ulysses). That the
shards are float32 is inferred from the table: from 4 to 8 GPUs memory falls by an eighth of what both experts have in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stbench.errors import UserError, did_you_mean
from stbench.planning.work import SETUPS, Kind, Order, Room, StageWork
from stbench.story import Story
from storymem import condition, conditioning, denoise, ghosts
from storymem.cost import Precision, Work, step_cost
from storymem.options import MOTION_FRAMES, MemoryOptions, SamplingOptions, parse
from storymem.peaks import peak
from storymem.placements import Placement
from storymem.profiles import OVERRIDES, Profile, resolve
from storymem.running import CONTEXT_BYTES, MARGIN, allowed
from storymem.settings import WAN
from storymem.sizes import WAN_A14B, Sizes, bytes_of, sizes_of
from storymem.trace import trace

SHARDED = "sharded"  # placement of the setup "wan2.2" on several GPUs
A14B = ("a14b", WAN.name)
METHODS = ("storymem", "wan-t2v", "wan-i2v-chain")
FLOAT_BYTES, HALF_BYTES = 4, 2
EXCHANGES = 4  # around each self-attention: queries, keys, values, result


class Planner:
    """Counts shots of the methods on a Wan model."""

    methods = METHODS

    def cost(self, order: Order) -> Costs:
        """The work of an order."""
        if order.setup not in SETUPS:
            hint = did_you_mean(order.setup, SETUPS)
            raise UserError(f"found {order.setup!r}", where="--setup", expected=" or ".join(SETUPS), hint=hint)
        if order.gpus > 1 and order.setup != "wan2.2":
            raise UserError(f"{order.gpus} GPUs for one shot", where="--gpus", expected="1, or --setup wan2.2")
        profile, sizes = _model(order)
        size, frames = order.size or (profile.height, profile.width), order.frames or profile.frames
        stride = 2 * ghosts.vae_stride(sizes)
        if size[0] % stride or size[1] % stride:
            raise UserError(f"found {size[1]}x{size[0]}", where="--size", expected=f"multiples of {stride}")
        if (frames - 1) % 4 or frames < 1:
            raise UserError(f"found {frames}", where="--frames", expected="1 + a multiple of 4")
        changed = profile.model_copy(update={"height": size[0], "width": size[1], "frames": frames})
        return Costs(order, changed, sizes)


PLANNER = Planner()


def _model(order: Order) -> tuple[Profile, Sizes]:
    if order.model in A14B:
        return WAN, WAN_A14B
    if order.setup == "wan2.2":
        raise UserError(f"no published times of {order.model!r}", where="--model", expected="a14b")
    model = resolve(order.model, {name: value for name, value in order.options.items() if name in OVERRIDES})
    return model.profile, sizes_of(model)


class Costs:
    """The work of one order."""

    def __init__(self, order: Order, profile: Profile, sizes: Sizes):
        self.order, self.profile = order, profile
        kind: type[SamplingOptions] = MemoryOptions if order.method == "storymem" else SamplingOptions
        self.options = parse(kind, order.options, profile)
        self.published = order.setup == "wan2.2"
        self._rooms: dict[Kind, list[Room]] = {}
        self.sizes = replace(sizes, lora_rank=0, judge=None) if self.published else sizes
        if order.method != "storymem":
            self.sizes = replace(self.sizes, lora_rank=0, judge=None)
        if self.options.recipe not in ("exact", "lightning"):
            raise UserError(f"recipe={self.options.recipe} is not planned", where="--set", expected="recipe=exact or lightning")

    @property
    def inputs(self) -> Mapping[str, Any]:
        """What was counted."""
        o, p = self.options, self.profile
        facts: dict[str, Any] = {
            "size": f"{p.width}x{p.height}",
            "frames": p.frames,
            "steps": o.steps,
            "guidance": list(o.guidance_t2v if self.order.method == "wan-t2v" else o.guidance),
            "dtype": o.dtype,
        }
        if isinstance(o, MemoryOptions):
            facts |= {"memory.size": o.memory_size, "keyframes.max": o.keyframes_max}
        return facts

    @property
    def assumed(self) -> Sequence[str]:
        """What depends on pixels that do not exist yet."""
        if not isinstance(self.options, MemoryOptions) or self.options.memory_size == 0:
            return ()
        return (f"every shot adds {self.options.keyframes_max} keyframes to memory (the most that it may)",)

    def kinds(self, story: Story) -> list[Kind]:
        """The kind of each shot."""
        o, found, bank = self.options, [], len(story.references)
        for shot in story.shots:
            memory = min(bank, o.memory_size) if isinstance(o, MemoryOptions) else 0
            known = 0
            if shot.index > 0 and self.order.method == "wan-i2v-chain":
                known = 1
            elif shot.index > 0 and isinstance(o, MemoryOptions) and not shot.cut and o.mode != "m2v":
                known = MOTION_FRAMES if o.mode == "mm2v" else 1
            found.append(Kind(memory=memory, known=known))
            bank += o.keyframes_max if isinstance(o, MemoryOptions) else 0
        return found

    def _work(self, kind: Kind) -> Work:
        p = self.profile
        return Work(frames=p.frames, height=p.height, width=p.width, memory=kind.memory, known=kind.known, text_tokens=p.text_length)

    @property
    def _precision(self) -> Precision:
        o = self.options
        return Precision(transformer=o.dtype, text_encoder=o.dtype_text, vae=o.dtype_vae)

    def stages(self, kind: Kind, placement: str) -> list[StageWork]:
        """What a shot takes; prompts are encoded once for a whole film, so the text encoder counts where it must be sent only."""
        work = self._work(kind)
        vae, size = (ghosts.key(self.sizes.vae), self._precision.vae), (work.height, work.width)
        image, decode = _encode_image(*vae, size), _decode(*vae, work.frames, size)
        encode = _encode_condition(*vae, work.frames, size, kind.known)
        encoded = min(kind.memory, self._new_images(kind))
        stages = [
            StageWork(name="text_encode", pageable_bytes=self._text_bytes() if self.published and self.order.gpus == 1 else 0.0),
            StageWork(
                name="memory_encode",
                conv_flops=encoded * image[0] + (encode[0] if work.base == "m2v" else 0.0),
                moved_bytes=encoded * image[1] + (encode[1] if work.base == "m2v" else 0.0),
                operations=encoded * image[2] + (encode[2] if work.base == "m2v" else 0),
            ),
            self._denoise(kind, placement),
            StageWork(name="vae_decode", conv_flops=decode[0], moved_bytes=decode[1], operations=decode[2]),
            StageWork(name="keyframes", pageable_bytes=self._judge_bytes() if placement != "resident" else 0.0),
        ]
        return [stage for stage in stages if stage.flops or stage.pageable_bytes]

    def _new_images(self, kind: Kind) -> int:
        """Memory pictures that this shot is the first to encode."""
        return self.options.keyframes_max if isinstance(self.options, MemoryOptions) else kind.memory

    def _denoise(self, kind: Kind, placement: str) -> StageWork:
        work = self._work(kind)
        adapted = self.sizes.lora_rank > 0 and (kind.memory > 0 or (kind.known > 0 and self.profile.i2v_uses_lora))
        cost = step_cost(self.sizes, work, guided=False, precision=self._precision, with_adapter=adapted)
        config = getattr(self.sizes, work.base)
        dim, layers = int(config["num_attention_heads"]) * int(config["attention_head_dim"]), int(config["num_layers"])
        attention = 4.0 * layers * dim * cost.tokens * (cost.tokens + work.text_tokens)
        passes, switches = self._passes(from_text=work.base == "t2v")
        weights = float(cost.weight_bytes)
        gpus = self.order.gpus
        sent = layers * EXCHANGES * (gpus - 1) / gpus * cost.tokens / gpus * dim * HALF_BYTES + weights * (gpus - 1) / gpus
        return StageWork(
            name="denoise",
            matmul_flops=passes * (cost.flops - attention),
            attention_flops=passes * attention,
            moved_bytes=float(passes * cost.moved_bytes),
            operations=(passes if not self.profile.batch_guidance else self.options.steps) * self._operations(work.base, adapted=adapted),
            pageable_bytes=switches * 2 * weights if placement == "offload" else 0.0,
            pinned_bytes=passes * weights if placement == "group-offload" else 0.0,
            exchanged_bytes=passes * sent if gpus > 1 else 0.0,
            shared=True,
        )

    def _operations(self, base: ghosts.Which, *, adapted: bool) -> int:
        """Calls of the tensor library in one pass; they do not depend on the size of the picture."""
        config, dtype = getattr(self.sizes, base), self._precision.transformer
        models = (ghosts.model(self.sizes, base, dtype, layers=layers, with_lora=adapted) for layers in (1, 2))
        one, two = (_calls_of_pass(model, int(config["in_channels"]), int(config["text_dim"])) for model in models)
        return one + (ghosts.blocks_of(self.sizes, base) - 1) * (two - one)

    def _passes(self, *, from_text: bool) -> tuple[int, int]:
        """Passes through a transformer, and experts that take their turn on the device."""
        sampling = self.options.sampling(self.profile, from_text=from_text)
        times = denoise.flow_schedule(sampling.steps, sampling.shift, sampling.solver).timesteps
        low = [sampling.boundary is not None and float(t) < sampling.boundary * denoise.TRAIN_TIMESTEPS for t in times]
        passes = sum(1 if sampling.guidance[0 if is_low else 1] == 1.0 else 2 for is_low in low)
        return passes, len(set(low))

    def _text_bytes(self) -> float:
        text = ghosts.weights(self.sizes, "text_encoder", self._precision.text_encoder)
        return float(text.total(ghosts.blocks_of(self.sizes, "text_encoder")))

    def _judge_bytes(self) -> float:
        """A large judge of keyframes comes to the device after a shot and goes again."""
        return 0.0 if self.sizes.judge is None else 2.0 * bytes_of(ghosts.judge(ghosts.key(self.sizes.judge)))

    def rooms(self, kind: Kind) -> list[Room]:
        """Memory by placement, with the margin that the allocator takes and what the device's own library takes."""
        if kind not in self._rooms:
            usual: tuple[Placement, ...] = ("offload",) if self.published else allowed(self.options.recipe)
            sharded = self.published and self.order.gpus > 1
            self._rooms[kind] = [self._sharded(kind)] if sharded else [self._room(kind, placement) for placement in usual]
        return self._rooms[kind]

    def _room(self, kind: Kind, placement: Placement) -> Room:
        found = peak(
            self.sizes,
            self._work(kind),
            placement,
            precision=self._precision,
            batch_guidance=self.profile.batch_guidance,
            tiling=self.options.vae_tiling,
        )
        most = max(found.phases, key=lambda phase: phase.total_bytes)
        return Room(placement=placement, device_bytes=_with_margin(most.total_bytes), at=most.name, host_bytes=float(found.host_bytes))

    def _sharded(self, kind: Kind) -> Room:
        """Float32 shards of both experts and a shard of the text encoder stay; two gathered blocks, or the decoder, come on top."""
        gpus, work = self.order.gpus, self._work(kind)
        parts = {phase.name: phase.activation_bytes for phase in peak(self.sizes, work, "offload", precision=self._precision).phases}
        expert = ghosts.weights(self.sizes, work.base, "float32")
        held = self.sizes.experts * expert.total(ghosts.blocks_of(self.sizes, work.base)) + self._text_bytes()
        vae = bytes_of(ghosts.latents(self.sizes, self._precision.vae).vae)
        gathered = 2 * ghosts.weights(self.sizes, work.base, self._precision.transformer).block + parts["denoise"] / gpus
        on_top = {"denoise": gathered, "memory_encode": parts["memory_encode"], "vae_decode": parts["vae_decode"]}
        at = max(on_top, key=lambda name: on_top[name])
        return Room(placement=SHARDED, device_bytes=_with_margin(held / gpus + vae + on_top[at]), at=at)


def _with_margin(tensors: float) -> float:
    return MARGIN * tensors + CONTEXT_BYTES


Count = tuple[float, float, int]  # operations of arithmetic, bytes, calls of the tensor library


@lru_cache(maxsize=64)
def _encode_image(config: str, dtype: str, size: tuple[int, int]) -> Count:
    """Encoding a memory picture."""
    latents = ghosts.latents_of(config, dtype)
    return _counted(lambda: latents.encode_images(torch.empty(1, 3, *size, device="meta")))


@lru_cache(maxsize=64)
def _encode_condition(config: str, dtype: str, frames: int, size: tuple[int, int], known: int) -> Count:
    """Encoding the condition."""
    if not known:
        return 0.0, 0.0, 0
    latents = ghosts.latents_of(config, dtype)
    return _counted(
        lambda: conditioning.channels(latents, frames=frames, size=size, known=torch.empty(known, 3, *size, device="meta")),
    )


@lru_cache(maxsize=64)
def _decode(config: str, dtype: str, frames: int, size: tuple[int, int]) -> Count:
    """Decoding the video."""
    latents = ghosts.latents_of(config, dtype)
    shape = (condition.latent_frames(frames), *(side // latents.spatial_stride for side in size))
    return _counted(lambda: latents.decode(torch.empty(1, condition.LATENT_CHANNELS, *shape, device="meta")))


def _counted(call: Callable[[], Any]) -> Count:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as flops, _Calls() as calls:
        call()
    return float(flops.get_total_flops()), float(trace(call).moved_bytes), calls.number


@lru_cache(maxsize=64)
def _calls_of_pass(model: Any, channels: int, text_dim: int) -> int:
    """Calls in a pass through a transformer of a few blocks, of the smallest picture."""
    latents, text = torch.empty(1, channels, 1, 2, 2, device="meta"), torch.empty(1, 1, text_dim, device="meta")
    with torch.no_grad(), _Calls() as calls:
        denoise.predict(model, latents, torch.zeros((), device="meta"), text)
    return calls.number


class _Calls(TorchDispatchMode):
    """Counts the calls of the tensor library."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += 1
        return func(*args, **(kwargs or {}))
