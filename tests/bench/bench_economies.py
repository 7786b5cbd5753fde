"""What is computed once instead of again and again, with the same numbers: `python tests/bench/bench_economies.py [--json]`.

Each economy is timed on the world model for a story of six shots, against the way without it, on one CPU thread; the median of three
rounds. The keyframe search has a bench of its own (bench_keyframes.py). Exits 1 if the two ways do not give the same numbers.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stbench.video import write_mp4
from stbench.world.data import caption, random_truth
from storymem import ghosts, text
from storymem.generator import Generator
from storymem.keyframes import search
from storymem.profiles import resolve
from storymem.sizes import WAN_A14B

SHOTS, ROUNDS = 6, 3
ORACLE = Path(__file__).parent.parent / "oracle" / "keyframes.json"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One economy."""

    what: str
    without: float
    with_it: float
    unit: str
    same: bool

    @property
    def ratio(self) -> float:
        """How many times less."""
        return self.without / self.with_it


def timed(what: str, without: Callable[[], Any], with_it: Callable[[], Any]) -> Row:
    """Both ways, by turns."""
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    results = {}
    for _ in range(ROUNDS):
        for name, way in (("without", without), ("with", with_it)):
            start = time.perf_counter()
            results[name] = way()
            seconds[name].append(time.perf_counter() - start)
    same = torch.equal(results["without"], results["with"])
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    return Row(what=what, without=middle["without"], with_it=middle["with"], unit="s", same=same)


def texts(generator: Generator) -> Row:
    """Every prompt and the negative one for each shot, or each text once."""
    rng = np.random.default_rng(0)
    prompts = [caption(random_truth(rng)) for _ in range(SHOTS)]
    generator.prepare_texts(prompts)
    encoder, length = generator._text_encoder, generator.profile.text_length

    def encode(prompt: str) -> torch.Tensor:
        return text.embed(generator.tokenizer, encoder, [prompt], length)[0]

    def each_shot() -> torch.Tensor:
        return torch.stack([part for prompt in prompts for part in (encode(prompt), encode(generator.profile.negative_prompt))])

    def once() -> torch.Tensor:
        known = {prompt: encode(prompt) for prompt in (*prompts, generator.profile.negative_prompt)}
        return torch.stack([part for prompt in prompts for part in (known[prompt], known[generator.profile.negative_prompt])])

    return timed("prompts: all at once, the negative one once", each_shot, once)


def blank(generator: Generator) -> Row:
    """The latents of the all-zero video for each shot, or once."""
    height, width = generator.size

    def each_shot() -> torch.Tensor:
        for _ in range(SHOTS):
            generator.latents.forget_blank()
            latents = generator.latents.encode_blank(generator.profile.frames, height, width)
        return latents

    def once() -> torch.Tensor:
        generator.latents.forget_blank()
        for _ in range(SHOTS):
            latents = generator.latents.encode_blank(generator.profile.frames, height, width)
        return latents

    return timed("latents of the all-zero video: once", each_shot, once)


def memory(generator: Generator) -> Row:
    """The whole memory encoded for each shot, or each keyframe once."""
    pictures = np.random.default_rng(1).integers(0, 256, (SHOTS - 1, *generator.size, 3), dtype=np.uint8)

    def each_shot() -> torch.Tensor:
        for shot in range(1, SHOTS):
            latents = torch.cat([generator.encode_image(picture) for picture in pictures[:shot]], dim=2)
        return latents

    def once() -> torch.Tensor:
        known = [generator.encode_image(picture) for picture in pictures]
        for shot in range(1, SHOTS):
            latents = torch.cat(known[:shot], dim=2)
        return latents

    return timed("memory latents: each keyframe once", each_shot, once)


def slots(generator: Generator) -> Row:
    """Memory slots decoded and thrown away, or not decoded."""
    stride, count = generator.latents.spatial_stride, generator.profile.memory_size
    frames = (generator.profile.frames - 1) // 4 + 1
    latents = torch.randn(1, 16, count + frames, *(side // stride for side in generator.size), generator=torch.Generator().manual_seed(0))

    def decoded() -> torch.Tensor:
        for index in range(count):
            generator.latents.decode(latents[:, :, index : index + 1])
        return generator.latents.decode(latents[:, :, count:])

    return timed(f"{count} memory slots: not decoded", decoded, lambda: generator.latents.decode(latents[:, :, count:]))


def quality() -> Row:
    """Questions to the quality model over the clips of the oracle, as published and ours."""
    oracle = json.loads(ORACLE.read_text())
    asked: list[int] = []
    published, same = 0, True
    for case in oracle["cases"].values():
        if case["result"].get("error"):
            continue

        def passes(frame: int, scores: list[float] = case["quality"]) -> bool:
            asked.append(frame)
            return bool(scores[frame] >= oracle["constants"]["HPSV3_QUALITY_THRESHOLD"])

        found = search(np.array(case["embeddings"]), passes, variant="release-2025-12")
        same = same and list(found.indices) == case["result"]["final_indices"]
        published += case["result"]["quality_calls"]
    return Row(what="quality asked of candidates only, once each", without=published, with_it=len(asked), unit="calls", same=same)


def freed() -> Row:
    """Bytes on the device beside an A14B expert: with the text encoder, and after it is freed (computed, not measured)."""
    parts = {
        which: ghosts.weights(WAN_A14B, which, "bfloat16").total(ghosts.blocks_of(WAN_A14B, which)) for which in ("m2v", "text_encoder")
    }
    return Row(
        what="A14B expert, text encoder freed (computed)",
        without=sum(parts.values()) / 1e9,
        with_it=parts["m2v"] / 1e9,
        unit="GB",
        same=True,
    )


def mp4() -> dict[str, float]:
    """What an overlap of mp4 encoding with the next shot could gain at most: seconds of encoding."""
    found = {}
    for height, width, frames in ((48, 80, 17), (480, 832, 81)):
        noise = np.random.default_rng(0).normal(size=(frames, height // 8, width // 8, 3)).cumsum(axis=1).cumsum(axis=2)
        noise = (noise - noise.min()) / (noise.max() - noise.min()) * 255
        clip = noise.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            write_mp4(Path(folder) / "clip.mp4", clip, 16)
            found[f"{width}x{height}x{frames}"] = round(time.perf_counter() - start, 3)
    return found


def main() -> int:
    """Measure, print, judge."""
    torch.set_num_threads(1)
    generator = Generator(resolve("world"), "cpu")
    with torch.no_grad():
        rows = [texts(generator), blank(generator), memory(generator), slots(generator), quality(), freed()]
    encoding = mp4()
    if "--json" in sys.argv:
        print(json.dumps({"economies": [asdict(row) | {"ratio": row.ratio} for row in rows], "mp4_s": encoding}))
    else:
        for row in rows:
            print(f"{row.what:<46}{row.without:>10.3f} -> {row.with_it:<8.3f}{row.unit:<6} x{row.ratio:<5.2f} same numbers: {row.same}")
        print("not overlapped: writing an mp4 takes", ", ".join(f"{seconds} s ({size})" for size, seconds in encoding.items()))
    return 0 if all(row.same for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
