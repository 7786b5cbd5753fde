"""What scoring costs: full model sizes with random weights (values mean nothing, times and memory do), CPU seconds, ratios in one run.

    python tests/bench/bench_metrics.py [--films DIR] [--only NAME ...] [--threads N] [--json]

DIR (or $STBENCH_BENCH_FILMS) holds mp4 shots (832x480, 81 frames) of a real model; without it a film of moving stripes of the same size
is made. Exits with 1 if a figure is missed:

    subject   DINO subject consistency, in batches through the scorer, against one frame at a time with an explicit attention matrix
    half      the same in 16 bits against 32: CPU seconds, how far the score moves, and the deviation that it reports
    second    a second protocol on the same encoders, against the first; and how often each shot was encoded
    memory    peak memory beyond the weights for one 81-frame shot through DINO, CLIP, LAION's head on L/14, ViCLIP and flow
    growth    how much the peak grows from 1 to 100 films
    auto      --frames auto against all frames, trained EfficientNet-Lite0 and random CLIP ViT-B/32: work, error, error reported
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from random_encoders import RandomEncoders

from metrics import features as features_module
from metrics.aesthetic_quality import AestheticQuality
from metrics.background_consistency import BackgroundConsistency
from metrics.base import Clip, Metric, StoryClips
from metrics.cache import FeatureCache
from metrics.encoders.half import InHalf
from metrics.encoders.vbench import ClipB32, DinoB16, LaionAesthetic, ViclipL14
from metrics.features import FeatureSource
from metrics.motion import MotionMagnitude
from metrics.overall_consistency import OverallConsistency
from metrics.protocols import PROTOCOLS, WORLD
from metrics.scoring import applicable, score_films
from metrics.subject_consistency import SubjectConsistency, frame_consistency
from stbench.keys import file_sha256
from stbench.story import Shot, Story
from stbench.video import read_mp4, write_mp4

HEIGHT, WIDTH, FRAMES = 480, 832, 81
MIB = 2**20
SUBJECT_FRAMES, SECOND_FRAMES, HALF_FRAMES = 17, 9, 16  # of the shot, so that the bench ends
LIMITS = {"subject": 1.7, "second": 50.0, "memory": 1024.0, "growth": 32.0, "auto": 4.0, "auto_error": 0.005}


def stripes(path: Path) -> Path:
    """A stand-in for a real film: soft stripes that drift."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    frames = [np.stack([127 + 120 * np.sin((x + 3 * t) / 40 + y / (60 + 20 * c)) for c in range(3)], axis=-1) for t in range(FRAMES)]
    write_mp4(path, np.stack(frames).clip(0, 255).astype(np.uint8), 16)
    return path


def shots_of(films: Path | None, folder: Path) -> list[Path]:
    """The real shots, or one that was made."""
    found = sorted(films.rglob("*.mp4")) if films else []
    return found or [stripes(folder / "stripes.mp4")]


def film(paths: list[Path], name: str = "film") -> StoryClips:
    """A story of one scene."""
    shots = [Shot(index=i, scene=1, number=i + 1, prompt=f"shot {i} of an astronaut", cut=True) for i in range(len(paths))]
    clips = tuple(Clip(shot=shot, video=path, digest=file_sha256(path)) for shot, path in zip(shots, paths, strict=True))
    return StoryClips(story=Story(id=name, name=name, overview="an astronaut walks on the moon", shots=tuple(shots)), clips=clips)


def beginning(path: Path, count: int, folder: Path) -> Path:
    """The first frames of a shot as a file of its own."""
    out = folder / f"{path.stem}-{count}.mp4"
    write_mp4(out, read_mp4(path)[0][:count], 16)
    return out


def score(films: list[StoryClips], metrics: list[Metric], source: FeatureSource) -> tuple[list[Any], float]:
    """Rows and CPU seconds."""
    used, _ = applicable(metrics, films)
    began = time.process_time()
    rows = score_films(films, metrics=used, features=source)
    return rows, time.process_time() - began


def source_of(cache: FeatureCache | None = None, policy: str = "all") -> FeatureSource:
    return FeatureSource(protocol="bench", device="cpu", cache=cache or FeatureCache(None), known={}, policy=policy)


def every_token(net: Any, image: Any) -> Any:
    """The network as it is written down: all tokens through all blocks, then the first one."""
    import torch

    x = torch.cat([net.cls_token, net.patch_embed(image)], dim=1) + net.positions(*image.shape[-2:])
    for block in net.blocks:
        x = block(x)
    return net.norm(x)[:, 0]


def one_by_one(path: Path, encoder: DinoB16) -> float:
    """Subject consistency as a loop: decode, one frame at a time, the whole attention matrix, gradients recorded."""
    import torch
    from torch.nn import functional

    from metrics.encoders.vbench_transforms import dino_input

    def attention(q: Any, k: Any, v: Any) -> Any:
        return ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(-1) @ v

    fused, rows = functional.scaled_dot_product_attention, []
    net = encoder._net.requires_grad_(True)
    functional.scaled_dot_product_attention = attention
    try:
        for frame in read_mp4(path)[0]:
            image = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
            rows.append(functional.normalize(every_token(net, dino_input(image)), dim=-1).detach().numpy()[0])
    finally:
        functional.scaled_dot_product_attention = fused
        net.requires_grad_(False)
    return frame_consistency(np.stack(rows))


def bench_subject(shots: list[Path], folder: Path) -> dict[str, Any]:
    short = beginning(shots[0], SUBJECT_FRAMES, folder)
    encoder = features_module.ENCODERS.get(DinoB16.id).load("cpu")  # both sides use the loaded network
    encoder.encode_frames(read_mp4(short)[0][:1])
    rows, ours_s = score([film([short])], [SubjectConsistency(encoder=DinoB16.id)], source_of())
    began = time.process_time()
    reference = one_by_one(short, encoder)
    loop_s = time.process_time() - began
    difference = abs(rows[0].value - reference)
    good = loop_s / ours_s >= LIMITS["subject"] and difference <= 1e-5
    return {"frames": SUBJECT_FRAMES, "loop_s": loop_s, "ours_s": ours_s, "ratio": loop_s / ours_s, "difference": difference, "good": good}


def bench_half(shots: list[Path], folder: Path) -> dict[str, Any]:
    encoder = features_module.ENCODERS.get(DinoB16.id).load("cpu")
    half, frames = InHalf(encoder, "cpu"), read_mp4(shots[0])[0][:HALF_FRAMES]
    half.encode_frames(frames[:1])
    (full, full_s), (coarse, half_s) = timed(encoder, frames), timed(half, frames)
    moved = abs(full - coarse)
    good = moved <= 4 * (half.deviation or 0)
    return {"frames": HALF_FRAMES, "ratio": full_s / half_s, "moved": moved, "deviation": half.deviation, "good": good}


def timed(encoder: Any, frames: np.ndarray) -> tuple[float, float]:
    """Subject consistency and CPU seconds."""
    began = time.process_time()
    return frame_consistency(encoder.encode_frames(frames)), time.process_time() - began


def bench_second(shots: list[Path], folder: Path) -> dict[str, Any]:
    tale = [film([beginning(shots[0], SECOND_FRAMES, folder)])]
    cache = FeatureCache(folder / "cache")
    for name in (ViclipL14.id, LaionAesthetic.id):
        features_module.ENCODERS.get(name).load("cpu")
    first, second = source_of(cache), source_of(cache)
    _, first_s = score(tale, list(PROTOCOLS.get("storymem-paper").metrics), first)
    encoded = {f"{need.encoder} {need.kind}": count for need, count in first.encoded.items()}
    cache.forget()
    _, second_s = score(tale, [OverallConsistency(), AestheticQuality()], second)
    good = first_s / second_s >= LIMITS["second"] and set(encoded.values()) == {1} and first.decoded == 1 and second.decoded == 0
    return {
        "first_s": first_s,
        "second_s": second_s,
        "ratio": first_s / second_s,
        "encoded": encoded,
        "decoded": first.decoded,
        "good": good,
    }


def peak_mib() -> float:
    """Highest resident memory of this process since it was last reset, in MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def reset_peak() -> float:
    """Start measuring the peak from now; returns the memory in use, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_mib()


def bench_memory(shots: list[Path], folder: Path) -> dict[str, Any]:
    metrics = {
        DinoB16.id: (SubjectConsistency(encoder=DinoB16.id), "all"),
        ClipB32.id: (BackgroundConsistency(), "all"),
        LaionAesthetic.id: (AestheticQuality(), "32"),  # two full batches of the 81 frames: more would only take longer
        ViclipL14.id: (OverallConsistency(), "all"),
        "block-flow": (MotionMagnitude(), "all"),
    }
    beyond = {}
    for name, (metric, policy) in metrics.items():
        features_module.ENCODERS.get(name).load("cpu")
        before = reset_peak()
        score([film(shots[:1])], [metric], source_of(policy=policy))
        beyond[name] = round(peak_mib() - before, 1)
        print(name, beyond[name], file=sys.stderr, flush=True)
    return {"beyond_weights_mib": beyond, "good": max(beyond.values()) <= LIMITS["memory"]}


def bench_growth(shots: list[Path], folder: Path) -> dict[str, Any]:
    """Story World's encoders; two shots a film."""
    rng = np.random.default_rng(0)
    films = []
    for number in range(100):
        paths = [folder / f"{number}-{k}.mp4" for k in range(2)]
        for path in paths:
            write_mp4(path, rng.integers(0, 256, (17, 96, 160, 3), dtype=np.uint8), 8)
        films.append(film(paths, f"film{number}"))
    metrics = [metric for metric in WORLD.metrics if not metric.name.startswith(("truth", "entity"))]
    source = source_of(FeatureCache(folder / "films-cache"))
    score(films[:1], metrics, source)
    after_one = reset_peak()
    score(films, metrics, source)
    grown = round(peak_mib() - after_one, 1)
    return {"films": 100, "after_one_mib": round(after_one, 1), "growth_mib": grown, "good": grown <= LIMITS["growth"]}


def bench_auto(shots: list[Path], folder: Path) -> dict[str, Any]:
    rows = []
    for metric, used in ((SubjectConsistency(encoder="efficientnet-lite0"), shots), (BackgroundConsistency(), shots[:1])):
        for path in used:
            exact, exact_s = score([film([path])], [metric], source_of())
            quick, quick_s = score([film([path])], [metric], source_of(policy="auto"))
            detail = quick[0].detail
            work = detail["frames"] / detail.get("frames_encoded", detail["frames"])
            error = abs(quick[0].value - exact[0].value)
            facts = {"encoder": metric.need.encoder, "shot": path.stem, "work": work, "cpu": exact_s / quick_s}
            rows.append({**facts, "error": error, "risk": detail["risk"]})
    good = all(row["work"] >= LIMITS["auto"] and row["error"] <= row["risk"] <= LIMITS["auto_error"] for row in rows)
    return {
        "shots": rows,
        "least_work_ratio": min(row["work"] for row in rows),
        "greatest_error": max(row["error"] for row in rows),
        "good": good,
    }


BENCHES = {
    "subject": bench_subject,
    "half": bench_half,
    "second": bench_second,
    "memory": bench_memory,
    "growth": bench_growth,
    "auto": bench_auto,
}


def main() -> int:
    """Each bench in a process of its own, so that memory is its own; one line or JSON object each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, default=os.environ.get("STBENCH_BENCH_FILMS"))
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=list(BENCHES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        import torch

        torch.set_num_threads(options.threads)
        features_module.ENCODERS = RandomEncoders()  # type: ignore[assignment]
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(BENCHES[options.only[0]](shots_of(options.films, Path(folder)), Path(folder))))
        return 0
    found = {}
    for name in options.only:
        words = [sys.executable, __file__, "--inside", "--only", name, "--threads", str(options.threads)]
        words += ["--films", str(options.films)] if options.films else []
        found[name] = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
        if not options.json:
            print(f"{name:<8} {'ok  ' if found[name]['good'] else 'MISS'} {shown(found[name])}", flush=True)
    if options.json:
        print(json.dumps({"metrics": found}))
    return 0 if all(result["good"] for result in found.values()) else 1


def shown(result: dict[str, Any]) -> str:
    """Numbers in short."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.4g}")
        if isinstance(value, dict):
            return {key: short(part) for key, part in value.items()}
        return [short(part) for part in islice(value, 8)] if isinstance(value, list) else value

    return json.dumps({key: short(value) for key, value in result.items() if key != "good"})


if __name__ == "__main__":
    sys.exit(main())
